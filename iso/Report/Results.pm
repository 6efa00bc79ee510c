# What the sections of a log say about each configuration and workload: medians, spreads, and each iteration's share of what was
# counted. Does not format anything (Table.pm, Plot.pm) and reads no log (Log.pm).
package Report::Results;
use strict;
use warnings;
use Exporter 'import';
use List::Util 'sum0';
use Report::Log 'sections_choose';
use Report::Statistics qw(median half_range);
our @EXPORT_OK = qw(report_make measured counted with_exit_cost memory_gauges ratio SOURCE_OF_EXIT_COST);

# The monitor's counters that this report knows by name.
use constant { HIDDEN => 'hidden_faults', TRUE => 'true_faults', EXITS => 'exits' };
# The exit of the timer that ends a guest after limit=: no workload causes it.
use constant TIMER => 'PREEMPTION_TIMER';
# Gauges of memory: their names, KiB for one, and what it is. The first that is there is plotted. NAME_used has its peak in
# NAME_peak; how much a pool could give is no use of memory.
my @MEMORY = (
    [qr/^tables_(?!pool|peak)/, 4, 'shadow tables'],
    [qr/^p2m_tables$/, 4, 'tables of the p2m'],
    [qr/^monitor_memory$|_kib$/, 1, 'memory of the monitor'],
);

# Lines of Markdown. README.md has more sources.
use constant SOURCE_OF_EXIT_COST => (
    'a null hypercall on a Xeon E5-2450 takes 1,300 cycles under KVM, there and back (C. Dall, S.-W. Li, J. T. Lim, J. Nieh,',
    'G. Koloventzos: ARM Virtualization: Performance and Architectural Implications, ISCA 2016, table II).');

# One workload's line as {workload, iterations, repetitions, median, lowest, highest, half_range, counters, gauges, exits,
# all_exits, timer, faults}, cycles and counts for one iteration; or {workload, error}. Exits of the limit's timer are in `timer` only.
sub measure {
    my ($line) = @_;
    return { workload => $line->{bench}, error => $line->{error} } if defined $line->{error};
    my @cycles = sort { $a <=> $b } map { $_ / $line->{iterations} } @{ $line->{cycles} };
    my $all = $line->{iterations} * @cycles;
    my %counters = map { $_ => $line->{counters}{$_} / $all } keys %{ $line->{counters} // {} };
    my %exits = map { /^exit\.(.+)/ && $counters{$_} ? ($1 => $counters{$_}) : () } keys %counters;
    my $exits = $counters{ +EXITS } // sum0(values %exits);
    my $timer = delete $exits{ +TIMER } // 0;
    return {
        workload => $line->{bench}, iterations => $line->{iterations}, repetitions => scalar @cycles,
        median => median(@cycles), lowest => $cycles[0], highest => $cycles[-1], half_range => half_range(@cycles),
        counters => \%counters, gauges => $line->{gauges} // {}, exits => \%exits,
        all_exits => $exits - $timer, timer => $timer, faults => faults(($line->{guest_faults} // 0) / $all, \%counters),
    };
}

# Direct: what the guest's kernel handled without an exit before. It never hears of a hidden fault.
sub faults {
    my ($handled, $counters) = @_;
    my ($hidden, $true) = map { $counters->{$_} // 0 } HIDDEN, TRUE;
    return { hidden => $hidden, true => $true, direct => $handled > $true ? $handled - $true : 0 };
}

# 'complete', or what befell the configuration, and the sentence for it.
sub state_of {
    my ($section) = @_;
    my $end = $section->{summary} && ($section->{summary}{end} // 'no reason given');
    return ('refused', $section->{refused}) if defined $section->{refused};
    return ('died', $end) if $section->{summary} && $section->{summary}{failed};
    return ('complete', '') if $section->{guest_end} && ($end || !$section->{begin} && $section->{configuration} eq 'native');
    return ('unfinished', $end) if $end;
    return ('cut', '');
}

# {native, configurations, workloads}: columns {name, section, state, reason, of => {workload => measurement}} and the names of
# workloads in the order in which they ran.
sub results_make {
    my ($sections) = @_;
    my (@columns, %seen, @workloads);
    for my $section (@$sections) {
        my ($state, $reason) = state_of($section);
        my %of = map { $_->{bench} => measure($_) } @{ $section->{workloads} };
        push @columns, { name => $section->{configuration}, section => $section, state => $state, reason => $reason, of => \%of };
        push @workloads, grep { !$seen{$_}++ } map { $_->{bench} } @{ $section->{workloads} };
    }
    my ($native) = grep { $_->{name} eq 'native' } @columns;
    return { native => $native, configurations => [grep { $_->{name} ne 'native' } @columns], workloads => \@workloads };
}

# Everything that table, lines and plots are made of: what results_make gives, the log's facts, and these options: exit_cost,
# title. Ratios are to `base`; `shown` are the columns that ran.
sub report_make {
    my ($log, %options) = @_;
    my ($sections, @repeats) = sections_choose($log);
    my $results = results_make($sections);
    my @shown = grep { $_->{state} ne 'refused' } @{ $results->{configurations} };
    my ($base) = grep { $_ && grep { !defined $_->{error} } values %{ $_->{of} } } $results->{native}, @shown;
    die "report: there is no result in the log\n" unless $base;
    return {
        %$results, %options, %$log{qw(machines broken stray)}, machine => $log->{machines}[-1], repeats => \@repeats,
        base => $base, shown => \@shown,
    };
}

# A column's measurement of a workload, undef if there is none.
sub measured {
    my ($column, $workload) = @_;
    my $one = $column->{of}{$workload};
    return $one && !defined $one->{error} ? $one : undef;
}

# The sum of the counters whose names match; undef if there is none.
sub counted {
    my ($one, $pattern) = @_;
    my @names = grep { /$pattern/ } keys %{ $one->{counters} };
    return @names ? sum0(@{ $one->{counters} }{@names}) : undef;
}

# The measurement as if each exit had taken so many cycles more.
sub with_exit_cost {
    my ($one, $cost) = @_;
    my $more = $cost * $one->{all_exits};
    return { %$one, map { $_ => $one->{$_} + $more } qw(median lowest highest) };
}

sub ratio { return $_[1]{median} ? $_[0]{median} / $_[1]{median} : undef }

# The gauges of memory that some measurement has, most telling first: {name, kib (for one), what, peak (its name, or undef)}.
sub memory_gauges {
    my ($results) = @_;
    my @all = map { $_->{gauges} // {} } map { values %{ $_->{of} } } @{ $results->{configurations} };
    my %names = map { $_ => 1 } map { my $gauges = $_; grep { $gauges->{$_} } keys %$gauges } @all;
    my @found;
    for (@MEMORY) {
        my ($pattern, $kib, $what) = @$_;
        for my $name (sort grep { /$pattern/ } keys %names) {
            my $peak = $name =~ s/_used$/_peak/r;
            push @found, { name => $name, kib => $kib, what => $what, peak => $peak ne $name && $names{$peak} ? $peak : undef };
        }
    }
    return @found;
}

1;
