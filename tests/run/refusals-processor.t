#!/usr/bin/perl
# Processors and firmware that cannot run the monitor.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Faults 'bochs_fault';
use Refusal;
use Test::More;

my $NO_VMX = 'This processor shows no VT-x (CPUID.1:ECX.VMX is 0): enable Intel Virtualization Technology in the '
    . 'firmware set-up, or use an Intel processor that has it.';
my $MONITOR = 'multiboot2 /penumbra.elf mem=16M';

refused('no 64-bit mode', "this processor has no 64-bit mode (long mode), which the monitor needs. Use a 64-bit "
    . 'processor with VT-x.', begin => 'Penumbra: ', cpu => 'core_duo_t2400_yonah', grub => $MONITOR);
refused('Intel without VT-x', $NO_VMX, cpu => 'p4_prescott_celeron_336', grub => $MONITOR);
refused('AMD', $NO_VMX, cpu => 'ryzen', grub => $MONITOR);
refused('VT-x without EPT', 'mmu=ept: this processor has no Extended Page Tables: use a processor that has them.',
    cpu => 'core2_penryn_t9600', grub => $MONITOR);

refused('VT-x without VPID', 'vpid=on: this processor has no VPID or not all types of INVVPID: boot with vpid=off.',
    cpu => 'core2_penryn_t9600', grub => "$MONITOR mmu=shadow vpid=on");

# The vendor is looked at before the kernel, so any file will do for one. The rate is the one that was measured.
sub vendor_check {
    my $vendor = boot(name => 'vendor', cpu => 'bx_generic', lines => ['cpuid: vmx=1'], timeout => 25, mem => 256,
        files => { file => "$Machine::TOP/Makefile" }, grub => "$MONITOR mmu=shadow\nmodule2 /file linux quiet",
        script => ["expect guest's command line.", 'wait 0.3', 'quit']);
    my ($rate) = $vendor->{text} =~ /^\[penumbra\] time stamp counter: (\d+) kHz/m;
    my ($said) = $vendor->{text} =~ /^\Q${\Refusal::BEGIN_OF_ALL}\E([^\n]*)\n*\z/m;
    is($said, 'This processor has VT-x but its CPUID does not say GenuineIntel, so Linux will not ask it for the rate of the TSC: '
        . 'put tsc_early_khz=' . ($rate // 'the rate') . ' on the guest\'s command line.', 'VT-x of another vendor');
}
my $gone = bochs_fault('no-generic');
$gone ? fault_skip($gone) : vendor_check();

# GRUB's wrmsr plays a firmware that left the local APIC elsewhere or off.
my %wrmsr = ('wrmsr.mod' => '/usr/lib/grub/i386-pc/wrmsr.mod');
refused('local APIC off', 'The processor\'s local APIC is disabled: enable it in the firmware set-up.',
    files => \%wrmsr, grub => "insmod /wrmsr.mod\nwrmsr 0x1b 0xfee00100\n$MONITOR");
refused('local APIC elsewhere', 'The processor\'s local APIC is not at 0xfee00000, where the monitor expects it: load '
    . 'the firmware\'s defaults.', files => \%wrmsr, grub => "insmod /wrmsr.mod\nwrmsr 0x1b 0xfed00900\n$MONITOR");

# Neither a processor without the bit, nor a hypervisor that does not show it, has one to be enabled.
refused('no execute-disable bit', 'This processor shows no execute-disable bit, and it cannot be enabled by '
    . 'IA32_MISC_ENABLE: enable Execute Disable (XD, NX) in the firmware set-up.', emu => 'qemu', cpu => 'qemu64,-nx', grub => $MONITOR);
refused('QEMU without KVM', 'This is QEMU without KVM, which has no VT-x: use QEMU with -enable-kvm -cpu host on an '
    . 'Intel host with nested VMX, or Bochs.', emu => 'qemu', grub => $MONITOR);
done_testing;
