# Which configuration is the fastest for each workload, by how much, and how sure that is: what a reader wants first. Does not
# format anything (Table.pm, Json.pm); what an interval is worth is Interval.pm's.
package Report::Fastest;
use strict;
use warnings;
use Exporter 'import';
use Report::Interval 'no_difference';
use Report::Results 'costed';
use Report::Turns 'compared';
our @EXPORT_OK = qw(fastest alike NEAR);

# A difference that is sure and smaller than this is of no use to a reader.
use constant NEAR => 0.005;

# Whether a ratio, as Interval.pm has it, is no difference to a reader.
sub alike {
    my ($ratio) = @_;
    return defined $ratio->{low} && (no_difference($ratio) || $ratio->{high} <= 1 + NEAR && $ratio->{low} >= 1 / (1 + NEAR));
}

# Two modes that one guest measured by turns are compared better than any two boots: where there are such, of these only.
sub one_way {
    my (@all) = @_;
    my @turns = grep { %{ $_->{turns} } } @all;
    return @turns > 1 ? @turns : @all;
}

# Of a workload that at least two configurations have: {workload, name (of the fastest), median, alike (names of those that do not
# differ from it), next (name of the first that does; undef if none), behind (the next one's ratio to it), base (its own ratio to
# the base; undef without a base of another name)}, ratios as in Interval.pm. In an emulator that counts instructions the assumed
# cost of exits is in all numbers.
sub fastest_of {
    my ($report, $workload) = @_;
    my @measured = map { costed($report, $_, $workload) // () } @{ $report->{shown} };
    my ($first, @others) = sort { $a->{median} <=> $b->{median} } one_way(@measured);
    return unless @others;
    my @ratios = map { compared($_, $first) } @others;
    my ($next) = grep { !alike($ratios[$_]) } 0 .. $#others;
    my $base = $report->{native} && costed($report, $report->{native}, $workload);
    return {
        workload => $workload, name => $first->{name}, median => $first->{median},
        alike => [map { $others[$_]{name} } grep { alike($ratios[$_]) } 0 .. $#others],
        defined $next ? (next => $others[$next]{name}, behind => $ratios[$next]) : (),
        $base ? (base => compared($first, $base)) : (),
    };
}

sub fastest { my ($report) = @_; return map { fastest_of($report, $_) } @{ $report->{workloads} } }

1;
