# Whether the core ran equally fast in all columns, and what firmware took of its time: what is to be told before any ratio is
# believed. Returns blocks. Whether the kernels are equal is Equality.pm's.
package Report::Frequency;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max min uniq);
use Report::Block qw(code item paragraph);
use Report::Results qw(measured ratio);
use Report::Statistics qw(differs listed ratio_text);
our @EXPORT_OK = qw(frequency_warnings frequency_of interrupted smis_of);

# The workload that only computes: no exit, no page fault, no memory.
use constant COMPUTES => 'alu';
# Two frequencies whose ratio is less are equal.
use constant TOLERANCE => 1.01;

# The core's frequency in percent of the TSC's, by the processor's own counters; undef where nobody counted.
sub frequency_of {
    my ($one) = @_;
    my ($core, $tsc) = @{ $one->{counters} }{qw(aperf mperf)};
    return $core && $tsc ? 100 * $core / $tsc : undef;
}

sub smis_of { my ($one) = @_; return $one->{counters}{smis} // 0 }

sub columns_of { my ($report) = @_; return ($report->{native} // (), @{ $report->{shown} }) }

# The measurements of a column, in the order in which they ran.
sub all_of { my ($report, $column) = @_; return grep { defined } map { measured($column, $_) } @{ $report->{workloads} } }

# "100 %", or "98 to 131 %".
sub range_text {
    my (@percents) = @_;
    return join(' to ', uniq map { sprintf '%.0f', $_ } min(@percents), max(@percents)) . ' %';
}

sub computing {
    my ($report) = @_;
    my $base = measured($report->{base}, COMPUTES) // return ();
    return map {
        my $one = measured($_, COMPUTES);
        my $text = $one && differs($one, $base) ? ratio_text(ratio($one, $base) // 1) : '1.00';
        $text eq '1.00' ? () : paragraph('**' . code(COMPUTES) . ", which only computes, is $text under " . code($_->{name}) . ' and not 1.00: '
            . 'the core ran at another frequency, or something took its time. No ratio of that column can be trusted.**')
    } @{ $report->{shown} };
}

sub unlike {
    my ($report) = @_;
    my (@texts, @all);
    for my $column (columns_of($report)) {
        my @percents = grep { defined } map { frequency_of($_) } all_of($report, $column);
        push @texts, range_text(@percents) . ' (' . code($column->{name}) . ')' if @percents;
        push @all, @percents;
    }
    return () unless @all && max(@all) > TOLERANCE * min(@all);
    return paragraph('**The core did not run at one frequency**, in percent of the TSC\'s: ' . listed(@texts) . '.');
}

# What the native kernel had of a frequency driver, whose governor decides unless it is `performance`.
sub governed {
    my ($report) = @_;
    my @guests = map { $_->{guest} // () } map { @{ $_->{rounds} } } $report->{native} // ();
    my @others = uniq grep { defined && !ref && length && $_ ne 'performance' } map { $_->{governor} } @guests;
    return () unless @others;
    return paragraph('**Natively the frequency was left to a governor**, ' . listed(map { code($_) } @others) . ': the image\'s '
        . '`scripts/bench` sets `performance`, where it may.');
}

# The monitor's frequency is known and the native one is not.
sub uncounted {
    my ($report) = @_;
    my $counted = sub { grep { defined frequency_of($_) } all_of($report, $_[0]) };
    return () unless $report->{native} && grep { $counted->($_) } @{ $report->{shown} };
    return () if $counted->($report->{native});
    return paragraph('**The native kernel did not count the core\'s frequency** (perf events `msr/aperf/` and `msr/mperf/`): '
        . 'whether it was the same is not known.');
}

sub frequency_warnings {
    my ($report) = @_;
    return map { $_->($report) } \&computing, \&unlike, \&governed, \&uncounted;
}

# Workloads into which SMIs came, a line for each column.
sub interrupted {
    my ($report) = @_;
    return map {
        my @hit = grep { smis_of($_) } all_of($report, $_);
        @hit ? item(code($_->{name}) . ': system-management interrupts came during ' . listed(map { code($_->{workload}) } @hit)
            . ', and firmware\'s time is in their numbers') : ()
    } columns_of($report);
}

1;
