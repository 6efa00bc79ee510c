# What a report says before and beside its numbers: machine, monitor, parameters, guest, and what befell the configurations.
# Returns lines of Markdown. The numbers are Table.pm's.
package Report::Heading;
use strict;
use warnings;
use Exporter 'import';
use List::Util 'uniq';
use Report::Results qw(SOURCE_OF_EXIT_COST);
use Report::Statistics qw(grouped);
our @EXPORT_OK = qw(facts parameters befell counts_instructions unit_of);

sub counts_instructions { my $machine = $_[0]{machine} // {}; return ($machine->{clock} // '') eq 'instructions' }
sub unit_of { return counts_instructions($_[0]) ? 'instructions' : 'cycles' }

sub code { return length($_[0] // '') ? "`$_[0]`" : '(not told)' }

# "Intel(R) ..., signature 0x50654, microcode 0x0", from the monitor's line or the guest's.
sub processor {
    my ($from) = @_;
    return join ', ', ($from->{processor} // 'a processor that the log does not name') =~ s/\s+/ /gr,
        map { defined $from->{$_} ? "$_ $from->{$_}" : () } qw(signature microcode);
}

sub where {
    my ($report) = @_;
    my $machine = $report->{machine} // return 'not told: the log has no line of the monitor about the machine';
    return 'an emulator that counts instructions (the TSC advances with them, as in Bochs)' if counts_instructions($report);
    return "nested: the monitor itself runs under $machine->{hypervisor}" if length($machine->{hypervisor} // '');
    return 'bare metal';
}

sub guests {
    my ($report) = @_;
    return grep { defined } map { $_->{section}{guest} } @{ $report->{configurations} }, $report->{native} // ();
}

# The values of one of the guests' facts, each once: one value, or which is whose.
sub guest_fact {
    my ($report, $name, $show) = @_;
    my ($native) = map { $_->{section}{guest} // {} } $report->{native} // {};
    my @all = uniq map { $show->($_->{$name}) } grep { defined $_->{$name} } guests($report);
    return '(not told)' unless @all;
    my $bare = defined $native->{$name} ? $show->($native->{$name}) : undef;
    return join '; ', map { $_ . (@all > 1 && $_ eq ($bare // '') ? ' (native)' : '') } @all;
}

sub machine_facts {
    my ($report) = @_;
    my $machine = $report->{machine} // (guests($report))[0] // {};
    my @lines = ('processor: ' . processor($machine));
    push @lines, 'memory of the machine: ' . grouped($machine->{memory_mib}) . ' MiB' if $machine->{memory_mib};
    push @lines, 'where: ' . where($report);
    push @lines, 'monitor: Penumbra ' . ($machine->{version} // 'of a version that the log does not tell')
        if @{ $report->{configurations} };
    return @lines;
}

sub facts {
    my ($report) = @_;
    my @lines = machine_facts($report);
    push @lines, 'guest kernel: ' . guest_fact($report, 'kernel', \&code);
    push @lines, 'its command line: ' . guest_fact($report, 'command_line', \&code);
    push @lines, 'its memory: ' . guest_fact($report, 'memory_kib', sub { grouped($_[0]) . ' KiB' });
    push @lines, 'its clock: ' . guest_fact($report, 'clocksource', \&code);
    push @lines, 'repetitions of each workload: ' . guest_fact($report, 'repetitions', sub { $_[0] });
    return ((map { "* $_" } @lines), '', warnings_of($report), counts_instructions($report) ? emulator_words($report) : ());
}

sub emulator_words {
    my ($report) = @_;
    my $cost = grouped($report->{exit_cost});
    return (
        '**Times here are counts of instructions.** In this emulator an exit and the entry after it take about one instruction,',
        'and a TLB miss, a two-dimensional walk and a cache miss take none. So exits look cheap, and what EPT and VPID change in',
        "the TLB does not show. The second table therefore adds $cost cycles for each exit, an instruction taken as a cycle;",
        '`--exit-cost` sets another figure. The source of its default, 1,300:', SOURCE_OF_EXIT_COST, '');
}

# Logs of different machines put together.
sub warnings_of {
    my ($report) = @_;
    my @told = grep { defined } map { $_->{processor} } @{ $report->{machines} }, guests($report);
    my @processors = uniq map { join ' ', split } @told;
    my $processors = join '; ', @processors;
    my @versions = uniq grep { defined } map { $_->{version} } @{ $report->{machines} };
    return (
        @processors > 1 ? ("**The logs are from different processors** ($processors): ratios mean little.", '') : (),
        @versions > 1 ? ("**The logs are from different versions of the monitor**: @versions.", '') : ());
}

# The words of all configurations, and what each has besides.
sub parameters {
    my ($report) = @_;
    my @with = grep { defined $_->{section}{begin}{parameters} } @{ $report->{configurations} };
    return () unless @with;
    my %count;
    $count{$_}++ for map { uniq split ' ', $_->{section}{begin}{parameters} } @with;
    my @common = grep { $count{$_} == @with } split ' ', $with[0]{section}{begin}{parameters};
    my @rows = map { "* $_->{name}: " . code(own_words($_, @common)) } @with;
    return ('Parameters of all configurations: ' . code(join ' ', @common), '',
        @with > 1 ? ('and of each:', '', @rows, '') : ());
}

sub own_words {
    my ($column, @common) = @_;
    my %common = map { $_ => 1 } @common;
    return join(' ', grep { !$common{$_} } split ' ', $column->{section}{begin}{parameters}) || 'nothing else';
}

my %BEFELL = (
    refused => sub { "the monitor refused it: $_[1]" },
    died => sub { "its guest died: $_[1]; " . finished($_[0]) },
    unfinished => sub { "its guest ended ($_[1]) before bench did; " . finished($_[0]) },
    cut => sub { 'the log has no end of it: cut off or damaged there; ' . finished($_[0]) },
);

sub finished {
    my ($column) = @_;
    my $count = grep { !defined $_->{error} } values %{ $column->{of} };
    return 'what it finished (' . ($count == 1 ? '1 workload' : "$count workloads") . ') is reported';
}

sub failed_workloads {
    my ($column) = @_;
    return map { "* `$column->{name}`: workload $_->{workload} failed: $_->{error}" } grep { defined $_->{error} }
        sort { $a->{workload} cmp $b->{workload} } values %{ $column->{of} };
}

# The configurations that the monitor was told to compare, of which the log has nothing.
sub never_begun {
    my ($report) = @_;
    my %seen = map { $_->{name} => 1 } @{ $report->{configurations} };
    return grep { !$seen{$_} } split m{/}, ($report->{machine} // {})->{compare} // '';
}

# Everything that is not as it should be, a line each; () if all is well.
sub befell {
    my ($report) = @_;
    my @columns = ($report->{native} // (), @{ $report->{configurations} });
    my @lines = map { my $say = $BEFELL{ $_->{state} }; $say ? "* `$_->{name}`: " . $say->($_, $_->{reason}) : () } @columns;
    push @lines, map { "* `$_`: the log ends before it was begun" } never_begun($report);
    push @lines, map { failed_workloads($_) } @columns;
    push @lines, map { "* $_" } @{ $report->{repeats} };
    push @lines, "* lines that could not be read and were left out: $report->{broken}" if $report->{broken};
    push @lines, "* results that belong to no configuration and were left out: $report->{stray}" if $report->{stray};
    return @lines;
}

1;
