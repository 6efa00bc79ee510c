# What the rounds of a log say about each configuration and workload: medians, spreads, and each iteration's share of what was
# counted. Does not format anything (Table.pm, Plot.pm) and puts no rounds together (Rounds.pm).
package Report::Results;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max sum0 uniq);
use Report::Rounds qw(columns_make repetitions);
use Report::Statistics qw(median half_range);
our @EXPORT_OK = qw(report_make counts_instructions measured costed counted with_exit_cost memory_gauges ratio SOURCE_OF_EXIT_COST);

# The monitor's counters that this report knows by name.
use constant EXITS => 'exits';
# Faults that the monitor repaired, and those that it gave to the guest: Penumbra's name, and KVM's.
use constant { HIDDEN => [qw(hidden_faults pf_fixed)], TRUE => [qw(true_faults pf_guest)] };
# The exit of the timer that ends a guest after limit=: no workload causes it.
use constant TIMER => 'PREEMPTION_TIMER';
# Gauges of memory: their names, KiB for one, and what it is. The first that is there is plotted. NAME_used has its peak in
# NAME_peak; how much a pool could give is no use of memory.
my @MEMORY = (
    [qr/^tables_(?!pool|peak)/, 4, 'shadow tables'],
    [qr/^p2m_tables$/, 4, 'tables of the p2m'],
    [qr/^monitor_memory$|_kib$/, 1, 'memory of the monitor'],
);

# README.md has more.
use constant SOURCE_OF_EXIT_COST => (
    'a null hypercall on a Xeon E5-2450 takes 1,300 cycles under KVM, there and back (C. Dall, S.-W. Li, J. T. Lim, J. Nieh,',
    'G. Koloventzos: ARM Virtualization: Performance and Architectural Implications, ISCA 2016, table II).');

# So many boots are enough for an interval of confidence by themselves; of fewer the repetitions must do.
use constant BOOTS => 4;

# What an interval of confidence is reckoned from, for one iteration: the boots' medians, or the repetitions of all. Of QR codes
# neither is known.
sub values_of {
    my ($line) = @_;
    my @boots = @{ $line->{boots} };
    return [] if repetitions($line) != @{ $line->{cycles} };
    return [map { $_ / $line->{iterations} } @boots < BOOTS ? @{ $line->{cycles} } : map { median(@$_) } @boots];
}

