#!/usr/bin/perl
# Guests that cannot be loaded: no kernel, no bzImage, too little memory, an initrd that does not fit, Multiboot kernels
# with something wrong. Each a boot of the whole monitor, so that the loader's sentence is known to reach a person.
use strict;
use warnings;
use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::RealBin/lib";
use Kernels;
use Machine;
use Refusal;
use Test::More;

my $folder = tempdir(CLEANUP => 1);
my $initrd = Kernels::write_file("$folder/initrd", "\0" x (8 << 20));
my $BZIMAGE = 'The kernel module is not a bzImage: give Linux\'s arch/x86/boot/bzImage or a distribution\'s vmlinuz.';

sub refused_guest {
    my ($name, $sentence, $file, $modules, $mem, %more) = @_;
    refused($name, $sentence, files => { kernel => $file, initrd => $initrd, %more },
        grub => "multiboot2 /penumbra.elf mem=$mem\n$modules");
}

my $linux = 'module2 /kernel linux console=ttyS0';
my $right = bzimage_write("$folder/right");
refused('too little memory for mem=', 'The machine has too little memory for mem=: give the guest less, or the machine more.',
    grub => 'multiboot2 /penumbra.elf mem=128M');
refused('no kernel', 'There is no guest kernel: give one to GRUB as `module2 FILE linux COMMAND-LINE` or `module2 FILE '
    . 'multiboot COMMAND-LINE`.', grub => 'multiboot2 /penumbra.elf mem=16M');
refused('a module of an unknown kind', "It is not known what module 2 is for, its words are `initramfs': they are `linux "
    . "COMMAND-LINE', `multiboot COMMAND-LINE', or `initrd' alone.", files => { kernel => $right },
    grub => "multiboot2 /penumbra.elf mem=32M\nmodule2 /kernel linux\nmodule2 /kernel initramfs");
refused('17 modules', 'The boot loader gives more than 16 modules: use fewer module2 lines.', files => { kernel => $right },
    grub => join "\n", 'multiboot2 /penumbra.elf mem=16M', ('module2 /kernel linux') x 17);
refused_guest('no bzImage', $BZIMAGE, bzimage_write("$folder/magic", magic => 'none'), $linux, '32M');
refused_guest('a text file', $BZIMAGE, "$Machine::TOP/Makefile", $linux, '32M');
refused_guest('an old kernel', 'The kernel is too old for the 64-bit boot protocol (its boot protocol is 2.11): '
    . 'give a 64-bit kernel with protocol 2.12, which is Linux 3.8 or newer.',
    bzimage_write("$folder/old", version => 0x20b), $linux, '32M');
refused_guest('an i386 kernel', 'The kernel has no 64-bit entry point, as a 32-bit kernel (i386) has none: give one that is '
    . 'built for x86-64.', bzimage_write("$folder/i386", xloadflags => 0), $linux, '32M');
refused_guest('a kernel cut short', 'The kernel module is cut short: copy the bzImage again.',
    bzimage_write("$folder/short", lost => 100), $linux, '32M');
refused_guest('a damaged kernel', 'The kernel\'s setup header is damaged: copy the bzImage again.',
    bzimage_write("$folder/damaged", init_size => 512), $linux, '32M');
refused_guest('a kernel that does not fit', 'The kernel needs guest memory up to 20M, and the guest has 16M below 3G: '
    . 'raise mem=.', $right, $linux, '16M');
refused_guest('an initrd that does not fit', 'The initrd of 8M does not fit into the 4M of guest memory above the kernel: '
    . 'raise mem= or make it smaller.', $right, "$linux\nmodule2 /initrd initrd", '24M');
refused_guest('an initrd that the kernel does not allow', 'The initrd of 8M does not fit into the 2M of guest memory above '
    . 'the kernel: make it smaller.', bzimage_write("$folder/low", initrd_addr_max => (22 << 20) - 1),
    "$linux\nmodule2 /initrd initrd", '32M');
refused_guest('a long command line', 'The guest\'s command line has 13 characters and its kernel takes 12: shorten it.',
    bzimage_write("$folder/line", cmdline_size => 12), $linux, '32M');

my $multiboot = 'module2 /kernel multiboot';
my @MULTIBOOT = (
    ['no Multiboot header', 'The kernel module has no Multiboot header in its first 8192 bytes: give a Multiboot 1 kernel, '
        . "or start a bzImage with `linux'.", header => 0],
    ['Multiboot flags', 'The kernel\'s Multiboot header requires flags 0x40 that this loader does not know: clear them.',
        flags => 0x43],
    ['an ELF of another processor', 'The Multiboot kernel is no ELF executable for i386 or x86-64, and its header does not say '
        . 'where it is to be loaded (flag bit 16): link it as one.', elf => "\x7fELF\2\1\1"],
    ['a damaged ELF header', 'The Multiboot kernel\'s ELF header is damaged: copy the kernel again.', phentsize => 16],
    ['program headers outside', 'The kernel\'s program headers are not inside its file: copy it again.', phoff => 1 << 20],
    ['33 segments', 'The kernel has more than 32 loadable segments: link it with fewer.',
        segments => [map { [(1 << 20) + $_ * 4096, 4096] } 0 .. 32]],
    ['a segment outside the file', 'A segment of the kernel is not inside its file: copy the kernel again.',
        file_offset => 1 << 20],
    ['a segment where no RAM is', 'The kernel is linked to 0x1800000 to 0x1801000, where the guest has no RAM: link it '
        . 'between 1M and 16M, or raise mem=.', segments => [[24 << 20, 4096]]],
    ['an entry point outside', 'The kernel\'s entry point is in none of its segments: link it again.', entry => 0x5000],
    ['no room for the information', 'The kernel leaves no room below 640K for the Multiboot information: link it at 1M, or '
        . 'shorten the command lines.', segments => [[0x1000, 0x9ec00]]],
);
for (@MULTIBOOT) {
    my ($name, $sentence, @changed) = @$_;
    refused_guest($name, $sentence, multiboot_write("$folder/multiboot", @changed), $multiboot, '16M');
}
refused_guest('a module that does not fit', 'Module 2 of 8192K does not fit into guest memory above the kernel, from '
    . '0x901000: raise mem=.', multiboot_write("$folder/multiboot"),
    "$multiboot\nmodule2 /initrd first\nmodule2 /initrd second", '16M');
done_testing;
