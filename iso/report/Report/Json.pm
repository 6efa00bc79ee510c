# The results as lines of JSON, for programs: facts first, then one line for each round of each configuration, then one for each
# configuration and workload, which is what the tables are made of, and one for each workload that says what is
# fastest. Its sources are the log's objects, Results.pm and Fastest.pm.
package Report::Json;
use strict;
use warnings;
use Exporter 'import';
use JSON::PP;
use Report::Fastest 'fastest';
use Report::Results qw(counts_instructions measured with_exit_cost ratio);
use Report::Statistics 'differs';
use Report::Turns 'agreements';
our @EXPORT_OK = qw(json_lines result_lines);

my $JSON = JSON::PP->new->canonical;

# Numbers as numbers, without the last digits of a division.
sub short { return defined $_[0] ? 0 + sprintf '%.8g', $_[0] : undef }
sub all_short { my ($map) = @_; return { map { $_ => short($map->{$_}) } keys %$map } }

sub parameters_line {
    my ($begin) = @_;
    return map { defined $begin->{$_} ? ($_ => $begin->{$_}) : () } qw(parameters without_effect);
}

sub configuration_line {
    my ($column, $number) = @_;
    my $round = $column->{rounds}[$number - 1];
    return {
        report => 'configuration', configuration => $column->{name}, round => $number, state => $round->{state},
        length $round->{reason} ? (reason => $round->{reason}) : (), $round->{guest} ? (guest => $round->{guest}) : (),
        parameters_line($round->{begin} // {}), $round->{summary} ? (summary => $round->{summary}) : (),
    };
}

sub compared {
    my ($report, $one, $base) = @_;
    my $cost = $report->{exit_cost};
    return (
        base => $report->{base}{name}, ratio => short(ratio($one, $base)), within_spread => differs($one, $base) ? \0 : \1,
        counts_instructions($report)
            ? (ratio_with_exit_cost => short(ratio(with_exit_cost($one, $cost), with_exit_cost($base, $cost)))) : ());
}

sub result_line {
    my ($report, $column, $workload) = @_;
    my %whose = (report => 'result', configuration => $column->{name}, workload => $workload);
    my %line = (%whose, %{ $report->{about}{$workload} // {} });
    my $one = $column->{of}{$workload} // return;
    return { %line, rounds => 0, error => $one->{error} } if defined $one->{error};
    my $base = measured($report->{base}, $workload);
    return {
        %line, (map { $_ => short($one->{$_}) } qw(rounds iterations repetitions median lowest highest all_exits)),
        spread => short($one->{median} ? $one->{half_range} / $one->{median} : 0), exits => all_short($one->{exits}),
        cycles => $column->{lines}{$workload}{cycles}, faults => all_short($one->{faults}), counters => all_short($one->{counters}),
        gauges => all_short($one->{gauges}),
        $base ? compared($report, $one, $base) : (),
    };
}

sub fastest_line {
    my ($found) = @_;
    my %ratios = map { defined $found->{$_} ? ($_ => all_short($found->{$_})) : () } qw(behind base);
    return { report => 'fastest', %$found, median => short($found->{median}), %ratios };
}

# By switch and by boot, a line for each workload.
sub agreement_lines {
    my ($mode) = @_;
    my %whose = (report => 'agreement', configuration => $mode->{name}, without_pcid => $mode->{without_pcid} ? \1 : \0);
    return map {
        my %ratio = %{ $mode->{of}{$_} };
        my $differs = delete $ratio{differs} ? \1 : \0;
        +{ %whose, workload => $_, %{ all_short(\%ratio) }, differs => $differs }
    } sort keys %{ $mode->{of} };
}

sub columns { my ($report) = @_; return ($report->{native} // (), @{ $report->{configurations} }) }

# A line for each column and workload: a map of names to numbers, texts and maps of these.
sub result_lines {
    my ($report) = @_;
    my @workloads = map { @$_ } @$report{qw(workloads sweep)};
    return map { my $column = $_; map { result_line($report, $column, $_) } @workloads } columns($report);
}

sub json_lines {
    my ($report) = @_;
    my @columns = columns($report);
    my @lines = ({
        report => 'machine', machine => $report->{machine}, title => $report->{title}, exit_cost => short($report->{exit_cost}),
        broken_lines => $report->{broken}, stray_results => $report->{stray}, refused_lines => $report->{refused},
        mixed_logs => $report->{mixed}, late_logs => $report->{late}, empty_logs => $report->{empty},
    });
    for my $column (@columns) { push @lines, map { configuration_line($column, $_) } 1 .. @{ $column->{rounds} } }
    push @lines, result_lines($report);
    push @lines, map { fastest_line($_) } fastest($report);
    push @lines, map { agreement_lines($_) } agreements($report);
    return join '', map { $JSON->encode($_) . "\n" } @lines;
}

1;
