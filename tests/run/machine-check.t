#!/usr/bin/perl
# A machine check in the monitor: QEMU's monitor raises some after the refusal "no VT-x", which is all that Penumbra can do
# there. Without CR4.MCE QEMU resets the machine, and also where IA32_MCG_STATUS still says that one is being handled. What
# is in a bank from before is said at the start.
# Machine checks while a guest runs are test_machine_check's, on the host: no emulator that has VT-x raises any.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Test::More;

my $UNCORRECTED = '0 7 0xbe00000000010091 5 0x12345000 0x8c';
my $run = boot(name => 'qemu', emu => 'qemu', mem => 64, timeout => 60, grub => 'multiboot2 /penumbra.elf mem=16M', script => [
        'expect Penumbra cannot run here.', 'wait 0.5', "ask mce $UNCORRECTED", 'expect Backtrace,', 'wait 0.5',
        "ask mce $UNCORRECTED", 'wait 0.5', "ask mce $UNCORRECTED", 'wait 1', 'quit']);
says($run, qr/^Penumbra: hardware: machine check in the monitor, IA32_MCG_STATUS 0x5: the machine has failed, not the monitor$/m,
    'a machine check in the monitor is said');
says($run, qr/^bank 7: memory controller error, uncorrected, processor state corrupt; status 0xbe00000000010091, address 0x12345000, misc 0x8c$/m,
    'with what the bank holds');
says($run, qr/^Backtrace, by what is on the stack:\n  \w+  machine_halt\+/m, 'with where it came');
is(() = $run->{text} =~ /machine check in the monitor/g, 1, 'once');
is($run->{end}, 'quit', 'and the machine stands still, whatever comes after it');

# A system that died of one, as QEMU lets it be said before the monitor starts.
my $before = boot(name => 'before', emu => 'qemu', mem => 64, timeout => 60, grub => "sleep 3\nmultiboot2 /penumbra.elf mem=16M",
    script => ["expect Booting", 'wait 0.5', 'ask mce 0 3 0x8c00000000010145 0 0xabc000 0x86', 'expect Penumbra cannot run here.', 'quit']);
says($before, qr/^\[penumbra\] warning: hardware: before this start, processor with local APIC ID 0, bank 3: cache error, corrected; status 0x8c00000000010145, address 0xabc000, misc 0x86$/m,
    'what the banks hold from before is said');
done_testing;
