# Which configuration is the fastest for each workload, by how much, and how sure that is: what a reader wants first. Does not
# format anything (Table.pm, Json.pm); what an interval is worth is Interval.pm's.
package Report::Fastest;
use strict;
use warnings;
use Exporter 'import';
use Report::Heading 'counts_instructions';
use Report::Interval qw(apart no_difference);
use Report::Results qw(measured with_exit_cost ratio);
our @EXPORT_OK = 'fastest';

# The ratio of two measurements, with its interval where there are enough values of both.
sub compared {
    my ($one, $other) = @_;
    my @values = map { $_->{values} } $one, $other;
    return grep({ !@$_ } @values) ? { ratio => ratio($one, $other) } : apart(@values);
}

sub alike { my ($ratio) = @_; return defined $ratio->{low} && no_difference($ratio) }

# Of a workload that at least two configurations have: {workload, name (of the fastest), median, alike (names of those that do not
# differ from it), next (name of the first that does; undef if none), behind (the next one's ratio to it), base (its own ratio to
# the base; undef without a base of another name)}, ratios as in Interval.pm. In an emulator that counts instructions the assumed
# cost of exits is in all numbers.
sub fastest_of {
    my ($report, $workload) = @_;
    my $cost = counts_instructions($report) ? $report->{exit_cost} : 0;
    my $measured = sub { my $one = measured($_[0], $workload); return $one && with_exit_cost($one, $cost) };
    my @all = map { my $one = $measured->($_); $one ? { %$one, name => $_->{name} } : () } @{ $report->{shown} };
    my ($first, @others) = sort { $a->{median} <=> $b->{median} } @all;
    return unless @others;
    my @ratios = map { compared($_, $first) } @others;
    my ($next) = grep { !alike($ratios[$_]) } 0 .. $#others;
    my $base = $report->{native} && $measured->($report->{native});
    return {
        workload => $workload, name => $first->{name}, median => $first->{median},
        alike => [map { $others[$_]{name} } grep { alike($ratios[$_]) } 0 .. $#others],
        defined $next ? (next => $others[$next]{name}, behind => $ratios[$next]) : (),
        $base ? (base => compared($first, $base)) : (),
    };
}

sub fastest { my ($report) = @_; return map { fastest_of($report, $_) } @{ $report->{workloads} } }

1;
