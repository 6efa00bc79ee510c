#!/usr/bin/perl
# Processors and firmware that cannot run the monitor.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
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

# GRUB's wrmsr plays a firmware that left the local APIC elsewhere or off.
my %wrmsr = ('wrmsr.mod' => '/usr/lib/grub/i386-pc/wrmsr.mod');
refused('local APIC off', 'The processor\'s local APIC is disabled: enable it in the firmware set-up.',
    files => \%wrmsr, grub => "insmod /wrmsr.mod\nwrmsr 0x1b 0xfee00100\n$MONITOR");
refused('local APIC elsewhere', 'The processor\'s local APIC is not at 0xfee00000, where the monitor expects it: load '
    . 'the firmware\'s defaults.', files => \%wrmsr, grub => "insmod /wrmsr.mod\nwrmsr 0x1b 0xfed00900\n$MONITOR");

refused('QEMU without KVM', 'This is QEMU without KVM, which has no VT-x: use QEMU with -enable-kvm -cpu host on an '
    . 'Intel host with nested VMX, or Bochs.', emu => 'qemu', grub => $MONITOR);
done_testing;
