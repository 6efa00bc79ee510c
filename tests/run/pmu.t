#!/usr/bin/perl
# What the monitor says of performance counters that no emulator has: of none, of such that are shown but stand still, or
# whose registers do not exist. The guest runs all the same. A real processor's are played in tests/host/test_pmu.c.
use strict;
use warnings;
use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::RealBin/lib";
use Kernels;
use Machine;
use Faults 'bochs_fault';
use Test::More;

my $folder = tempdir(CLEANUP => 1);
multiboot_write("$folder/kernel", code => "\xb0\x07\xe6\xf4", segments => [[1 << 20, 4096]]); # mov al, 7; out 0xf4, al

# ignore_bad_msrs: what Bochs does with a register that the model does not have: 0 for #GP, 1 for a zero.
sub counters {
    my ($name, $cpu, $ignore, $parameters, $says) = @_;
    my $run = boot(name => $name, cpu => $cpu, mem => 64, timeout => 40, files => { kernel => "$folder/kernel" },
        lines => ["cpu: ignore_bad_msrs=$ignore"],
        grub => "multiboot2 /penumbra.elf mem=16M $parameters\nmodule2 /kernel multiboot");
    says($run, qr/^\[penumbra\] performance counters: none: \Q$says\E$/m, "$name: the sentence");
    says($run, qr/^\[penumbra\] guest ended with status 7$/m, "$name: the guest runs");
}

my $MISSING = 'CPUID.0AH shows some, but their registers do not exist';
my $STILL = 'CPUID.0AH shows some, but they do not count';
counters('skylake-missing', 'corei7_skylake_x', 0, '', $MISSING);
counters('skylake-still', 'corei7_skylake_x', 1, '', $STILL);
counters('haswell-still', 'corei7_haswell_4770', 1, '', $STILL);
counters('penryn', 'core2_penryn_t9600', 0, 'mmu=shadow shadow.pool=64', $MISSING);
my $gone = bochs_fault('no-generic');
fault_skip($gone) if $gone;
counters('generic', 'bx_generic', 0, 'mmu=shadow shadow.pool=64', 'CPUID.0AH shows version 0') unless $gone;
counters('off', 'corei7_skylake_x', 0, 'pmu=off', 'pmu=off');
done_testing;
