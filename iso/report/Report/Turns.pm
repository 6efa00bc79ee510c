# A boot in which a guest measured several modes by turns (compare.how=switch): one section of a log for each mode, so that it has a
# column of its own, named "trace (switch)" beside "trace", which had a boot of its own. Also which values of two columns were
# measured in pairs, and whether both ways to measure one mode agree. Knows what Log.pm, Rounds.pm and Results.pm make.
package Report::Turns;
use strict;
use warnings;
use Exporter 'import';
use Report::Interval qw(paired apart);
our @EXPORT_OK = qw(sections_by_mode modes_of turn_name compared agreements MARGIN);

# Two boots of one configuration that do the same can differ by so much: only more is a disagreement.
use constant MARGIN => 0.05;

sub turn_name { return "$_[0] (switch)" }

# What the monitor wants measured by turns in a section, {mode, parameters ...}.
sub modes_of {
    my ($section) = @_;
    my $modes = ($section->{begin} // {})->{modes};
    return grep { ref eq 'HASH' && ($_->{mode} // '') =~ /^[\w.,=+-]{1,63}\z/a } @{ ref $modes eq 'ARRAY' ? $modes : [] };
}

# A section as it is, or one for each mode that the monitor wants measured. `by` is the name of the boot, as the monitor's plan
# has it.
sub sections_by_mode {
    my ($section) = @_;
    my @modes = modes_of($section);
    return @modes ? map { section_of_mode($section, $_) } @modes : $section;
}

sub section_of_mode {
    my ($section, $mode) = @_;
    my @told = grep { ($_->{mode} // '') eq $mode->{mode} } @{ $section->{workloads} };
    my ($refused) = grep { !defined $_->{positions} } @told;
    my @lines = map { { %$_, turn => "$section" } } grep { defined $_->{positions} } @told;
    return {
        %$section, by => $section->{configuration}, configuration => turn_name($mode->{mode}), mode => $mode->{mode},
        begin => { %{ $section->{begin} }, %$mode }, workloads => \@lines,
        $refused ? (refused => "its guest was told: $refused->{error}") : ()};
}

# The ratio of two measurements, with its interval where there are enough values of both: by pairs where one guest measured both.
sub compared {
    my ($one, $other) = @_;
    my @turns = sort grep { @{ $other->{turns}{$_} // [] } == @{ $one->{turns}{$_} } } keys %{ $one->{turns} };
    return paired(map { my $of = $_->{turns}; [map { @{ $of->{$_} } } @turns] } $one, $other) if @turns;
    my @values = map { $_->{values} } $one, $other;
    return apart(@values) unless grep { !@$_ } @values;
    return { ratio => $other->{median} ? $one->{median} / $other->{median} : undef };
}

# Columns of a mode measured both ways, [by switch, by boot].
sub both_ways {
    my ($report) = @_;
    my %of = map { $_->{name} => $_ } @{ $report->{shown} };
    return map { $of{ turn_name($_->{name}) } ? [$of{ turn_name($_->{name}) }, $_] : () } @{ $report->{shown} };
}

# Of each such mode: {name, without_pcid (the boot's guest had PCID, which a guest whose mode changes has not), of => {workload =>
# ratio by switch to by boot, with `differs` where its interval is farther from 1 than MARGIN}}.
sub agreements {
    my ($report) = @_;
    return map { agreement($_->[1]{name}, @$_) } both_ways($report);
}

sub agreement {
    my ($name, $switched, $booted) = @_;
    my %of;
    for my $workload (grep { $booted->{of}{$_} } keys %{ $switched->{of} }) {
        my ($one, $other) = map { $_->{of}{$workload} } $switched, $booted;
        next if grep { defined $_->{error} } $one, $other;
        my $ratio = compared($one, $other);
        my $differs = defined $ratio->{low} && ($ratio->{low} > 1 + MARGIN || $ratio->{high} < 1 / (1 + MARGIN));
        $of{$workload} = { %$ratio, differs => $differs };
    }
    my ($with, $without) = map { has_pcid($_) } $booted, $switched;
    return { name => $name, without_pcid => $with && !$without, of => \%of };
}

sub has_pcid {
    my ($column) = @_;
    return grep { (($_->{begin} // {})->{parameters} // '') =~ /\bpcid=on\b/ } @{ $column->{rounds} };
}

1;
