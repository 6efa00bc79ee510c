#!/usr/bin/perl
# Debian's kernel under EPT to its shell and off again: lynnfield, which has no unrestricted guest and no accessed and dirty bits.
# An initrd that lz4 has packed is in front of ours.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Machine;
use Test::More;

# Of a size that is no multiple of 4.
sub own_initrd {
    my ($tree, $file) = (Machine::boot_folder('tree'), Machine::boot_folder('own') . '/own.lz4');
    for my $bytes (1 .. 16) {
        Machine::file_write("$tree/own", 'o' x $bytes . "wn\n");
        Machine::run_quietly("$file.log", "$Machine::TOP/guest-images/make-initrd", '--output', $file, '--tree', "$tree=");
        return $file if (-s $file) % 4;
    }
    BAIL_OUT("no initrd: see $file.log");
}

my $run = linux_check('lynnfield', { mmu => 'ept', vpid => JSON::PP::true, p2m_2m => 128, p2m_1g => 0 }, cpu => 'corei5_lynnfield_750',
    parameters => 'mem=256M', own => own_initrd(), commands => [['cat /own', qr/^o+wn$/m, 'a file of the first of two initrds']]);
says($run, qr/^\[penumbra\] p2m\.max=1g is p2m\.max=2m on this processor: its EPT has no larger pages$/m, 'what pages there are is said');
done_testing;
