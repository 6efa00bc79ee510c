# What the numbers say to the questions that people ask of this subject: a sentence each, made of the rows, or that this machine, or
# this comparison, cannot tell. Returns blocks. How two measurements are compared is Interval.pm's, which cost an exit has is
# Results.pm's.
package Report::Answers;
use strict;
use warnings;
use Exporter 'import';
use List::Util 'sum0';
use Report::Block qw(plain code heading item paragraph);
use Report::Fastest 'alike';
use Report::Results qw(costed counted counts_instructions measured);
use Report::Statistics qw(grouped listed ratio_text spread_text);
use Report::Turns qw(compared turn_name);
our @EXPORT_OK = 'answers_part';

my @STRATEGIES = qw(adaptive trace lazy eager);
use constant EXIT_ITSELF => 'cpuid'; # a workload that is nothing else is no part of a mean
use constant NOT_HERE => 'An emulator that counts instructions cannot tell: a TLB miss and a walk take none.';

# The column of exactly that name, if it has measured something.
sub named {
    my ($report, $name) = @_;
    my ($column) = grep { $_->{name} eq $name && $_->{measured} } @{ $report->{shown} };
    return $column;
}

# The same, measured by turns if there is such a one.
sub column { my ($report, $name) = @_; return named($report, turn_name($name)) // named($report, $name) }

# Two of these names as columns that can be compared: both by turns, or both not. () if there are no such.
sub pair_of {
    my ($report, @names) = @_;
    my @turns = grep { defined } map { named($report, turn_name($_)) } @names;
    my @boots = grep { defined } map { named($report, $_) } @names;
    return @turns == 2 ? @turns : @boots == 2 ? @boots : ();
}

sub workloads { my ($report) = @_; return grep { $_ ne EXIT_ITSELF } @{ $report->{workloads} } }

# One column against another, by workload: {workload, ratio, low, high} of the workloads that both have.
sub against {
    my ($report, $one, $other) = @_;
    return map {
        my ($first, $second) = map { costed($report, @$_) } [$one, $_], [$other, $_];
        $first && $second && $second->{median} ? { workload => $_, %{ compared($first, $second) } } : ()
    } workloads($report);
}

sub mean_of { return exp(sum0(map { log $_->{ratio} } @_) / @_) }

sub farthest {
    my ($words, @rows) = @_;
    return "$words in none" unless @rows;
    my ($row) = sort { abs log $b->{ratio} <=> abs log $a->{ratio} || $a->{workload} cmp $b->{workload} } @rows;
    return "$words in " . @rows . ', most in ' . code($row->{workload}) . ' (' . ratio_text($row->{ratio}) . ')';
}

# Where two columns surely differ, in these words; where no interval can be told, that.
sub surely {
    my ($longer, $shorter, @rows) = @_;
    my @told = grep { defined $_->{low} } @rows or return 'too few repetitions to be sure of any';
    my @sure = grep { !alike($_) } @told;
    return join ', ', farthest($longer, grep { $_->{ratio} > 1 } @sure), farthest($shorter, grep { $_->{ratio} < 1 } @sure);
}

# "A takes 1.20 times as long as B in the mean of 22 workloads; surely longer in 9, most in `cow` (1.93), surely shorter in none."
sub versus {
    my ($report, $one, $other) = @_;
    my @rows = against($report, $one, $other) or return;
    return code($one->{name}) . ' takes ' . ratio_text(mean_of(@rows)) . ' times as long as ' . code($other->{name})
        . ' in the geometric mean of ' . @rows . (@rows == 1 ? ' workload; ' : ' workloads; ')
        . surely('surely longer', 'surely shorter', @rows) . '.';
}

# The sentences about these pairs of names that the comparison has.
sub pairs {
    my ($report, @pairs) = @_;
    return map { my @columns = pair_of($report, @$_); @columns ? versus($report, @columns) // () : () } @pairs;
}

# Against the bare machine nothing is by turns.
sub to_native {
    my ($report, $name) = @_;
    my $one = column($report, $name);
    return $one && $report->{native} ? versus($report, $one, $report->{native}) // () : ();
}

# Of a guest's cycles, those of page walks: the workload with most.
sub walks_of {
    my ($report, $name) = @_;
    my $column = column($report, $name) // return;
    my @rows = map {
        my $one = measured($column, $_);
        my $cycles = $one && counted($one, qr/^pmu_walk_cycles_(?:load|store|fetch)$/);
        $cycles && $one->{median} ? [$_, 100 * $cycles / $one->{median}] : ()
    } workloads($report);
    my ($most) = sort { $b->[1] <=> $a->[1] } @rows or return;
    return 'Under ' . code($column->{name}) . ' page walks take up to ' . spread_text($most->[1]) . ' of the time ('
        . code($most->[0]) . ').';
}

sub what_ept_costs {
    my ($report) = @_;
    my @walks = map { walks_of($report, $_) // () } qw(ept adaptive);
    my $none = counts_instructions($report) ? 'What its walks in two dimensions cost: ' . lcfirst NOT_HERE
        : 'This machine has counted no page walks.';
    return (to_native($report, 'ept'), @walks ? @walks : $none);
}

sub what_the_tlb_hides {
    my (@pairs) = @_;
    return sub {
        my ($report) = @_;
        return NOT_HERE if counts_instructions($report) && grep { pair_of($report, @$_) } @pairs;
        return pairs($report, @pairs);
    };
}

# Which workloads one way is surely better for than another one.
sub ahead {
    my ($report) = @_;
    my @columns = grep { @$_ } map { [pair_of($report, $_, 'ept')] } @STRATEGIES or return;
    my %best;
    for my $row (map { against($report, @$_) } @columns) {
        my $before = $best{ $row->{workload} };
        $best{ $row->{workload} } = $row if !$before || $row->{ratio} < $before->{ratio};
    }
    my @rows = map { $best{$_} // () } workloads($report);
    return 'The best strategy beside EPT, in ' . @rows . ' workloads: ' . surely('behind', 'ahead', @rows) . '.'
        . (counts_instructions($report) ? ' Where walks are what EPT costs, an emulator cannot tell.' : '');
}

# The strategies by turns if they are, and which of them is fastest, or no slower, in how many workloads.
sub which_strategy {
    my ($report) = @_;
    my ($first, @others) = grep { defined } map { column($report, $_) } @STRATEGIES;
    return unless @others;
    my (%good, $count);
    for my $workload (workloads($report)) {
        my @all = map { costed($report, $_, $workload) // () } $first, @others;
        next if @all < 2;
        my ($best) = sort { $a->{median} <=> $b->{median} } @all;
        push @{ $good{ $_->{name} } }, $workload for grep { $_ == $best || alike(compared($_, $best)) } @all;
        $count++;
    }
    return unless $count;
    my @found = map { code($_->{name}) . ' in ' . @{ $good{ $_->{name} } // [] } } $first, @others;
    return 'Fastest, or no different from it: ' . listed(@found) . " of $count workloads.";
}

sub isolation {
    my ($report) = @_;
    my @lines = map { ($_->{guest} // {})->{command_line} // () } map { @{ $_->{rounds} } } @{ $report->{shown} };
    my $off = grep { /\b(?:pti=off|nopti|mitigations=off)\b/ } @lines;
    return unless @lines;
    my ($here, $other) = $off ? ('off', 'without') : ('as the kernel chooses', 'with');
    return "It is $here here, and one comparison has it one way: its cost is the difference to a second one, "
        . "$other `APPEND=pti=off`.";
}

# [question, what gives its sentences].
my @QUESTIONS = (
    ['What does EPT cost?', \&what_ept_costs],
    ['What does shadow paging cost?', sub { return map { to_native($_[0], $_) } @STRATEGIES }],
    ['When is shadow paging ahead of EPT?', \&ahead],
    ['What does VPID bring?', what_the_tlb_hides(['ept,vpid=off', 'ept'], map { ["$_,vpid=off", $_] } @STRATEGIES)],
    ['What do large pages of the p2m bring?', what_the_tlb_hides(['ept,p2m.max=4k', 'ept'], ['ept,p2m.max=4k', 'ept,p2m.max=2m'],
        ['ept,p2m.max=2m', 'ept'], ['adaptive,p2m.max=4k', 'adaptive'])],
    ['Which strategy of shadow paging?', \&which_strategy],
    ['Is notification by INVLPG (`lazy`) or by tracing cheaper?', sub { return pairs($_[0], ['lazy', 'trace']) }],
    ['What does page-table isolation cost?', \&isolation],
    ['How does KVM compare?', sub { return pairs($_[0], ['kvm,ept', 'ept'], map { ['kvm,shadow', $_] } @STRATEGIES[0, 1]) }],
);

sub answer {
    my ($report, $question, $of) = @_;
    my @sentences = $of->($report);
    return item("$question " . (@sentences ? join ' ', @sentences : 'This comparison does not tell: it lacks a column.'));
}

sub answers_part {
    my ($report) = @_;
    return () unless @{ $report->{shown} };
    my $cost = counts_instructions($report) ? ', with ' . grouped($report->{exit_cost}) . ' cycles added for each exit' : '';
    return (
        heading(2, 'What the numbers say'),
        paragraph("Each sentence is made of the rows above$cost, but for `" . EXIT_ITSELF . '`, which is nothing but an exit.',
            '"Surely": the 95 % interval says so.'),
        map { answer($report, @$_) } @QUESTIONS);
}

1;
