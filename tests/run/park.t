#!/usr/bin/perl
# A guest that owns the local APIC tries to start the machine's second processor (tests/guest/park): nothing may run.
# Bochs's log tells which SIPIs started a processor, and at which page, and which found it deaf.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Test::More tests => 6;

my %FILES = ('park.elf' => "$Machine::BUILD/tests/guest/park/park.elf");
my $run = boot(name => 'two', mem => 128, files => \%FILES, lines => ['cpu: count=2'], grub => <<'END');
multiboot2 /penumbra.elf mem=64M
module2 /park.elf multiboot
END
open my $in, '<', "$run->{folder}/bochs.log" or BAIL_OUT("no log of Bochs in $run->{folder}");
my @log = <$in>;
my @pages = map { /CPU 1 started up at (\w+):/ ? $1 : () } @log;
my $ignored = grep { /CPU 1 started up by APIC, but was not halted/ } @log;

says($run, qr/^\[penumbra\] 1 other processors parked$/m, 'the monitor parks the second processor');
says($run, qr/^park: attack begins\npark: attack over$/m, 'the guest goes on, and nothing else writes');
says($run, qr/^\[penumbra\] guest ended with status 0$/m, 'the status is 0');
is($run->{end}, 'shutdown', 'the machine is switched off');
is("@pages", '9F00 9E00', 'only firmware and monitor start the second processor');
cmp_ok($ignored, '>=', 0x9e, "the guest's SIPIs arrive and are ignored");
