#!/usr/bin/perl
# Which serial port console=auto and console=pci take on QEMU's machines: the refusal "no VT-x" comes there, which is all that
# Penumbra can do in QEMU without KVM. No such machine has a UART in memory.
use strict;
use warnings;
use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Test::More;

my $folder = tempdir(CLEANUP => 1);
my @COM2 = ('-device', 'isa-serial,index=1,chardev=com1');

# SPCR 1.10: a 16550 at 115200, in a space (0: memory, 1: ports) at an address.
sub spcr {
    my ($space, $address) = @_;
    my $spcr = pack 'a4 V C C a6 a8 V a4 V C x3 C C x C Q< x6 C x21', 'SPCR', 80, 2, 0, 'TEST', 'TEST', 1, 'TEST', 1, 0, $space, 8, 1, $address, 7;
    substr $spcr, 9, 1, chr(-unpack('%8C*', $spcr) & 0xff);
    Machine::file_write("$folder/spcr", $spcr);
    return "acpi /spcr\n";
}

sub finds {
    my ($name, $expected, $table, @words) = @_;
    my $word = $name =~ /^pci/ ? 'pci' : 'auto';
    my $run = boot(name => $name, emu => 'qemu', mem => 64, timeout => 60, no_serial => 1, files => { spcr => "$folder/spcr" },
        words => \@words, grub => "${table}multiboot2 /penumbra.elf console=$word", script => ['expect has no VT-x', 'quit']);
    is($run->{end}, 'quit', "$name: the refusal comes there") or diag($run->{text});
    says($run, qr/^\[penumbra\] console=$word: the serial port at $expected$/m, "$name: it is said");
    return $run;
}

spcr(1, 0); # each image has the file
finds('com1', '0x3f8, COM1', '', '-serial', 'chardev:com1');
finds('com2', '0x2f8, COM2', '', @COM2);
finds('card', qr/0xc[0-9a-f]{3}, a PCI function's/, '', '-device', 'pci-serial,chardev=com1');
finds('pci', qr/0xc[0-9a-f]{3}, a PCI function's/, '', '-serial', 'null', '-device', 'pci-serial,chardev=com1');
finds('spcr', qr/0x2f8, the firmware's console \(ACPI's SPCR\)/, spcr(1, 0x2f8), '-serial', 'null', @COM2);
finds('nothing', '0x3f8, COM1', spcr(0, 1 << 38), '-serial', 'chardev:com1');
my $ram = finds('ram', '0x3f8, COM1', spcr(0, 0x2000000), '-serial', 'chardev:com1');
says($ram, qr/^\[penumbra\] warning: console=auto: there is RAM at 0x2000000, where the firmware says that a serial port is$/m, 'RAM is left alone');
done_testing;
