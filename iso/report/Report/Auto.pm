# What mmu=auto chose: how long each configuration was in each mode, by the monitor's account of the run and of each workload, and
# whether what it predicted came true. As blocks.
package Report::Auto;
use strict;
use warnings;
use Exporter 'import';
use Report::Block qw(heading paragraph table plain);
use Report::Heading 'remarks';
use Report::Log 'count_valid';
use Report::Results 'measured';
use Report::Statistics 'grouped';
our @EXPORT_OK = 'auto_part';

my @TOLD = map { "auto_$_" } qw(ept shadow changes predicted seen);
my @BY_ROOT = map { "auto_$_" } qw(root_changes visits);

sub changes { my ($count) = @_; return grouped($count) . ($count == 1 ? ' change' : ' changes') }

# Logs of before the monitor counted effects have a price instead.
sub effect {
    my ($summary) = @_;
    my ($predicted, $seen) = @$summary{qw(auto_predicted auto_seen)};
    return 'no change\'s effect was seen' unless $summary->{auto_effects} // $predicted + $seen;
    return sprintf 'at the last change whose effect was seen, the new mode was predicted to cost %.1f %% of the '
        . 'guest\'s own work, and cost %.1f %%', $predicted / 1e4, $seen / 1e4;
}

# auto.by=root.
sub by_root {
    my ($summary) = @_;
    my ($changes, $visits) = @$summary{@BY_ROOT};
    return '' if grep { !count_valid($_) } $changes, $visits;
    return '' unless $changes + $visits;
    my $times = $visits == 1 ? 'visit' : 'visits';
    return sprintf '; %s of a root\'s mode, and %s %s to roots of the other mode', changes($changes), grouped($visits), $times;
}

# A round's own account, in a sentence. Where it was measured by turns, the account is of all modes of its boot.
sub told {
    my ($round) = @_;
    my $summary = $round->{summary} // {};
    my ($ept, $shadow, $changes, @more) = @$summary{@TOLD};
    return if defined $round->{by} || grep { !count_valid($_) } $ept, $shadow, $changes, @more, $summary->{auto_effects} // 0;
    my $by_root = by_root($summary);
    my $words = sprintf '%.2f s under EPT, %.2f s under shadow paging, ', $ept / 1000, $shadow / 1000;
    $words .= changes($changes) . " of the guest's mode$by_root";
    return $changes || $by_root ? "$words; " . effect($summary) : $words;
}

sub told_rounds {
    my ($column) = @_;
    my @rounds = @{ $column->{rounds} };
    return remarks($column, map { my $words = told($rounds[$_]); defined $words ? [$_ + 1, $words] : () } 0 .. $#rounds);
}

# Of a workload: [time under EPT, under shadow paging, changes] in all repetitions, or undef.
sub chosen {
    my ($column, $workload) = @_;
    my $one = measured($column, $workload) // return;
    my @counts = map { ($one->{counters}{$_} // 0) * $one->{iterations} * $one->{repetitions} } @TOLD[0 .. 2];
    return $counts[0] + $counts[1] ? \@counts : undef;
}

sub cell_of {
    my ($chosen) = @_;
    return '-' unless $chosen;
    my ($ept, $shadow, $changes) = @$chosen;
    return sprintf '%.0f %% shadow paging, %s', 100 * $shadow / ($ept + $shadow), changes(sprintf '%.0f', $changes);
}

# Nothing where no configuration let the monitor choose.
sub auto_part {
    my ($report) = @_;
    my @columns = grep { my $column = $_; grep { chosen($column, $_) } @{ $report->{workloads} } } @{ $report->{shown} };
    my @rows = map { my $w = $_; [$w, map { cell_of(chosen($_, $w)) } @columns] } @{ $report->{workloads} };
    my @told = map { told_rounds($_) } @{ $report->{shown} };
    return () unless @columns || @told;
    return (heading(2, 'What `mmu=auto` chose'), @told,
        @columns ? (paragraph('How much of a workload\'s time was under shadow paging, and how often the mode changed in it:'),
            table(['workload', map { plain($_->{name}) } @columns], @rows)) : ());
}

1;
