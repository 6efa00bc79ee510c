#!/usr/bin/perl
# The table of what versions of Bochs get wrong (iso/run/Faults.pm): which rows hold for which version, that what they leave out is
# there to be left out, and that iso/run/where.sh follows it. Needs no emulator.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Temp 'tempdir';
use Machine;
use Faults qw(bochs_faults version_order);
use Test::More;

my %HOLD = (
    '2.6.11' => '',
    '2.7' => 'apic-enable keys keys-leaf xsavec',
    '3.0' => 'apic-enable compact-restore keys keys-leaf no-generic wp-dirty',
    '3.0.devel' => 'apic-enable keys-leaf no-generic virtual-interrupts',
    '3.1' => '');
is(join(' ', sort map { $_->{word} } bochs_faults($_)), $HOLD{$_}, "Bochs $_: its faults") for sort keys %HOLD;
is_deeply([sort { version_order($a, $b) } qw(3.0.devel 2.10 3.0 2.7 3.1)], [qw(2.7 2.10 3.0 3.0.devel 3.1)], 'the order of versions');

my $groups = Machine::file_read("$Machine::TOP/tests/guest/groups.def");
my $sources = join '', map { Machine::file_read($_) } glob "$Machine::TOP/tests/guest/*.c";
for my $row (map { bochs_faults($_) } sort keys %HOLD) {
    like($groups, qr/^X\(group_$_, /m, "$row->{word}: there is a group $_") for @{ $row->{groups} // [] };
    for (@{ $row->{tests} // [] }) {
        my ($group, $name) = split /\./;
        like($sources, qr/\{"$name", test_\w+\}/, "$row->{word}: there is a test $group.$name");
    }
}

# where.sh with a Bochs that says which version it is.
my $folder = tempdir(CLEANUP => 1);
for (['2.7', '', 'pku=off'], ['2.7', 'a=b', 'a=b pku=off'], ['2.7', 'pku=on', 'pku=on'], ['3.0', '', 'pku=off'],
    ['3.0.devel', 'a=b', 'a=b']) {
    my ($version, $words, $expected) = @$_;
    Machine::file_write("$folder/bochs-bin", "#!/bin/sh\necho '   Bochs x86 Emulator $version'\n");
    chmod 0755, "$folder/bochs-bin";
    my $script = "iso=iso; . iso/run/where.sh; EMU=bochs; monitor_words '$words'";
    my $text = qx(cd '$Machine::TOP' && PATH='$folder':"\$PATH" bash -c "$script" where 2>'$folder/said');
    is($text, "$expected\n", "make run in Bochs $version with ARGS=\"$words\"");
    my $said = Machine::file_read("$folder/said") =~ /^where: Bochs \Q$version\E: protection keys /m;
    is($said ? 1 : 0, $expected eq $words ? 0 : 1, 'it says so where it adds a word, and only there');
}
done_testing;
