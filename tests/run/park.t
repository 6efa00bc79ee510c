#!/usr/bin/perl
# A guest that owns the local APIC tries to have the machine's second processor run its code (tests/guest/park): by INIT
# and SIPI, and by every other interrupt command, SMI among them. Nothing may run. The guest has nearly all of the machine's
# memory, and the program is in each of its pages. Bochs's log tells which SIPIs started a processor, and at which page,
# which found it deaf, and how often a processor went into system-management mode.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Test::More;

my %FILES = ('park.elf' => "$Machine::BUILD/tests/guest/park/park.elf");
my @COMMANDS = Machine::file_read("$Machine::TOP/tests/guest/park/park.asm") =~ /^    row .*"(.*)"$/mg;
my $run = boot(name => 'two', mem => 128, files => \%FILES, lines => ['cpu: count=2'], timeout => 400, grub => <<'END');
multiboot2 /penumbra.elf mem=119M
module2 /park.elf multiboot
END
open my $in, '<', "$run->{folder}/bochs.log" or BAIL_OUT("no log of Bochs in $run->{folder}");
my @log = <$in>;
my @pages = map { /CPU 1 started up at (\w+):/ ? $1 : () } @log;
my @smis = grep { /\[CPU1 *\] Enter to System Management Mode/ } @log;
my @resumed = grep { /\[CPU1 *\] RSM: Resuming/ } @log;
my @sent = grep { /^SMI to (the other|all)/ } @COMMANDS, @COMMANDS;
my $ignored = grep { /CPU 1 started up by APIC, but was not halted/ } @log;

says($run, qr/^\[penumbra\] 1 other processors parked$/m, 'the monitor parks the second processor');
says($run, qr/^\[penumbra\] parked processors wait in the deepest state of MWAIT: hint 0x21$/m, 'where it waits as CPUID leaf 5 has it');
my $said = join '', map { "park: $_\n" } 'attack begins', @COMMANDS, 'x2APIC mode', @COMMANDS, 'attack over';
says($run, qr/^\Q$said\E/m, 'the guest goes on, and nothing else writes');
says($run, qr/^\[penumbra\] guest reset by an INIT signal$/m, 'the guest ends by its last command');
is($run->{end}, 'shutdown', 'the machine is switched off');
is("@pages", '9F00 9E00', 'only firmware and monitor start the second processor');
cmp_ok($ignored, '>=', 0x9e, "the guest's SIPIs arrive and are ignored");
is(scalar @smis, scalar @sent, 'each SMI to the second processor arrives');
is(scalar @resumed, scalar @sent, 'and it does nothing but come back');

# Before a reset all leave VMX operation: in it, clearing CR4.VMXE is a fault, which a dump would show. Bochs 2.7 crashes after a
# reset of two processors.
my $reset = boot(name => 'reset', mem => 128, files => \%FILES, lines => ['cpu: count=2'],
    script => ['expect have left VMX operation', 'wait 3', 'quit'], grub => <<'END');
multiboot2 /penumbra.elf mem=119M on-exit=reboot log=debug
module2 /park.elf multiboot
END
says($reset, qr/^\[penumbra\] debug: 1 other processors have left VMX operation$/m,
    'on-exit=reboot: the second processor leaves VMX operation, whatever the guest has sent it');
unlike($reset->{text}, qr/fault in the monitor/, 'and so does the first one');
like(Machine::file_read("$reset->{folder}/bochs.log"), qr/CPU reset register = 0x06/, 'then the machine is reset');
done_testing;
