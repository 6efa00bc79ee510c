# The report as Markdown: heading, ratios, exits, faults, memory, and how to read them. Puts numbers into cells; where they
# come from is Results.pm's, what they are worth Statistics.pm's.
package Report::Table;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max sum0 uniq);
use Report::Equality qw(inequalities kernels_differ);
use Report::Frequency qw(frequency_warnings frequency_of interrupted smis_of);
use Report::Heading qw(facts parameters befell counts_instructions unit_of);
use Report::Results qw(measured counted with_exit_cost memory_gauges ratio);
use Report::Statistics qw(differs best_of ratio_text count_text spread_text grouped listed);
our @EXPORT_OK = qw(report_text);

# Rows as aligned columns, the first one to the left.
sub columns {
    my (@rows) = @_;
    my @widths = map { my $i = $_; max map { length $_->[$i] } @rows } 0 .. $#{ $rows[0] };
    my @lines = map { my $row = $_; join ' | ', map { sprintf $_ ? '%*s' : '%-*s', $widths[$_], $row->[$_] } 0 .. $#$row } @rows;
    my $rule = '|' . join('|', map { '-' x ($widths[$_] + 1) . ($_ ? ':' : '-') } 0 .. $#widths) . '|';
    my ($heading, @rest) = map { "| $_ |" } @lines;
    return ($heading, $rule, @rest, '');
}

# What stands for a measurement that is not there.
sub lack {
    my ($column, $workload) = @_;
    return defined(($column->{of}{$workload} // {})->{error}) ? 'failed' : '-';
}

sub spread {
    my ($one) = @_;
    return '(' . spread_text($one->{median} ? 100 * $one->{half_range} / $one->{median} : 0) . ')';
}

# A cell of the ratios. $best is the row's best measurement, if there is one.
sub ratio_cell {
    my ($one, $base, $best) = @_;
    my $ratio = ratio($one, $base) // return '-';
    my $text = ratio_text($ratio);
    $text = "**$text**" if $best && $best == $one;
    return join ' ', $text, spread($one), $one != $base && !differs($one, $base) ? '~' : (), smis_of($one) ? '!' : ();
}

# The measurements of a row: of the base and of each configuration, with $cost more for each exit; undef where there is none.
sub row_of {
    my ($report, $workload, $cost) = @_;
    my %made = map { my $one = measured($_, $workload); $one ? ($_->{name} => with_exit_cost($one, $cost)) : () }
        $report->{base}, @{ $report->{shown} };
    return map { $made{ $_->{name} } } $report->{base}, @{ $report->{shown} };
}

sub ratio_row {
    my ($report, $workload, $cost) = @_;
    my ($base, @all) = row_of($report, $workload, $cost);
    my $best = best_of(grep { defined } @all);
    my @cells = map {
        my $one = $all[$_];
        $one ? $base ? ratio_cell($one, $base, $best) : '-' : lack($report->{shown}[$_], $workload)
    } 0 .. $#all;
    return [$workload, $base ? join ' ', count_text($base->{median}), spread($base) : lack($report->{base}, $workload), @cells];
}

sub ratios {
    my ($report, $cost) = @_;
    my $heading = "$report->{base}{name}, " . unit_of($report);
    return columns(['workload', $heading, map { $_->{name} } @{ $report->{shown} }],
        map { ratio_row($report, $_, $cost) } @{ $report->{workloads} });
}

# A table of one number for each workload and column; rows that are all 0 are left out. $of gives the number of a measurement.
sub counts {
    my ($report, $columns, $of, $show) = @_;
    $show //= \&count_text;
    my @rows;
    for my $workload (@{ $report->{workloads} }) {
        my @numbers = map { my $one = measured($_, $workload); $one ? $of->($one) : undef } @$columns;
        next unless grep { $_ } @numbers;
        my @cells = map { defined $numbers[$_] ? $show->($numbers[$_]) : lack($columns->[$_], $workload) } 0 .. $#numbers;
        push @rows, [$workload, @cells];
    }
    return @rows ? columns(['workload', map { $_->{name} } @$columns], @rows) : ('None.', '');
}

# One configuration's exits: a row for each workload that has some, a column for each reason.
sub reasons {
    my ($report, $column) = @_;
    my @with = grep { $_ && $_->{all_exits} } map { measured($column, $_) } @{ $report->{workloads} };
    return () unless @with;
    my %sum;
    for my $one (@with) { $sum{$_} += $one->{exits}{$_} for keys %{ $one->{exits} } }
    my @reasons = sort { $sum{$b} <=> $sum{$a} || $a cmp $b } keys %sum or return ();
    my @rows = map { my $one = $_; [$one->{workload}, map { count_text($one->{exits}{$_} // 0) } @reasons] } @with;
    return ("### Exits of $column->{name}, by reason", '', columns(['workload', @reasons], @rows));
}

my @FAULTS = (
    ['hidden', 'Hidden faults: exited, and the guest never heard of them'],
    ['true', 'True faults: exited, and were given to the guest'],
    ['direct', 'Direct faults: the guest handled them without an exit'],
);

sub fault_tables {
    my ($report) = @_;
    my @monitored = @{ $report->{shown} };
    my @tables;
    for (@FAULTS) {
        my ($kind, $title) = @$_;
        my @columns = $kind eq 'direct' ? ($report->{native} // (), @monitored) : @monitored;
        push @tables, "### $title", '', counts($report, \@columns, sub { $_[0]{faults}{$kind} });
    }
    return @tables;
}

# What the processor's performance counters count of the guest. Whether the cycles of EPT walks are in those of the others
# depends on the processor.
my @WALKS = (
    [qr/^pmu_walk_cycles_(?:load|store|fetch)$/, 'Cycles of page walks'],
    [qr/^pmu_walk_cycles_ept$/, 'Cycles of walks of EPT tables'],
    [qr/^pmu_walks_/, 'Page walks: misses of all TLBs'],
);

sub walk_tables {
    my ($report) = @_;
    my @all = grep { !defined $_->{error} } map { values %{ $_->{of} } } @{ $report->{shown} };
    my @there = grep { my $pattern = $_->[0]; grep { defined counted($_, $pattern) } @all } @WALKS;
    return ('The monitor had no performance counters for them.', '') unless @there;
    return map { my ($pattern, $title) = @$_;
        ("### $title", '', counts($report, $report->{shown}, sub { counted($_[0], $pattern) // 0 })) } @there;
}

# In percent of the TSC's rate, where somebody counted it.
sub frequency_part {
    my ($report) = @_;
    my @columns = ($report->{native} // (), @{ $report->{shown} });
    my @told = grep { defined } map { my $w = $_; map { my $one = measured($_, $w); $one ? frequency_of($one) : () } @columns }
        @{ $report->{workloads} };
    return () unless @told;
    return ('## The core\'s frequency, in percent of the time stamp counter\'s', '',
        counts($report, \@columns, \&frequency_of, sub { sprintf '%.1f', $_[0] }));
}

sub memory_table {
    my ($report, $gauge) = @_;
    my ($name, $peak) = @$gauge{qw(name peak)};
    my @columns = grep { grep { ($_->{gauges} // {})->{$name} } values %{ $_->{of} } } @{ $report->{shown} };
    my $show = sub { my ($now, $most) = @{ $_[0] }; join ' / ', map { grouped($_ * $gauge->{kib}) } $now, $most // () };
    my $of = sub { my $g = $_[0]{gauges}; [$g->{$name} // 0, $peak ? $g->{$peak} // 0 : ()] };
    my $title = ucfirst "$gauge->{what} (`$name`), KiB" . ($peak ? ', and the most so far' : '');
    return ("### $title", '', counts($report, \@columns, $of, $show));
}

sub memory_tables {
    my ($report) = @_;
    my @tables = map { memory_table($report, $_) } memory_gauges($report);
    return @tables ? @tables : ('The log has no gauge of memory.', '');
}

sub picture { my ($report, $file, $text) = @_; return $report->{plots}{$file} ? ("![$text]($file.svg)", '') : () }

sub reading {
    my ($report) = @_;
    my $base = $report->{base};
    return (
        "A cell is the median of all repetitions divided by that of $base->{name}: 1.00 is as fast, 2.00 takes twice as long.",
        "The first column is the median of $base->{name} itself, for one iteration. In brackets is the spread: half of what the",
        'highest repetition is above the lowest, relative to the median. `~`: the difference is smaller than the larger half range',
        "of the two, or there is none: it says nothing. The best configuration of a row is **bold**, unless its difference to",
        'another one is within the spread. `-`: not measured; `failed`: the reason is above.',
        interrupted($report) ? '`!`: a system-management interrupt came, whose time is in the number.' : (),
        '', one_boot_words($report));
}

# A spread of one boot's repetitions is easily too small: it holds nothing of what differs from boot to boot.
sub one_boot_words {
    my ($report) = @_;
    my @columns = grep { $_->{measured} } uniq $report->{base}, @{ $report->{shown} };
    my @once = grep { $_->{measured} == 1 } @columns;
    return () unless @once;
    my $whose = @once < @columns ? 'The spread of ' . listed(map { "`$_->{name}`" } @once) : 'The spread';
    return ("$whose is that of one boot's repetitions; two boots of the same configuration can differ by more:",
        '`REPEAT=` runs several.', '');
}

sub ratio_part {
    my ($report) = @_;
    return ('## Ratio to ' . $report->{base}{name}, '',
        $report->{native} ? () : ('**The log has no native run**: ratios are to the first configuration.', ''),
        ratios($report, 0), reading($report), picture($report, 'ratio', 'Ratio by workload and configuration'),
        counts_instructions($report) ? (
            '## The same with ' . grouped($report->{exit_cost}) . ' cycles added for each exit', '',
            ratios($report, $report->{exit_cost}), picture($report, 'ratio-exit-cost', 'Ratio with the cost of exits')) : ());
}

sub timer_words {
    my ($report) = @_;
    return () unless grep { $_->{timer} } map { values %{ $_->{of} } } @{ $report->{shown} };
    return ('Exits of the timer that `limit=` sets are left out: they come once a second, whatever the workload.', '');
}

# What the exits of an iteration take: by themselves, and in the monitor. Told where the first was measured.
sub cycles_of_exits {
    my ($one) = @_;
    my @parts = map { counted($one, qr/^${_}_cycles$/) // 0 } qw(switch monitor);
    return $one->{all_exits} ? \@parts : 0;
}

sub exit_cycles_part {
    my ($report) = @_;
    return () unless grep { $_->{counters}{switch_cycles} } map { values %{ $_->{of} } } @{ $report->{shown} };
    my $show = sub { ref $_[0] ? join ' + ', map { count_text($_) } @{ $_[0] } : 0 };
    return ('## Cycles of exits for one iteration: by themselves + in the monitor', '',
        counts($report, $report->{shown}, \&cycles_of_exits, $show));
}

sub counted_parts {
    my ($report) = @_;
    return (
        '## Exits for one iteration', '', counts($report, $report->{shown}, sub { $_[0]{all_exits} }), timer_words($report),
        picture($report, 'exits', 'Exits for one iteration, by reason'), (map { reasons($report, $_) } @{ $report->{shown} }),
        exit_cycles_part($report),
        '## Page faults for one iteration', '', fault_tables($report), picture($report, 'faults', 'Hidden and true faults'),
        '## Page walks for one iteration', '', walk_tables($report),
        frequency_part($report),
        '## Memory after the workload', '', memory_tables($report), picture($report, 'memory', 'Memory of shadow tables'));
}

sub report_text {
    my ($report) = @_;
    my @befell = (befell($report), interrupted($report));
    my @lines = (
        "# $report->{title}", '', facts($report), frequency_warnings($report), inequalities($report), parameters($report),
        @befell ? ('## What did not go as asked', '', @befell, '') : (),
        ratio_part($report), @{ $report->{shown} } ? counted_parts($report) : (), kernels_differ($report));
    return join '', map { "$_\n" } @lines[0 .. $#lines - 1];
}

1;
