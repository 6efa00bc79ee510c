# What a report says before and beside its numbers: machine, monitor, parameters, guest, and what befell the configurations.
# Returns blocks. The numbers are Table.pm's.
package Report::Heading;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max sum0 uniq);
use Report::Block qw(plain code heading item paragraph);
use Report::Kvm 'is_kvm';
use Report::Machine qw(machine_where far_text);
use Report::Results qw(counts_instructions SOURCE_OF_EXIT_COST);
use Report::Statistics qw(grouped listed);
our @EXPORT_OK = qw(facts notes parameters befell remarks unit_of);

sub unit_of { return counts_instructions($_[0]) ? 'instructions' : 'cycles' }

# "Intel(R) ..., signature 0x50654, microcode 0x0", from the monitor's line or the guest's.
sub processor {
    my ($from) = @_;
    return join ', ', plain($from->{processor} // 'a processor that the log does not name'),
        map { defined $from->{$_} ? "$_ " . plain($from->{$_}) : () } qw(signature microcode);
}

sub where {
    my ($report) = @_;
    my $machine = $report->{machine} // return 'not told: the log has no line of the monitor about the machine';
    return machine_where($machine) . (counts_instructions($report) ? ' (the TSC advances with them, as in Bochs)' : '');
}

# What bench told of the guest, in each round of these columns.
sub guests_of { return map { $_->{guest} // () } map { @{ $_->{rounds} } } @_ }
sub guests { my ($report) = @_; return guests_of(@{ $report->{configurations} }, $report->{native} // ()) }

# The values of one of the guests' facts, each once: one value, or which is whose.
sub guest_fact {
    my ($report, $name, $show) = @_;
    my $values = sub { return map { defined $_->{$name} ? $show->($_->{$name}) : () } @_ };
    my %bare = map { $_ => 1 } $values->(guests_of($report->{native} // ()));
    my @all = uniq $values->(guests($report));
    return '(not told)' unless @all;
    return join '; ', map { $_ . (@all > 1 && $bare{$_} ? ' (native)' : '') } @all;
}

# How many rounds the numbers are of: "3 of each configuration, 2 natively".
sub boots {
    my ($report) = @_;
    my @counts = sort { $a <=> $b } grep { $_ } map { $_->{measured} } @{ $report->{shown} };
    return join ', ', @counts ? join(' to ', uniq @counts[0, -1]) . ' of each configuration' : (),
        $report->{native} ? "$report->{native}{measured} natively" : ();
}

sub machine_facts {
    my ($report) = @_;
    my $machine = $report->{machine} // (guests($report))[0] // {};
    my @lines = ('processor: ' . processor($machine));
    push @lines, 'memory of the machine: ' . plain(grouped($machine->{memory_mib})) . ' MiB' if $machine->{memory_mib};
    my $far = far_text($machine);
    push @lines, "memory and the processor: $far" if defined $far;
    push @lines, 'where: ' . where($report);
    push @lines, 'an exit and the entry after it, by themselves: ' . grouped($report->{exit_cost}) . ' cycles, measured at boot'
        if defined $report->{exit_cost} && $report->{machine} && !counts_instructions($report);
    push @lines, 'frequency of the core: ' . plain($machine->{frequency}) if length($machine->{frequency} // '');
    push @lines, 'monitor: Penumbra ' . plain($machine->{version} // 'of a version that the log does not tell')
        if @{ $report->{configurations} };
    return @lines;
}

sub facts {
    my ($report) = @_;
    my @lines = machine_facts($report);
    push @lines, 'guest kernel: ' . guest_fact($report, 'kernel', \&code);
    push @lines, 'its command line: ' . guest_fact($report, 'command_line', \&code);
    push @lines, 'its memory: ' . guest_fact($report, 'memory_kib', sub { plain(grouped($_[0])) . ' KiB' });
    push @lines, 'its clock: ' . guest_fact($report, 'clocksource', \&code);
    push @lines, 'repetitions of each workload in each boot: ' . guest_fact($report, 'repetitions', \&plain);
    push @lines, 'boots: ' . boots($report);
    return map { item($_) } @lines;
}

sub emulator_words {
    my ($report) = @_;
    my $cost = grouped($report->{exit_cost});
    return paragraph(
        '**Times here are counts of instructions.** In this emulator an exit and the entry after it take about one instruction,',
        'and a TLB miss, a two-dimensional walk and a cache miss take none. So exits look cheap, and what EPT and VPID change in',
        "the TLB does not show. The first table, and the second of ratios, therefore add $cost cycles for each exit, an",
        'instruction taken as a cycle; `--exit-cost` sets another figure. The source of its default, 1,300:', SOURCE_OF_EXIT_COST);
}

sub nested_words {
    my ($report) = @_;
    return () unless grep { length($_->{hypervisor} // '') } @{ $report->{machines} };
    return paragraph('**A hypervisor is below the monitor.** KVM runs all VPIDs of a guest under one of its own, and flushes it '
        . 'at each change: so what `vpid=` and `shadow.vpid=` change here says little of a bare machine.');
}

# What is to be known before any number.
sub notes { my ($report) = @_; return (warnings_of($report), counts_instructions($report) ? emulator_words($report) : ()) }

# Logs that do not belong together.
sub warnings_of {
    my ($report) = @_;
    my @told = grep { defined } map { $_->{processor} } @{ $report->{machines} }, guests($report);
    my @processors = uniq map { join ' ', split } @told;
    my $processors = join '; ', map { plain($_) } @processors;
    my @versions = uniq map { plain($_) } grep { defined } map { $_->{version} } @{ $report->{machines} };
    return (
        @processors > 1 ? paragraph("**The logs are from different processors** ($processors): ratios mean little.") : (),
        @versions > 1 ? paragraph("**The logs are from different versions of the monitor**: @versions.") : (),
        nested_words($report),
        suspicions($report),
        code_words($report),
        unlike_rounds(@{ $report->{configurations} }, $report->{native} // ()));
}

# What the monitor's codes leave out, so that they are few.
sub code_words {
    my ($report) = @_;
    return () unless grep { $_->{of_codes} } map { @{ $_->{rounds} } } @{ $report->{configurations} };
    return paragraph('**Results of QR codes have no exits by reason, no page faults, no page walks and no memory**, and nothing '
        . 'of what the guests told of their kernels: below they are missing, not 0.');
}

# A log in which a guest could speak for the monitor, or has tried to.
sub suspicions {
    my ($report) = @_;
    my ($refused, $mixed, $late) = @$report{qw(refused mixed late)};
    return (
        $refused ? paragraph("**Lines that claim to be the monitor's, or a native run's under it, and are not: $refused.** A guest wrote "
            . 'them, or they are of another boot, whose log must be a file of its own. They are left out.') : (),
        $mixed ? paragraph("**Logs in which a monitor's lines follow a native run: $mixed.** A guest can have written either, so both are "
            . 'left out: capture each boot in a file of its own.') : (),
        $late ? paragraph("**Logs whose beginning is missing: $late.** Their first line of the monitor may be a guest's, and with it "
            . 'the others.') : ());
}

# What rounds that are put together have in common. Which configurations are compared, and how often, changes nothing in any.
my @ALIKE = (
    ['parameters', sub { map { join ' ', grep { !/^compare[.=]/ } split } parameters_of($_[0]) }],
    ['guest kernels', sub { map { $_->{kernel} // () } guests_of($_[0]) }],
    ['command lines of the guest', sub { map { $_->{command_line} // () } guests_of($_[0]) }],
);

# In what the rounds of a column differ, in words.
sub differences {
    my ($column) = @_;
    my @words;
    for (@ALIKE) {
        my ($what, $told) = @$_;
        my @sets = uniq $told->($column);
        my @common = common_words(@sets);
        push @words, "had different $what**: " . listed(map { code(own_words($_, @common)) } @sets) if @sets > 1;
    }
    return @words;
}

# One sentence for all columns whose rounds differ in the same words.
sub unlike_rounds {
    my (@columns) = @_;
    my %whose;
    for my $column (@columns) { push @{ $whose{$_} }, code($column->{name}) for differences($column) }
    return map { paragraph('**Rounds of ' . listed(@{ $whose{$_} }) . " $_.") } sort keys %whose;
}

# The parameters of each round that has told them: a run without compare= has only a summary.
sub parameters_of { return map { ($_->{begin} // $_->{summary} // {})->{parameters} // () } @{ $_[0]{rounds} } }

sub common_words {
    my (@sets) = @_;
    my %count;
    $count{$_}++ for map { uniq split } @sets;
    return grep { $count{$_} == @sets } split ' ', $sets[0] // '';
}

sub own_words {
    my ($set, @common) = @_;
    my %common = map { $_ => 1 } @common;
    return join(' ', grep { !$common{$_} } split ' ', $set) || 'nothing else';
}

# The words of all configurations, and what each has besides, by its first round.
sub parameters {
    my ($report) = @_;
    my @with = map { my ($first) = parameters_of($_); defined $first ? [$_->{name}, $first] : () }
        grep { !is_kvm($_) } @{ $report->{configurations} };
    return () unless @with;
    my @common = common_words(map { $_->[1] } @with);
    my @rows = map { item(plain($_->[0]) . ': ' . code(own_words($_->[1], @common))) } @with;
    return (paragraph('Parameters of all configurations: ' . code(join ' ', @common)),
        @with > 1 ? (paragraph('and of each:'), @rows) : (), ineffective_words($report));
}

# What befell a round, by its state.
my %BEFELL = (
    refused => sub { ($_[0]{kvm} ? 'not run: ' : 'the monitor refused it: ') . plain($_[0]{reason}) },
    broken => sub { 'the machine failed: ' . plain($_[0]{reason}) },
    died => sub { 'its guest died: ' . plain($_[0]{reason}) . '; ' . finished($_[0]) },
    unfinished => sub { 'its guest ended (' . plain($_[0]{reason}) . ') before bench did; ' . finished($_[0]) },
    cut => sub { 'the log has no end of it: cut off or damaged there; ' . finished($_[0]) },
);

sub finished {
    my ($round) = @_;
    my $count = $round->{finished};
    return 'what it finished (' . ($count == 1 ? '1 workload' : "$count workloads") . ') is reported';
}

# bench tells what the monitor counted, and a guest may tell anything: but not more than the monitor's own line about the run.
sub exits_told {
    my ($round) = @_;
    my $all = ($round->{summary} // {})->{exits} // return;
    my $told = sum0 map { ($_->{counters} // {})->{exits} // 0 } @{ $round->{workloads} };
    return if $told <= $all;
    return 'its guest told of ' . grouped($told) . ' exits in its workloads, the monitor counted ' . grouped($all)
        . ' in the whole run: its counters are not to be trusted';
}

sub befell_rounds {
    my ($column) = @_;
    my @rounds = @{ $column->{rounds} };
    my @bad = grep { $BEFELL{ $rounds[$_]{state} } } 0 .. $#rounds;
    return remarks($column, map { [$_ + 1, $BEFELL{ $rounds[$_]{state} }->($rounds[$_])] } @bad);
}

sub told_too_much {
    my ($column) = @_;
    my @rounds = @{ $column->{rounds} };
    return map { my $words = exits_told($rounds[$_]); defined $words ? [$_ + 1, $words] : () } 0 .. $#rounds;
}

# Loads of the guest's roots that exited, although shadow paging can do without: so many as the monitor has a line about, too.
use constant REFUSALS => 64;

sub refused_places {
    my ($column) = @_;
    my @counts = map { ($_->{summary} // {})->{places_refused} // 0 } @{ $column->{rounds} };
    return map { [$_ + 1, refused_words($counts[$_])] } grep { $counts[$_] >= REFUSALS } 0 .. $#counts;
}

sub refused_words {
    return grouped($_[0]) . " loads of its guest's roots exited, since shadow tables could not lie where these roots are: the log "
        . 'says whose memory is there';
}

# What was asked for and is without effect, by the machine or by other words of the configuration.
sub without_effect {
    my ($begin, $by) = @_;
    my $rows = $begin->{without_effect};
    return grep { ref eq 'HASH' && ($_->{by} // '') eq $by } @{ ref $rows eq 'ARRAY' ? $rows : [] };
}

sub with_reason { my ($row) = @_; return code($row->{asked}) . ' (' . plain($row->{why}) . ')' }

sub ineffective_rounds {
    my ($column) = @_;
    my @rounds = @{ $column->{rounds} };
    return map {
        my $number = $_ + 1;
        map { [$number, 'this machine cannot do ' . with_reason($_) . '; in effect was ' . code($_->{instead})] }
            without_effect($rounds[$_]{begin} // {}, 'machine');
    } 0 .. $#rounds;
}

# The others, which are so on every machine: a line for each, with whose it is.
sub ineffective_words {
    my ($report) = @_;
    my (@order, %whose);
    for my $column (@{ $report->{configurations} }) {
        for (without_effect(($column->{rounds}[0] // {})->{begin} // {}, 'configuration')) {
            my $words = with_reason($_);
            push @order, $words unless $whose{$words};
            push @{ $whose{$words} }, code($column->{name});
        }
    }
    return () unless @order;
    my @lines = map { item("$_: " . listed(@{ $whose{$_} })) } @order;
    return (paragraph('What does nothing in a configuration because of its other words:'), @lines);
}

# Remarks about rounds, [number, sentence], as lines: which rounds, unless a sentence is about all of them.
sub remarks {
    my ($column, @remarks) = @_;
    my %rounds;
    push @{ $rounds{ $_->[1] } }, $_->[0] for @remarks;
    my $all = @{ $column->{rounds} };
    return map { item(code($column->{name}) . which($all, @{ $rounds{$_} }) . ": $_") } uniq map { $_->[1] } @remarks;
}

sub which {
    my ($all, @numbers) = @_;
    return @numbers == $all ? '' : ', round' . (@numbers > 1 ? 's ' : ' ') . listed(@numbers) . " of $all";
}

# Configurations of which fewer rounds measured something than of others.
sub fewer_rounds {
    my (@columns) = grep { $_->{measured} } @_;
    my $most = max(0, map { $_->{measured} } @columns);
    return map { item(code($_->{name}) . ": measured in $_->{measured} of the $most boots that others have") }
        grep { $_->{measured} < $most } @columns;
}

# What each boot of the monitor was to run, by its first line, and of which the log has nothing: a sentence each.
sub never_begun {
    my ($report) = @_;
    my @told = grep { ref(($_->{machine} // {})->{configurations}) eq 'ARRAY' } @{ $report->{boots} };
    return map { never_begun_in($report, $_) } @told;
}

# How many rounds of this name the column has of this boot of the monitor: its own, or those by whose switching it was measured.
sub begun {
    my ($column, $name, $boot) = @_;
    my @of_it = grep { ($_->{by} // $column->{name}) eq $name } @{ $column->{rounds} };
    return sum0 map { $_->{pooled} } grep { ($_->{boot} // 0) == $boot } @of_it;
}

sub never_begun_in {
    my ($report, $boot) = @_;
    my $rounds = $boot->{machine}{rounds} // 1;
    my $log = @{ $report->{boots} } > 1 ? 'a log' : 'the log';
    my @lines;
    for my $name (@{ $boot->{machine}{configurations} }) {
        my $begun = max(0, map { begun($_, $name, $boot) } @{ $report->{configurations} });
        my $which = $begun ? 'all of its rounds were begun: ' . ($rounds - $begun) . " of $rounds are missing" : 'it was begun';
        push @lines, item(code($name) . ": $log ends before $which") if $begun < $rounds;
    }
    return @lines;
}

# Everything that is not as it should be, an item each; () if all is well.
sub befell {
    my ($report) = @_;
    my @columns = ($report->{native} // (), @{ $report->{configurations} });
    my @lines = map { befell_rounds($_) } @columns;
    push @lines, never_begun($report);
    push @lines, fewer_rounds(@{ $report->{shown} });
    push @lines, map { remarks($_, @{ $_->{remarks} }, ineffective_rounds($_), told_too_much($_), refused_places($_)) } @columns;
    push @lines, item("lines that could not be read and were left out: $report->{broken}") if $report->{broken};
    push @lines, item("results by turns in modes that the monitor did not want measured (`bench -m`), left out: $report->{turns}")
        if $report->{turns};
    push @lines, map { item('of a log: the monitor refused to run: ' . plain($_)) }
        uniq map { $_->{refused} } @{ $report->{refusals} };
    my $empty = $report->{empty};
    push @lines, item("logs without any line of JSON, since the monitor refused to run, or are packed or recoded: $empty") if $empty;
    push @lines, item("results that belong to no configuration and were left out: $report->{stray}") if $report->{stray};
    return @lines;
}

1;
