# Which pictures a report has and what is in each: ratios, exits by reason, faults, memory; a sweep is
# Operation.pm's. How they are drawn is Gnuplot.pm's.
package Report::Plot;
use strict;
use warnings;
use Exporter 'import';
use List::Util 'sum0';
use Report::Gnuplot qw(bars panels draw colour);
use Report::Heading 'unit_of';
use Report::Operation 'sweep_picture';
use Report::Results qw(counts_instructions measured with_exit_cost memory_gauges ratio);
use Report::Statistics qw(count_text grouped);
our @EXPORT_OK = 'plots_write';

use constant LEAST => 0.01;  # fewer exits or faults for an iteration are drawn as none
use constant REASONS => 7;   # so many have a colour of their own

sub over { my ($one, $base, $name) = @_; return $one->{$name} / $base->{median} }

sub ratios {
    my ($report, $cost, $title) = @_;
    my @groups;
    for my $c (0 .. $#{ $report->{shown} }) {
        my ($column, %of) = $report->{shown}[$c];
        for my $workload (@{ $report->{workloads} }) {
            my ($one, $base) = map { my $m = measured($_, $workload); $m && with_exit_cost($m, $cost) } $column, $report->{base};
            $of{$workload} = [map { over($one, $base, $_) } qw(median lowest highest)] if $one && $base && $base->{median};
        }
        push @groups, { name => $column->{name}, colour => colour($c), of => \%of };
    }
    return unless grep { %{ $_->{of} } } @groups;
    return bars({
        title => $title, axis => 'ratio to ' . $report->{base}{name} . ': less is faster; black: from the lowest to the highest',
        from => 1, rows => $report->{workloads}, groups => \@groups });
}

# The reasons of exits, the one with the largest shares of bars first.
sub reasons_by_share {
    my ($report) = @_;
    my %share;
    for my $one (map { values %{ $_->{of} } } @{ $report->{shown} }) {
        $share{$_} += $one->{exits}{$_} / $one->{all_exits} for grep { $one->{all_exits} > 0 } keys %{ $one->{exits} // {} };
    }
    return sort { $share{$b} <=> $share{$a} || $a cmp $b } keys %share;
}

# Panels, one for each configuration that has some. $parts gives a measurement's numbers, one for each kind.
sub stacked {
    my ($report, $title, $axis, $kinds, $parts) = @_;
    my @panels;
    for my $column (@{ $report->{shown} }) {
        my %of = map { my $one = measured($column, $_); $one ? ($_ => [$parts->($one)]) : () } @{ $report->{workloads} };
        push @panels, { name => $column->{name}, of => \%of };
    }
    @panels = grep { grep { sum0(@$_) >= LEAST } values %{ $_->{of} } } @panels;
    my @rows = grep { my $w = $_; grep { sum0(@{ $_->{of}{$w} // [] }) >= LEAST } @panels } @{ $report->{workloads} };
    return unless @rows;
    return panels({
        title => $title, axis => $axis, low => LEAST, show => \&count_text, rows => \@rows, kinds => $kinds, panels => \@panels });
}

my $LENGTH = 'a bar\'s length is their number (logarithmic), its colours are their shares';

sub exits {
    my ($report) = @_;
    my @reasons = reasons_by_share($report);
    my @rest = splice @reasons, REASONS;
    my @kinds = map { [$reasons[$_], colour($_)] } 0 .. $#reasons;
    push @kinds, ['others', '#aaaaaa'] if @rest;
    return stacked($report, 'Exits for one iteration, by reason', $LENGTH, \@kinds, sub {
        my $of = $_[0]{exits};
        return ((map { $of->{$_} // 0 } @reasons), @rest ? sum0(map { $of->{$_} // 0 } @rest) : ());
    });
}

sub fault_panels {
    my ($report) = @_;
    return stacked($report, 'Page faults that exit, for one iteration', $LENGTH, [['hidden', colour(4)], ['true', colour(1)]],
        sub { @{ $_[0]{faults} }{qw(hidden true)} });
}

sub memory {
    my ($report) = @_;
    return unless @{ $report->{workloads} };
    my $gauge = (memory_gauges($report))[0] // return;
    my ($name, $peak) = @$gauge{qw(name peak)};
    my @groups;
    for my $c (0 .. $#{ $report->{shown} }) {
        my ($column, %of) = $report->{shown}[$c];
        for my $one (grep { ($_->{gauges} // {})->{$name} } values %{ $column->{of} }) {
            my ($now, $most) = map { $gauge->{kib} * ($one->{gauges}{ $_ // $name } // 0) } $name, $peak;
            $of{ $one->{workload} } = [$now, $now, $most];
        }
        push @groups, { name => $column->{name}, colour => colour($c), of => \%of } if %of;
    }
    my $axis = "KiB after the workload ($name)" . ($peak ? '; the line ends at the most so far' : '');
    return bars({ title => ucfirst $gauge->{what}, axis => $axis, from => 0, rows => $report->{workloads}, groups => \@groups });
}

# Draws what there is something for; {file's name => true}.
sub plots_write {
    my ($report, $folder) = @_;
    my $title = 'Time relative to ' . $report->{base}{name};
    $title = 'Instructions relative to ' . $report->{base}{name} if counts_instructions($report);
    my %pictures = (
        ratio => scalar ratios($report, 0, $title), exits => scalar exits($report), faults => scalar fault_panels($report),
        memory => scalar memory($report), sweep => scalar sweep_picture($report));
    my $cost = $report->{exit_cost};
    $pictures{'ratio-exit-cost'} = ratios($report, $cost, "$title, with " . grouped($cost) . ' for each exit')
        if counts_instructions($report);
    my %drawn = map { $_ => 1 } grep { $pictures{$_} } keys %pictures;
    draw($pictures{$_}, "$folder/$_") for sort keys %drawn;
    return \%drawn;
}

1;
