# What one operation takes, in nanoseconds where the clock is time, and the time of an access by working set: tables and a picture.
# An iteration of a workload is one operation, or as many as bench says. Measurements are Results.pm's.
package Report::Operation;
use strict;
use warnings;
use Exporter 'import';
use Report::Block qw(heading paragraph table picture plain);
use Report::Gnuplot qw(lines colour);
use Report::Heading 'unit_of';
use Report::Log 'count_valid';
use Report::Results qw(costed counts_instructions);
use Report::Statistics qw(count_text grouped);
our @EXPORT_OK = qw(operation_part sweep_part sweep_picture);

# (Its name, how many of it a cycle is.) The monitor tells the rate of the time stamp counter.
sub unit {
    my ($report) = @_;
    my $khz = ($report->{machine} // {})->{tsc_khz};
    return (unit_of($report), 1) if counts_instructions($report) || !count_valid($khz) || $khz == 0;
    return ('ns', 1e6 / $khz);
}

sub about { my ($report, $workload) = @_; return $report->{about}{$workload} // {} }

# {median, lowest, highest} of one operation, undef where it was not measured. Where instructions are counted, exits have their
# assumed cost.
sub taken {
    my ($report, $column, $workload) = @_;
    my $one = costed($report, $column, $workload) // return;
    my (undef, $factor) = unit($report);
    my $share = $factor / (about($report, $workload)->{operations} // 1);
    return { map { $_ => $one->{$_} * $share } qw(median lowest highest) };
}

sub columns { my ($report) = @_; return ($report->{native} // (), @{ $report->{shown} }) }

sub cells {
    my ($report, $workload) = @_;
    return map {
        my $taken = taken($report, $_, $workload);
        $taken ? count_text($taken->{median}) : defined(($_->{of}{$workload} // {})->{error}) ? 'failed' : '-'
    } columns($report);
}

sub cost_words {
    my ($report) = @_;
    return counts_instructions($report) ? ', with ' . grouped($report->{exit_cost}) . ' more for each exit' : '';
}

sub operation_part {
    my ($report) = @_;
    my @workloads = @{ $report->{workloads} } or return ();
    my ($unit) = unit($report);
    my @rows = map { [$_, plain(about($report, $_)->{operation} // 'iteration'), cells($report, $_)] } @workloads;
    return (
        heading(2, 'What one operation takes'),
        paragraph("The median, in $unit" . cost_words($report) . '.'),
        table(['workload', 'operation', map { plain($_->{name}) } columns($report)], @rows));
}

# 1572864 as 1536K.
sub size_words {
    my ($bytes) = @_;
    my ($number, @units) = ($bytes / 1024, qw(K M G T));
    ($number, @units) = ($number / 1024, @units[1 .. $#units]) while @units > 1 && $number && $number % 1024 == 0;
    return "$number$units[0]";
}

# The points by page, then by working set.
sub points {
    my ($report) = @_;
    my @points = map { { workload => $_, %{ about($report, $_) } } } @{ $report->{sweep} };
    return sort { $a->{page} <=> $b->{page} || $a->{working_set} <=> $b->{working_set} } @points;
}

sub sweep_part {
    my ($report) = @_;
    my @points = points($report) or return ();
    my ($unit) = unit($report);
    my @rows = map { [size_words($_->{working_set}), size_words($_->{page}), cells($report, $_->{workload})] } @points;
    return (
        heading(2, 'An access by its working set'),
        paragraph("A step along pointers at random, a node in each line of 64 bytes: the median, in $unit" . cost_words($report) . '.',
            counts_instructions($report)
            ? '**It is flat here: an emulator that counts instructions has neither TLB nor caches.**'
            : 'A step up is a cache, or a TLB, that the working set has outgrown.'),
        $report->{plots}{sweep} ? picture('sweep', 'An access by its working set') : (),
        table(['working set', 'pages', map { plain($_->{name}) } columns($report)], @rows));
}

# A line for each column and size of page.
sub sweep_lines {
    my ($report) = @_;
    my @points = points($report);
    my @columns = columns($report);
    my @lines;
    for my $c (0 .. $#columns) {
        my %of;
        for my $point (@points) {
            my $taken = taken($report, $columns[$c], $point->{workload}) // next;
            push @{ $of{ $point->{page} } }, [$point->{working_set}, @$taken{qw(median lowest highest)}];
        }
        push @lines, map { { name => "$columns[$c]{name}, " . size_words($_), colour => colour($c), page => $_, points => $of{$_} } }
            sort { $a <=> $b } keys %of;
    }
    return @lines;
}

sub sweep_picture {
    my ($report) = @_;
    my @lines = sweep_lines($report) or return;
    my ($unit) = unit($report);
    my %dash = (4096 => 1, 2 << 20 => 2, 1 << 30 => 4);
    return lines({
        title => "$report->{title}: an access by its working set", x => 'working set', y => "$unit for one access" . cost_words($report),
        size => \&size_words, lines => [map { { %$_, dash => $dash{ $_->{page} } // 5 } } @lines] });
}

1;
