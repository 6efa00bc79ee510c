# The rounds of each configuration, and of the bare machine, put together: a round is one section of a log, and it does not
# matter whether the rounds are of one boot of the monitor or of several. So a spread holds what differs from boot to boot too.
# Also what befell each round. Reads no log (Log.pm); what the sums say is for Results.pm.
package Report::Rounds;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max sum0 uniq);
use Report::Block 'plain';
our @EXPORT_OK = qw(columns_make repetitions);

# A section's state, 'complete' or what befell it, and the reason.
sub state_of {
    my ($section) = @_;
    my $end = $section->{summary} && ($section->{summary}{end} // 'no reason given');
    return ('refused', $section->{refused}) if defined $section->{refused};
    return ('broken', $end) if $section->{summary} && $section->{summary}{machine_check};
    return ('died', $end) if $section->{summary} && $section->{summary}{failed};
    return ('complete', '') if $section->{guest_end} && ($end || ($section->{configuration} // '') eq 'native');
    return ('unfinished', $end) if $end;
    return ('cut', '');
}

# A single run, without compare=, has no name: it is called after its summary. That tells too little of its parameters to take
# it for a round of another run, so it gets a name of its own.
sub single_name {
    my ($summary, $taken) = @_;
    my $name = $summary ? join ',', grep { defined } $summary->{mmu}, $summary->{vpid} ? undef : 'vpid=off' : '(unnamed)';
    my ($own, $number) = ($name, 1);
    $own = "$name (" . ++$number . ')' while $taken->{$own}++;
    return $own;
}

# Maps of numbers as one: of each name, what $how makes of all its numbers.
sub combined {
    my ($how, @maps) = @_;
    return { map { my $name = $_; $name => $how->(map { $_->{$name} // () } @maps) } uniq map { keys %$_ } @maps };
}

# Those of QR codes are more than the cycles that are there (Log.pm).
sub repetitions { my ($line) = @_; return $line->{repetitions} // scalar @{ $line->{cycles} } }

# Two lines of one workload as one: as if bench had done the repetitions of both.
sub merged {
    my ($one, $other) = @_;
    my @both = ($one, $other);
    return {
        %$one, rounds => $one->{rounds} + $other->{rounds}, repetitions => sum0(map { repetitions($_) } @both),
        cycles => [map { @{ $_->{cycles} } } @both], boots => [map { @{ $_->{boots} } } @both],
        turns => { map { %{ $_->{turns} } } @both },
        guest_faults => sum0(map { $_->{guest_faults} // 0 } @both),
        counters => combined(\&sum0, map { $_->{counters} // {} } @both),
        gauges => combined(\&max, map { $_->{gauges} // {} } @both),
    };
}

# Adds what a round measured of a workload to what the rounds before it did; gives a remark if they do not fit together.
sub line_add {
    my ($lines, $line, $pooled) = @_;
    my $name = $line->{bench};
    my $before = $lines->{$name};
    if (defined $line->{error}) {
        $lines->{$name} //= { %$line, rounds => 0 };
        return "workload $name failed: " . plain($line->{error});
    }
    my $one = { %$line, rounds => $pooled, boots => [$line->{cycles}],
        turns => { defined $line->{turn} ? ($line->{turn} => [map { $_ / $line->{iterations} } @{ $line->{cycles} }]) : () } };
    my $alone = !$before || defined $before->{error};
    my $other = !$alone && $before->{iterations} != $line->{iterations};
    $lines->{$name} = $alone || $other ? $one : merged($before, $one);
    return unless $other;
    return "workload $name had $line->{iterations} iterations, and $before->{iterations} before: what was before is left out";
}

# A round as its section with {pooled => of how many rounds it is, state, reason, of => {workload => line}, finished => how many
# workloads}. bench may have been told to do a workload twice: the later line counts. What a machine that fails has measured
# counts for nothing.
sub round_make {
    my ($section) = @_;
    my ($state, $reason) = state_of($section);
    my @workloads = $state eq 'broken' ? () : @{ $section->{workloads} };
    my %of = map { $_->{bench} => $_ } @workloads;
    my $finished = grep { !defined $_->{error} } values %of;
    return {
        pooled => 1, %$section, workloads => \@workloads, state => $state, reason => $reason, of => \%of, finished => $finished };
}

# {name, rounds, measured => how many rounds measured something, lines => {workload => line with `rounds`,
# and `boots`, a list of the cycles of each, and `turns`, {boot => cycles of an iteration} by round where it was measured by turns},
# remarks => [[number of the round from 1, sentence]]}
sub column_make {
    my ($name, @sections) = @_;
    my @rounds = map { round_make($_) } @sections;
    my (%lines, @remarks);
    for my $r (0 .. $#rounds) {
        my $of = $rounds[$r]{of};
        push @remarks, map { [$r + 1, $_] } map { line_add(\%lines, $of->{$_}, $rounds[$r]{pooled}) } sort keys %$of;
    }
    my $measured = sum0 map { $_->{pooled} } grep { $_->{finished} } @rounds;
    return { name => $name, rounds => \@rounds, measured => $measured, lines => \%lines, remarks => \@remarks };
}

# A column for each configuration that the sections are of, in the order of first appearance.
sub columns_make {
    my (@sections) = @_;
    my %taken = map { $_ => 1 } grep { defined } map { $_->{configuration} } @sections;
    my (%of, @names);
    for my $section (@sections) {
        push @names, $section->{configuration} // single_name($section->{summary}, \%taken);
        push @{ $of{ $names[-1] } }, $section;
    }
    return map { column_make($_, @{ $of{$_} }) } uniq @names;
}

1;
