#!/usr/bin/perl
# The kinds of Multiboot 1 kernel beside ELF32: the micro-guest as it is linked, an ELF64, and as a flat file that is
# loaded by the addresses in its header. Each bare, by GRUB's loader, and under the monitor, by ours: equal transcripts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Micro;
use Test::More;

my $CPU = 'corei7_skylake_x';
my $WORDS = 'info cr memory';
my $ELF64 = "$Machine::BUILD/tests/guest/micro.elf64";

# The same header with flag bit 16, in a file that is nothing but the image.
sub flat_make {
    my ($file) = @_;
    system('objcopy', '-O', 'binary', $ELF64, $file) == 0 or BAIL_OUT('objcopy fails');
    my $image = Machine::file_read($file);
    my ($magic, $flags) = unpack 'V2', $image;
    $magic == 0x1badb002 or BAIL_OUT('the image does not begin with its Multiboot header');
    $flags |= 1 << 16;
    substr $image, 4, 8, pack 'V2', $flags, -($magic + $flags) & 0xffffffff;
    Machine::file_write($file, $image);
    return $file;
}

sub kind_check {
    my ($kind, $file) = @_;
    my $files = micro_files($file);
    my $bare = transcript(micro_bare($CPU, $WORDS, name => "$kind-bare", files => $files)->{text});
    like($bare, qr/^# micro-guest: end, 0 failed$/m, "$kind: all pass bare");
    for my $mmu (qw(ept shadow)) {
        my $run = micro_monitored("$kind-$mmu", $CPU, "mmu=$mmu", $WORDS, files => $files);
        is(transcript($run->{text}), $bare, "$kind, $mmu: the transcripts are equal");
        says($run, qr/^\[penumbra\] guest ended with status 0$/m, "$kind, $mmu: the status is 0");
    }
}

mkdir "$Machine::BUILD/run";
kind_check('elf64', $ELF64);
kind_check('flat', flat_make("$Machine::BUILD/run/micro.flat"));
done_testing;
