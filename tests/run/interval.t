#!/usr/bin/perl
# The report's confidence intervals (iso/report/Report/Interval.pm), without an emulator: on made-up measurements whose truth is known.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../../iso/report";
use List::Util 'sum0';
use Report::Interval qw(paired apart no_difference LEVEL);
use Report::Statistics 'median';
use Test::More;

use constant TRIALS => 4000;
srand 1;

sub text { my ($r) = @_; return join ' ', map { defined $r->{$_} ? sprintf '%.4g', $r->{$_} : '-' } qw(ratio low high) }

# Noise as of computers: mostly small, now and then a part that only makes slower.
sub noise { return exp(0.01 * sum0(map { rand() - 0.5 } 1 .. 6) + (rand() < 0.1 ? 0.1 * rand() : 0)) }

# The share of trials whose interval has the truth; $trial gives two lists whose true ratio is 1.3.
sub coverage {
    my ($how, $trial) = @_;
    my $held = grep { my $r = $how->($trial->()); defined $r->{low} && $r->{low} <= 1.3 && 1.3 <= $r->{high} } 1 .. TRIALS;
    return $held / TRIALS;
}

sub lists { my ($one, $other) = @_; return ([map { 130 * noise() } 1 .. $one], [map { 100 * noise() } 1 .. $other]) }

# So often the interval must hold the truth, less what chance makes of so many trials.
use constant ENOUGH => LEVEL - 3 * sqrt(LEVEL * (1 - LEVEL) / TRIALS);

subtest 'known by hand' => sub {
    is(text(paired([2, 4, 8, 16, 32, 64], [1, 1, 1, 1, 1, 1])), '11.31 2 64', 'six pairs: from the lowest to the highest');
    is(text(paired([(2) x 6, 4], [(1) x 7])), '2 2 2.828', 'seven: the third of 28 means, from either end');
    is(text(apart([1, 2, 3, 4], [1, 1, 1, 1])), '2.449 1 4', 'four and four: from the lowest to the highest');
    is(text(apart([1 .. 5], [(1) x 5])), '3 1 5', 'five and five: the third of 25 ratios');
    is(text(apart([2, 2, 2, 2, 200], [1, 1, 1, 1])), '2 2 200', 'the largest of 20 ratios is left out, and its like is there');
};

subtest 'the ranks' => sub {
    is(join(' ', Report::Interval::signed_rank_ways(4)), '1 1 1 2 2 2 2 2 1 1 1', 'signed ranks of four pairs');
    is(join(' ', Report::Interval::rank_sum_ways(2, 3)), '1 1 2 2 2 1 1', 'rank sum of two and three');
    is(sum0(Report::Interval::signed_rank_ways(32)), 2**32, 'all ways of 32 pairs');
    is(sum0(Report::Interval::rank_sum_ways(32, 20)), 125_994_627_894_135, 'and of 32 and 20');
};

subtest 'few rounds' => sub {
    like(text(paired([(2) x $_], [(1) x $_])), qr/^2 - -$/, "$_ pairs have an estimate and no interval") for 1 .. 5;
    like(text(apart([(2) x $_->[0]], [(1) x $_->[1]])), qr/^2 - -$/, "and $_->[0] and $_->[1] numbers")
        for [1, 1], [3, 3], [2, 7], [3, 4];
    like(text(apart([(2) x 5], [(1) x 3])), qr/^2 2 2$/, 'five and three have one');
    ok(no_difference(paired([2], [1])), 'without an interval there is no difference');
};

subtest 'ties' => sub {
    is(text(paired([(7) x 9], [(7) x 9])), '1 1 1', 'equal');
    ok(no_difference(paired([(7) x 9], [(7) x 9])), 'is no difference');
    is(text(paired([(7) x 9], [(5) x 9])), '1.4 1.4 1.4', 'the same difference always');
    ok(!no_difference(paired([(7) x 9], [(5) x 9])), 'is one');
    ok(no_difference(paired([3, 1, 3, 1, 3, 1], [1, 3, 1, 3, 1, 3])), 'there and back by the same: none');
    ok(no_difference(apart([(0.1 + 0.2) x 5], [(0.3) x 5])), 'nor is what a computer rounds');
    ok(no_difference(apart([1, 1, 1, 2, 2], [1, 1, 2, 2, 2])), 'ties between the modes');
};

subtest 'it holds the truth as often as it says' => sub {
    for my $rounds (6, 7, 10, 20) {
        cmp_ok(coverage(\&paired, sub { lists($rounds, $rounds) }), '>=', ENOUGH, "$rounds pairs");
    }
    for my $sizes ([4, 4], [5, 5], [5, 3], [15, 5]) {
        cmp_ok(coverage(\&apart, sub { lists(@$sizes) }), '>=', ENOUGH, "$sizes->[0] and $sizes->[1] apart");
    }
    cmp_ok(coverage(\&paired, sub { lists(10, 10) }), '<', 1, 'and is no wider than it must be');
};

# Rounds that get slower, each by a fifth of what the modes differ by, and are run there and back.
sub drifting {
    my ($rounds, $ratio) = @_;
    my $slower = 1;
    my (@one, @other);
    for my $round (1 .. $rounds) {
        for my $list (map { $round % 2 ? $_ : 1 - $_ } 0, 1) {
            push @{ $list ? \@other : \@one }, 100 * ($list ? 1 : $ratio) * $slower * noise();
            $slower *= 1.02;
        }
    }
    return (\@one, \@other);
}

subtest 'what drifts cancels in pairs' => sub {
    my (@widths, $seen);
    for (1 .. 200) {
        my @lists = drifting(10, 1.1);
        my ($pairs, $apart) = (paired(@lists), apart(@lists));
        push @widths, log($apart->{high} / $apart->{low}) / log($pairs->{high} / $pairs->{low});
        $seen += !no_difference($pairs);
    }
    cmp_ok(median(@widths), '>', 3, 'the interval is a third of that of the same numbers apart');
    is($seen, 200, 'a difference of 10 % is seen');
    my $false = grep { !no_difference(paired(drifting(10, 1))) } 1 .. 1000;
    cmp_ok($false, '<=', 50 + 3 * sqrt(1000 * 0.05 * 0.95), 'and none where there is none');
};

subtest 'many rounds' => sub {
    my ($one, $other) = lists(500, 700);
    my $apart = apart($one, $other);
    cmp_ok(log($apart->{high} / $apart->{low}), '<', 0.02, 'are taken together');
    my $paired = paired($one, [@$other[0 .. 499]]);
    ok($paired->{low} <= 1.3 && $paired->{high} >= 1.3, 'in pairs, too');
};

done_testing;
