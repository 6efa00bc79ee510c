#!/usr/bin/perl
# What is built is what was asked for: make is asked for something else, and then for the first again, and each time the ISO,
# the objects and the initramfs follow; asked for the same again, nothing is built. No emulator. It builds in a folder of its own, from
# a kernel and an initrd that are some bytes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Temp 'tempdir';
use Kernels;
use Machine;
use Test::More;

my $folder = tempdir('values.XXXXXX', TMPDIR => 1, CLEANUP => 1);
delete @ENV{qw(MAKEFLAGS MAKELEVEL)};
delete @ENV{qw(MEM APPEND KERNEL INITRD GUEST_KERNEL GUEST_INITRD GUEST_COMPARE MONITOR BUILD NATIVE_ARGS PROG)};
my $kernel = bzimage_write("$folder/kernel");
my $other = bzimage_write("$folder/other", payload => 16384);
Kernels::write_file("$folder/$_", "$_\n") for qw(initrd monitor compare kvm kvm-kernel);

# What make prints of a goal with these settings, and with the parts of the ISO that are some bytes.
my @PARTS = (
    'SETUP_DONE=yes', "BUILD=$folder/build", "ISO=$folder/iso", "MONITOR=$folder/monitor", "GUEST_COMPARE=$folder/compare",
    "INITRD=$folder/initrd", "GUEST_KVM=$folder/kvm", "KVM_KERNEL=$folder/kvm-kernel");

sub make {
    my ($goal, @settings) = @_;
    my $status = Machine::run_quietly("$folder/said", 'make', '-C', $Machine::TOP, $goal, @PARTS, @settings);
    my $text = Machine::file_read("$folder/said");
    is($status, 0, "make $goal @settings") or diag($text);
    return $text;
}

sub in_iso {
    my ($path) = @_;
    Machine::run_quietly("$folder/xorriso", 'xorriso', '-osirrox', 'on', '-indev', "$folder/iso", '-extract', $path,
        "$folder/extracted");
    my $text = Machine::file_read("$folder/extracted");
    unlink "$folder/extracted";
    return $text;
}

# Each row: settings, and a text that is then in the menu, and only then.
for (
    ['MEM=1G', qr/^    multiboot2 .* mem=1G$/m],
    ['MONITOR_ARGS=mem=64M log=debug', qr/^    multiboot2 .* mem=64M log=debug$/m],
    ["GUEST_ARGS=console=ttyS0 it's=\"odd\" & \\ *", qr/^    module2 \/vmlinuz linux console=ttyS0 it's="odd" & \\ \*$/m],
    ['NATIVE_ARGS=quiet', qr/^    linux \/vmlinuz .* quiet$/m],
    ["KERNEL=$other", undef],
    ["GUEST_KERNEL=$other", undef],
) {
    my ($setting, $expected) = @$_;
    my @plain = ("KERNEL=$kernel");
    make($setting =~ /odd/ ? "$folder/iso" : 'iso', $setting =~ /KERNEL/ ? () : @plain, $setting); # a file's rule checks nothing
    if ($expected) { like(in_iso('/boot/grub/grub.cfg'), $expected, "$setting: it is in the menu") }
    else { is(length in_iso('/vmlinuz'), -s $other, "$setting: it is in the ISO") }
    my $packed = length(in_iso('/kvm-guest.cpio')) - -s "$folder/compare";
    cmp_ok(abs($packed - -s $other), '<', 2048, "$setting: and is KVM's guest") unless $expected;
    make('iso', @plain);
    if ($expected) { unlike(in_iso('/boot/grub/grub.cfg'), $expected, "$setting: and is gone without it") }
    else { is(length in_iso('/vmlinuz'), -s $kernel, "$setting: and is gone without it") }
}
unlike(make('iso', "KERNEL=$kernel"), qr/make-image/, 'the same again builds nothing');

# An object of each kind of rule that has a compiler.
my @OBJECTS = (["$folder/build/arch/fmt.o", 'CC'], ['build/tests/guest/arch/fmt.o', 'GUEST_CC']);
for (@OBJECTS) {
    my ($object, $cc) = @$_;
    like(make($object, "$cc=gcc -DOTHER"), qr/CC      \Q$object\E/, "$object: built anew by another $cc");
    unlike(make($object, "$cc=gcc -DOTHER"), qr/CC      /, "$object: once");
    like(make($object), qr/CC      \Q$object\E/, "$object: and by the first again");
}
done_testing;
