# How sure the ratio of two modes is: an estimate and a 95 % confidence interval, from measurements that were made in pairs, one of
# each mode in a round, or apart from each other. Exact and without a model of the noise: intervals of Hodges and Lehmann, by the
# signed ranks (Wilcoxon) of pairs and the rank sum (Mann and Whitney) else. Pure functions: knows nothing of logs or workloads.
package Report::Interval;
use strict;
use warnings;
use Exporter 'import';
use List::Util 'sum0';
use Report::Statistics 'median';
our @EXPORT_OK = qw(paired apart no_difference LEVEL);

use constant LEVEL => 0.95;
use constant MOST => 32;    # so many values of a sample are enough; of more, as many medians of neighbours are taken
use constant EQUAL => 1e-9; # logarithms that differ by less are equal: what remains is the rounding of numbers

sub thinned {
    my (@values) = @_;
    return @values if @values <= MOST;
    return map { median(@values[int(@values * $_ / MOST) .. int(@values * ($_ + 1) / MOST) - 1]) } 0 .. MOST - 1;
}

# In how many equally likely ways, if the modes do not differ, the sum of the signed ranks of so many pairs is 0, 1, 2 ...
sub signed_rank_ways {
    my ($count) = @_;
    my @ways = (1);
    for my $rank (1 .. $count) {
        my @without = (@ways, (0) x $rank);
        $ways[$_] = $without[$_] + ($_ >= $rank ? $without[$_ - $rank] : 0) for 0 .. $#without;
    }
    return @ways;
}

# The same of the number of pairs, one value of each sample, in which the first sample's is the larger.
sub rank_sum_ways {
    my ($one, $other) = @_;
    my @ways = (1, (0) x ($one * $other));
    for my $i (1 .. $one) {
        $ways[$_] -= $ways[$_ - $other - $i] for reverse $other + $i .. $#ways;
        $ways[$_] += $ways[$_ - $i] for $i .. $#ways;
    }
    return @ways;
}

# The estimates' median, and the innermost two between which the truth lies with a probability of LEVEL, as ratios; `low` and
# `high` are undef where not even the outermost are enough.
sub interval {
    my ($estimates, @ways) = @_;
    my @sorted = sort { $a <=> $b } map { abs $_ < EQUAL ? 0 : $_ } @$estimates;
    my ($rare, $rank) = ((1 - LEVEL) / 2 * sum0(@ways), 0);
    for (my $below = $ways[0]; $below <= $rare; $below += $ways[$rank]) { $rank++ }
    my @ends = $rank ? map { exp $sorted[$_] } $rank - 1, @sorted - $rank : (undef, undef);
    return { ratio => exp median(@sorted), low => $ends[0], high => $ends[1] };
}

# Of two lists of numbers above 0, those with the same index measured in the same round: {ratio, low, high} of the first to the
# second. It takes 6 rounds for an interval. What drifts from round to round, in both alike, cancels.
sub paired {
    my ($one, $other) = @_;
    my @differences = thinned(map { log($one->[$_] / $other->[$_]) } 0 .. $#$one);
    my @means = map { my $i = $_; map { ($differences[$i] + $differences[$_]) / 2 } 0 .. $i } 0 .. $#differences;
    return interval(\@means, signed_rank_ways(scalar @differences));
}

# The same of two lists that have nothing to do with each other. It takes 4 numbers in each, or 5 and 3, or 8 and 2.
sub apart {
    my ($one, $other) = map { [map { log } thinned(@$_)] } @_;
    my @differences = map { my $first = $_; map { $first - $_ } @$other } @$one;
    return interval(\@differences, rank_sum_ways(scalar @$one, scalar @$other));
}

# Whether the truth may be 1: also where there is no interval.
sub no_difference {
    my ($ratio) = @_;
    return !defined $ratio->{low} || ($ratio->{low} <= 1 && $ratio->{high} >= 1);
}

1;
