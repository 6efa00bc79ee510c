# Which code of the guest causes the exits, where the monitor has counted that (profile=): by function of the guest's kernel, or by
# address, and by root of its page tables; and the lowest and highest cycles of an exit of each reason. As blocks.
package Report::Places;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max min sum0 uniq);
use Report::Block qw(heading paragraph table plain code);
use Report::Log 'count_valid';
use Report::Statistics qw(count_text grouped);
use Report::Symbols 'symbol_of';
our @EXPORT_OK = 'places_part';

use constant SHOWN => 20; # places of a configuration

my %KIND = (
    rip => ['code', 'Exits of %s, by code of the guest'],
    root => ['root', 'Exits of %s, by root of the guest\'s page tables'],
);

# Counts of a log are counts, or 0.
sub number { return count_valid($_[0]) ? $_[0] : 0 }

sub place_valid {
    my ($place) = @_;
    return ref $place eq 'HASH' && ($place->{at} // '') =~ /^[0-9a-f]{1,16}\z/a && ($place->{reason} // '') =~ /^\w{1,40}\z/a;
}

# What a summary told of one kind, as a hash; empty where it told nothing.
sub told {
    my ($summary, $kind) = @_;
    my $places = ref $summary eq 'HASH' && ref $summary->{places} eq 'HASH' ? $summary->{places}{$kind} : undef;
    return ref $places eq 'HASH' ? $places : {};
}

# The boots that were profiled, by name: what a guest measured by turns in several modes was one boot.
sub profiled {
    my ($report) = @_;
    my (%summaries, @names);
    for my $column (@{ $report->{shown} }) {
        my $name = $column->{rounds}[0]{by} // $column->{name};
        next if $summaries{$name};
        my @all = grep { %{ told($_, 'rip') } } map { $_->{summary} // () } @{ $column->{rounds} } or next;
        $summaries{$name} = \@all;
        push @names, $name;
    }
    return map { { name => $_, summaries => $summaries{$_} } } @names;
}

# Addresses of a kernel that chose them at random have no names.
sub named { my ($report) = @_; return $report->{symbols} && !grep { !is_fixed($_) } @{ $report->{shown} } }

sub is_fixed {
    my ($column) = @_;
    return !grep { ($_->{command_line} // '') !~ /(?:^| )nokaslr(?: |$)/ } map { $_->{guest} // () } @{ $column->{rounds} };
}

# {place => {exits, cycles, reasons => {name => exits}}} of all rounds; what is no place of its own has a key that none can have.
sub gathered {
    my ($boot, $kind, $name_of) = @_;
    my %all;
    for my $told (map { told($_, $kind) } @{ $boot->{summaries} }) {
        for my $place (grep { place_valid($_) } ref $told->{most} eq 'ARRAY' ? @{ $told->{most} } : ()) {
            my $sum = $all{ $name_of->($place->{at}) } //= {};
            $sum->{reasons}{ $place->{reason} } += number($place->{count});
            $sum->{$_->[0]} += number($place->{ $_->[1] }) for ['exits', 'count'], ['cycles', 'cycles'];
        }
        for my $rest (grep { ref $told->{$_} eq 'HASH' && number($told->{$_}{count}) } qw(others elsewhere)) {
            $all{" $rest"}{ $_->[0] } += number($told->{$rest}{ $_->[1] }) for ['exits', 'count'], ['cycles', 'cycles'];
        }
    }
    return \%all;
}

my %REST = (' others' => 'places with fewer exits', ' elsewhere' => 'places for which `profile=` had no row: give it more');

sub row {
    my ($place, $sum, $all) = @_;
    my $reasons = $sum->{reasons} // {};
    my @reasons = map { plain($_) . ' ' . grouped($reasons->{$_}) }
        sort { $reasons->{$b} <=> $reasons->{$a} || $a cmp $b } keys %$reasons;
    return [$REST{$place} // code($place), grouped($sum->{exits}), sprintf('%.1f%%', $all ? 100 * $sum->{exits} / $all : 0),
        count_text($sum->{exits} ? $sum->{cycles} / $sum->{exits} : 0), join(', ', @reasons) || '-'];
}

# The places with most exits; all others are one row.
sub rows {
    my ($all) = @_;
    my $exits = sum0 map { $_->{exits} } values %$all;
    my @places = sort { $all->{$b}{exits} <=> $all->{$a}{exits} || $a cmp $b } grep { !$REST{$_} } keys %$all;
    for my $less (splice @places, min(SHOWN, scalar @places)) {
        $all->{' others'}{$_} += $all->{$less}{$_} for qw(exits cycles);
    }
    return map { row($_, $all->{$_}, $exits) } @places, grep { $all->{$_} } sort keys %REST;
}

sub kind_part {
    my ($boot, $kind, $name_of) = @_;
    my ($first, $title) = @{ $KIND{$kind} };
    return (heading(3, sprintf $title, plain($boot->{name})),
        table([$first, 'exits', 'share', 'cycles of one', 'reasons'], rows(gathered($boot, $kind, $name_of))));
}

# {reason => [lowest, highest]} of all rounds.
sub extremes {
    my ($boot) = @_;
    my %of;
    for my $reasons (grep { ref eq 'HASH' } map { $_->{exit_reasons} } @{ $boot->{summaries} }) {
        for my $name (grep { ref $reasons->{$_} eq 'HASH' && number($reasons->{$_}{highest}) } keys %$reasons) {
            my ($low, $high) = map { number($reasons->{$name}{$_}) } qw(lowest highest);
            my $before = $of{$name} // [$low, $high];
            $of{$name} = [min($low, $before->[0]), max($high, $before->[1])];
        }
    }
    return \%of;
}

sub extremes_part {
    my (@boots) = @_;
    my @of = map { extremes($_) } @boots;
    my @reasons = sort(uniq(map { keys %$_ } @of)) or return ();
    my $show = sub { $_[0] ? join ' to ', map { grouped($_) } @{ $_[0] } : '-' };
    return (heading(3, 'Lowest and highest cycles of an exit'),
        table(['reason', map { plain($_->{name}) } @boots],
            map { my $reason = $_; [plain($reason), map { $show->($_->{$reason}) } @of] } @reasons));
}

sub names_words {
    my ($report) = @_;
    return 'Functions are those of `SYMBOLS=`; one that the map lacks counts as the one before it.' if named($report);
    return 'Addresses have no names, since the guest\'s kernel chose them at random: give it `nokaslr`.' if $report->{symbols};
    return 'With the kernel\'s System.map in `SYMBOLS=` addresses are functions.';
}

# Nothing where nothing was profiled.
sub places_part {
    my ($report) = @_;
    my @boots = profiled($report) or return ();
    my $function = sub { symbol_of($report->{symbols}, $_[0]) };
    my $address = sub { "0x$_[0]" };
    my %name_of = (rip => named($report) ? $function : $address, root => $address);
    return (
        heading(2, 'Which code causes the exits'),
        paragraph('As the monitor has counted them in the whole run, the start of the guest\'s kernel included.',
            names_words($report), 'A root is the address of a top-level page table, whose process the monitor does not know;',
            'a load of CR3 counts at the root that it loads.'),
        (map { my $boot = $_; map { kind_part($boot, $_, $name_of{$_}) } qw(rip root) } @boots), extremes_part(@boots));
}

1;
