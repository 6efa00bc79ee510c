# What a report says, as blocks: first which mode is fastest, then why, then all the rest, and how to read it. Puts numbers into
# cells; where they come from is Results.pm's and Fastest.pm's, what they are worth Statistics.pm's and Interval.pm's.
package Report::Table;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(sum0 uniq);
use Report::Answers 'answers_part';
use Report::Auto 'auto_part';
use Report::Block qw(heading paragraph item table picture fold cell plain code);
use Report::Equality qw(inequalities kernels_differ);
use Report::Fastest qw(fastest NEAR);
use Report::Frequency qw(frequency_warnings frequency_of interrupted smis_of);
use Report::Heading qw(facts notes parameters befell unit_of);
use Report::Kvm 'kvm_part';
use Report::Machine qw(machines_of machine_blocks);
use Report::Operation qw(operation_part sweep_part);
use Report::Places 'places_part';
use Report::Results qw(counts_instructions measured counted with_exit_cost memory_gauges ratio);
use Report::Statistics qw(differs best_of ratio_text count_text spread_text grouped listed);
use Report::Turns qw(agreements MARGIN);
our @EXPORT_OK = 'report_blocks';

# What stands for a measurement that is not there.
sub lack {
    my ($column, $workload) = @_;
    return defined(($column->{of}{$workload} // {})->{error}) ? 'failed' : '-';
}

sub spread {
    my ($one) = @_;
    return '(' . spread_text($one->{median} ? 100 * $one->{half_range} / $one->{median} : 0) . ')';
}

# The name of the raw rows that a column's number of a workload is made of.
sub raw_name { my ($column, $workload) = @_; return "$workload $column->{name}" }
sub raw_cell { my ($column, $workload, $text) = @_; return cell($text, to => raw_name($column, $workload)) }

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
        my ($one, $column) = ($all[$_], $report->{shown}[$_]);
        $one ? $base ? raw_cell($column, $workload, ratio_cell($one, $base, $best)) : '-' : lack($column, $workload)
    } 0 .. $#all;
    my $native = $base && raw_cell($report->{base}, $workload, join ' ', count_text($base->{median}), spread($base));
    return [$workload, $native // lack($report->{base}, $workload), @cells];
}

sub ratios {
    my ($report, $cost) = @_;
    my $first = plain("$report->{base}{name}, " . unit_of($report));
    return table(['workload', $first, map { plain($_->{name}) } @{ $report->{shown} }],
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
    return @rows ? table(['workload', map { plain($_->{name}) } @$columns], @rows) : paragraph('None.');
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
    return (heading(3, 'Exits of ' . plain($column->{name}) . ', by reason'), table(['workload', @reasons], @rows));
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
        push @tables, heading(3, $title), counts($report, \@columns, sub { $_[0]{faults}{$kind} });
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
    return paragraph('The monitor had no performance counters for them.') unless @there;
    return map { my ($pattern, $title) = @$_;
        (heading(3, $title), counts($report, $report->{shown}, sub { counted($_[0], $pattern) // 0 })) } @there;
}

# In percent of the TSC's rate, where somebody counted it.
sub frequency_part {
    my ($report) = @_;
    my @columns = ($report->{native} // (), @{ $report->{shown} });
    my @told = grep { defined } map { my $w = $_; map { my $one = measured($_, $w); $one ? frequency_of($one) : () } @columns }
        @{ $report->{workloads} };
    return () unless @told;
    return (heading(2, 'The core\'s frequency, in percent of the time stamp counter\'s'),
        counts($report, \@columns, \&frequency_of, sub { sprintf '%.1f', $_[0] }));
}

sub memory_table {
    my ($report, $gauge) = @_;
    my ($name, $peak) = @$gauge{qw(name peak)};
    my @columns = grep { grep { ($_->{gauges} // {})->{$name} } values %{ $_->{of} } } @{ $report->{shown} };
    my $show = sub { my ($now, $most) = @{ $_[0] }; join ' / ', map { grouped($_ * $gauge->{kib}) } $now, $most // () };
    my $of = sub { my $g = $_[0]{gauges}; [$g->{$name} // 0, $peak ? $g->{$peak} // 0 : ()] };
    my $title = ucfirst "$gauge->{what} (`$name`), KiB" . ($peak ? ', and the most so far' : '');
    return (heading(3, $title), counts($report, \@columns, $of, $show));
}

sub memory_tables {
    my ($report) = @_;
    my @tables = map { memory_table($report, $_) } memory_gauges($report);
    return @tables ? @tables : paragraph('The log has no gauge of memory.');
}

sub plot { my ($report, $file, $text) = @_; return $report->{plots}{$file} ? picture($file, $text) : () }

sub reading {
    my ($report) = @_;
    my $base = $report->{base};
    my $name = plain($base->{name});
    return (paragraph(
        "A cell is the median of all repetitions divided by that of $name: 1.00 is as fast, 2.00 takes twice as long.",
        "The first column is the median of $name itself, for one iteration. In brackets is the spread: half of what the",
        'highest repetition is above the lowest, relative to the median. `~`: the difference is smaller than the larger half range',
        "of the two, or there is none: it says nothing. The best configuration of a row is **bold**, unless its difference to",
        'another one is within the spread. `-`: not measured; `failed`: the reason is above.',
        interrupted($report) ? '`!`: a system-management interrupt came, whose time is in the number.' : ()),
        one_boot_words($report));
}

# A spread of one boot's repetitions is easily too small: it holds nothing of what differs from boot to boot.
sub one_boot_words {
    my ($report) = @_;
    my @columns = grep { $_->{measured} } uniq $report->{base}, @{ $report->{shown} };
    my @once = grep { $_->{measured} == 1 } @columns;
    return () unless @once;
    my $whose = @once < @columns ? 'The spread of ' . listed(map { code($_->{name}) } @once) : 'The spread';
    return paragraph("$whose is that of one boot's repetitions; two boots of the same configuration can differ by more:",
        '`REPEAT=` runs several.');
}

# A ratio with its interval. Near 1 the third digit after the point says something.
sub ratio_cells {
    my ($ratio) = @_;
    return ('-', '-') unless $ratio;
    my ($value, @ends) = map { abs $_ < 1.0995 ? sprintf '%.3f', $_ : ratio_text($_) } grep { defined } @$ratio{qw(ratio low high)};
    return ($value, @ends ? join ' to ', @ends : 'too few');
}

sub groups_told { my ($report) = @_; return grep { defined $_->{group} } values %{ $report->{about} } }

sub fastest_row {
    my ($report, $found) = @_;
    my ($behind, $base) = @$found{qw(behind base)};
    my $differ = defined $found->{next};
    return [
        $found->{workload}, groups_told($report) ? plain($report->{about}{ $found->{workload} }{group} // '-') : (),
        $differ ? '**' . plain($found->{name}) . '**' : 'no difference',
        $differ ? join(', ', map { plain($_) } @{ $found->{alike} }) || '-' : 'all',
        $differ ? plain($found->{next}) : '-', ratio_cells($behind), $report->{native} ? ratio_cells($base) : ()];
}

sub fastest_part {
    my ($report) = @_;
    my @found = fastest($report) or return ();
    my $cost = grouped($report->{exit_cost} // 0);
    return (
        heading(2, 'Which mode is fastest'),
        counts_instructions($report) ? paragraph("With $cost cycles added for each exit.") : (),
        table(['workload', groups_told($report) ? 'group' : (),
                'fastest', 'no difference to it', 'next', 'next to fastest', '95 % interval',
            $report->{native} ? ('fastest to native', '95 % interval') : ()], map { fastest_row($report, $_) } @found),
        fastest_reading($report), agreement_words($report));
}

sub fastest_reading {
    my ($report) = @_;
    my @turns = grep { %{ $_->{turns} // {} } } map { values %{ $_->{of} } } @{ $report->{shown} };
    return (@turns ? turns_reading() : (), paragraph(
        'The interval is of the ratio of two modes: where it contains 1, or lies within ' . 100 * NEAR . ' % of it, there is',
        'no difference. It is exact whatever the noise is',
        'like (Hodges and Lehmann, by the rank sum; the ratio beside it is theirs, too), and one in twenty misses the truth.',
        '`too few`: there are less than four repetitions, and by so few no difference is sure. It is of the repetitions of these',
        'boots, or of the boots where there are four of each: two boots can differ by more than the repetitions in one.'));
}

sub turns_reading {
    return paragraph(
        '`(switch)`: one guest, whose mode changed while it ran, measured these modes by turns. Here they are compared with one',
        'another only, in pairs of one round each (the same intervals, by the signed ranks): what differs from boot to boot, or',
        'drifts, is not in them. `too few` means less than six rounds there. A mode that is slow even with one iteration has fewer',
        'rounds; it is compared with the others apart, not in pairs, for which three rounds beside their six are enough.');
}

# Whether both ways to measure a mode agree: the sentences that shout, and the table.
sub disagreements { my ($report) = @_; return map { disagreement($_) } agreements($report) }

sub disagreement {
    my ($mode) = @_;
    my @differ = grep { $mode->{of}{$_}{differs} } sort keys %{ $mode->{of} } or return ();
    my ($name, $percent, $where) = (plain($mode->{name}), 100 * MARGIN . ' %', listed(map { plain($_) } @differ));
    return paragraph("**$name is not the same by switch and by boot**, by more than $percent, for $where.",
        $mode->{without_pcid} ? 'A known reason: its boot has PCID, which a guest whose mode may change has not.' : ());
}

sub agreement_cell {
    my ($found) = @_;
    my ($ratio, $ends) = ratio_cells($found);
    return $found ? "$ratio ($ends)" . ($found->{differs} ? ' !' : '') : '-';
}

# In a sentence, whether all that was measured both ways agrees; () if nothing was.
sub agreement_words {
    my ($report) = @_;
    my @all = map { my $m = $_; map { { %{ $m->{of}{$_} }, what => plain("$_ under $m->{name}") } } sort keys %{ $m->{of} } }
        agreements($report) or return ();
    my @told = grep { defined $_->{low} } @all or return paragraph('Whether both ways to measure a mode agree is not known: '
        . 'there are too few repetitions for an interval.');
    my $differ = grep { $_->{differs} } @told;
    my ($farthest) = sort { abs log $b->{ratio} <=> abs log $a->{ratio} } @told;
    my ($verdict, $count) = $differ ? ('do not agree everywhere', $differ) : ('agree', 'none');
    my ($ratio) = ratio_cells($farthest);
    return paragraph(
        "**By switch and by boot $verdict.** More than " . 100 * MARGIN . " % apart: $count of " . @told . ' measurements, one for each',
        "mode and workload. The farthest apart is $farthest->{what}: by switch it takes $ratio of its time by boot.",
        @told < @all ? 'Of ' . (@all - @told) . ' more there are too few repetitions to tell.' : ());
}

sub agreement_part {
    my ($report) = @_;
    my @modes = agreements($report) or return ();
    my @rows = map { my $w = $_; [$w, map { agreement_cell($_->{of}{$w}) } @modes] }
        grep { my $w = $_; grep { $_->{of}{$w} } @modes } @{ $report->{workloads} };
    my @pcid = grep { $_->{without_pcid} } @modes;
    return (
        heading(2, 'The same mode by switch and by boot'),
        paragraph('The time by switch divided by that in a boot of its own, with its 95 % interval. `!`: the interval is',
            'farther from 1 than ' . 100 * MARGIN . ' %, which two boots of one configuration can differ by.'),
        @pcid ? paragraph('A guest whose mode may change has no PCID, and it had in the boots of '
            . listed(map { code($_->{name}) } @pcid) . ': there a difference may be just that.') : (),
        table(['workload', map { plain($_->{name}) } @modes], @rows));
}

sub ratio_part {
    my ($report) = @_;
    return () unless @{ $report->{workloads} };
    return (heading(2, 'Ratio to ' . plain($report->{base}{name})),
        $report->{native} ? () : paragraph('**The log has no native run**: ratios are to the first configuration.'),
        ratios($report, 0), reading($report), plot($report, 'ratio', 'Ratio by workload and configuration'),
        counts_instructions($report) ? (
            heading(2, 'The same with ' . grouped($report->{exit_cost}) . ' cycles added for each exit'),
            ratios($report, $report->{exit_cost}), plot($report, 'ratio-exit-cost', 'Ratio with the cost of exits')) : ());
}

sub timer_words {
    my ($report) = @_;
    return () unless grep { $_->{timer} } map { values %{ $_->{of} } } @{ $report->{shown} };
    return paragraph('Exits of the timer that `limit=` sets are left out: they come once a second, whatever the workload.');
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
    return (heading(2, 'Cycles of exits for one iteration: by themselves + in the monitor'),
        counts($report, $report->{shown}, \&cycles_of_exits, $show));
}

# Why the ratios are as they are.
sub why_parts {
    my ($report) = @_;
    my $flushes = sub { counted($_[0], qr/^inv(?:vpid_\w+|ept)$/) // 0 };
    return (
        auto_part($report),
        heading(2, 'Exits for one iteration'), counts($report, $report->{shown}, sub { $_[0]{all_exits} }), timer_words($report),
        plot($report, 'exits', 'Exits for one iteration, by reason'), (map { reasons($report, $_) } @{ $report->{shown} }),
        exit_cycles_part($report), places_part($report),
        heading(2, 'Page faults for one iteration'), fault_tables($report), plot($report, 'faults', 'Hidden and true faults'),
        heading(2, 'Page walks for one iteration'), walk_tables($report),
        heading(2, 'Flushes of the TLB for one iteration'),
        paragraph('INVVPID and INVEPT, by the monitor. Without VPID each exit and each entry flushes as well.'),
        counts($report, $report->{shown}, $flushes));
}

sub memory_part {
    my ($report) = @_;
    return (heading(2, 'Memory after the workload'), memory_tables($report), plot($report, 'memory', 'Memory of shadow tables'));
}

# What bench told of a workload in one round.
sub raw_row {
    my ($column, $workload, $number) = @_;
    my $line = $column->{rounds}[$number - 1]{of}{$workload} // return;
    my $map = sub { my $of = $_[0] // {}; return join(', ', map { "$_ " . grouped($of->{$_}) } sort keys %$of) || '-' };
    my @told = defined $line->{error} ? ('-', plain($line->{error}), '-', '-')
        : ($line->{iterations}, join(' ', map { grouped($_) } @{ $line->{cycles} }), map { $map->($_) }
            { 'page faults' => $line->{guest_faults} // 0, %{ $line->{counters} // {} } }, $line->{gauges});
    return [cell(plain($column->{name}), name => raw_name($column, $workload)), $number, @told];
}

sub raw_fold {
    my ($report, $workload) = @_;
    my @rows = map { my $column = $_; map { raw_row($column, $workload, $_) } 1 .. @{ $column->{rounds} } }
        $report->{native} // (), @{ $report->{shown} };
    return fold($workload, table(['configuration', 'round', 'iterations', 'cycles of each repetition', 'counted in all repetitions',
        'gauges at the end'], @rows));
}

sub raw_part {
    my ($report) = @_;
    return (heading(2, 'The raw rows'),
        paragraph('What bench told in each round, behind each number: in `report.html`, and for programs in `results.jsonl`.'),
        map { raw_fold($report, $_) } map { @$_ } @$report{qw(workloads sweep)});
}

sub rest_parts {
    my ($report) = @_;
    return (
        frequency_part($report), @{ $report->{shown} } ? memory_part($report) : (),
        heading(2, 'The machine and the guest'), facts($report), parameters($report), kernels_differ($report),
        map({ machine_blocks($_->{machine}, 'The machine', 2) } machines_of($report)), raw_part($report));
}

sub report_blocks {
    my ($report) = @_;
    my @befell = (befell($report), interrupted($report));
    return (
        heading(1, plain($report->{title})), notes($report), disagreements($report), frequency_warnings($report),
        inequalities($report),
        @befell ? (heading(2, 'What did not go as asked'), @befell) : (),
        fastest_part($report), ratio_part($report), operation_part($report), sweep_part($report), agreement_part($report),
        kvm_part($report),
        @{ $report->{shown} } ? why_parts($report) : (), rest_parts($report), answers_part($report));
}

1;