# One workload's line as {workload, rounds, iterations, repetitions, median, lowest, highest, half_range, values (as values_of gives
# them), turns (the same by boot and round), counters, gauges, exits, all_exits, timer, faults}, cycles and counts for one
# iteration; or {workload, rounds, error}. Exits of the limit's timer are in `timer` and in `counters` only.
sub measure {
    my ($line) = @_;
    return { workload => $line->{bench}, rounds => 0, error => $line->{error} } if defined $line->{error};
    my @cycles = sort { $a <=> $b } map { $_ / $line->{iterations} } @{ $line->{cycles} };
    my $all = $line->{iterations} * repetitions($line);
    my %counters = map { $_ => $line->{counters}{$_} / $all } keys %{ $line->{counters} // {} };
    my %exits = map { /^exit\.(.+)/ && $counters{$_} ? ($1 => $counters{$_}) : () } keys %counters;
    my $exits = $counters{ +EXITS } // sum0(values %exits);
    my $timer = delete $exits{ +TIMER } // 0;
    return {
        workload => $line->{bench}, %$line{qw(rounds iterations)}, repetitions => repetitions($line),
        values => values_of($line), turns => $line->{turns},
        median => median(@cycles), lowest => $cycles[0], highest => $cycles[-1], half_range => half_range(@cycles),
        counters => \%counters, gauges => $line->{gauges} // {}, exits => \%exits,
        all_exits => max(0, $exits - $timer), timer => $timer, faults => faults(($line->{guest_faults} // 0) / $all, \%counters),
    };
}

# Direct: what the guest's kernel handled without an exit before. It never hears of a hidden fault.
sub faults {
    my ($handled, $counters) = @_;
    my ($hidden, $true) = map { sum0(map { $counters->{$_} // 0 } @$_) } HIDDEN, TRUE;
    return { hidden => $hidden, true => $true, direct => $handled > $true ? $handled - $true : 0 };
}

# What bench says of each workload itself.
sub about_workloads {
    my (@lines) = @_;
    my %about;
    for my $line (@lines) {
        my %told = map { defined $line->{$_} ? ($_ => $line->{$_}) : () } qw(group operation operations working_set page);
        $about{ $line->{bench} } = { %told, %{ $about{ $line->{bench} } // {} } };
    }
    return \%about;
}

sub is_sweep { my ($about) = @_; return ($about->{group} // '') eq 'sweep' && $about->{working_set} && $about->{page} }

# {native, configurations, workloads, sweep, about}: columns as columns_make gives them, with of => {workload => measurement}, and
# the names of workloads in the order in which they ran, those of a sweep, which are one curve, apart; and of each what it is.
sub results_make {
    my ($sections) = @_;
    my @columns = columns_make(@$sections);
    for my $column (@columns) { $column->{of} = { map { $_->{bench} => measure($_) } values %{ $column->{lines} } } }
    my @lines = map { @{ $_->{workloads} } } map { @{ $_->{rounds} } } @columns;
    my $about = about_workloads(@lines);
    my @names = uniq map { $_->{bench} } @lines;
    my @sweep = grep { is_sweep($about->{$_} // {}) } @names;
    my @workloads = grep { !is_sweep($about->{$_} // {}) } @names;
    my ($native) = grep { $_->{name} eq 'native' } @columns;
    return { native => $native, configurations => [grep { $_->{name} ne 'native' } @columns], workloads => \@workloads,
        sweep => \@sweep, about => $about };
}

sub counts_instructions { my $machine = $_[0]{machine} // {}; return ($machine->{clock} // '') eq 'instructions' }

# What an exit and the entry after it take by themselves: as the monitor has measured it, undef if it told nothing. Where the clock
# counts instructions, no time has it, and it is what is assumed.
sub exit_cost {
    my ($machine, $assumed) = @_;
    return $assumed if !$machine || counts_instructions({ machine => $machine });
    my $measured = $machine->{empty_exit_cycles} // '';
    return $measured =~ /^\d{1,9}\z/a && $measured > 0 ? $measured : undef;
}

# Everything that table, lines and plots are made of: what results_make gives, the log's facts, and these options: exit_cost (as
# assumed), title, symbols (as symbols_read gives them, or undef). Ratios are to `base`; `shown` are the columns that ran.
sub report_make {
    my ($log, %options) = @_;
    my $results = results_make($log->{sections});
    my @machines = map { $_->{machine} // () } @{ $log->{boots} };
    my @shown = grep { grep { $_->{state} ne 'refused' } @{ $_->{rounds} } } @{ $results->{configurations} };
    my ($base) = grep { $_ && $_->{measured} } $results->{native}, @shown;
    die "report: there is no result in the log\n" unless $base;
    return {
        %$results, %options, %$log{qw(boots refusals broken stray turns refused mixed late empty)}, base => $base, shown => \@shown,
        machines => \@machines, machine => $machines[-1], exit_cost => exit_cost($machines[-1], $options{exit_cost}),
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
    my @values = map { $_ + $more } @{ $one->{values} };
    my %turns = map { $_ => [map { $_ + $more } @{ $one->{turns}{$_} }] } keys %{ $one->{turns} };
    return { %$one, values => \@values, turns => \%turns, map { $_ => $one->{$_} + $more } qw(median lowest highest) };
}

# A column's measurement as columns are compared by it, with the column's `name`: where the clock counts instructions, with the
# assumed cost of exits.
sub costed {
    my ($report, $column, $workload) = @_;
    my $one = measured($column, $workload) // return;
    my $cost = counts_instructions($report) ? $report->{exit_cost} : 0;
    return { %{ with_exit_cost($one, $cost) }, name => $column->{name} };
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
