#!/usr/bin/perl
# Memory that is far from the processor, by an SRAT that GRUB puts into the machine's tables: it comes last, and the monitor
# says so when a guest needs it. That no frame of it is given out before, shows tests/host/test_numa.c.
use strict;
use warnings;
use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Kernels;
use Machine;
use Test::More;

my $folder = tempdir(CLEANUP => 1);
multiboot_write("$folder/kernel", code => "\xb0\x07\xe6\xf4", segments => [[1 << 20, 4096]]); # mov al, 7; out 0xf4, al

# ACPI 6.5, 5.2.16: local APIC 0 is in node 3, which has the first $near MiB; all else is node 1's.
my $near = 320;
my $body = pack 'V x8 C2 C2 V C4 V', 1, 0, 16, 3, 0, 1, 0, 0, 0, 0, 0;
$body .= pack 'C2 V x2 Q< Q< x4 V x8', 1, 40, $_->[0], $_->[1] << 20, $_->[2] << 20, 1 for [3, 0, $near], [1, $near, 1 << 20];
my $table = pack 'a4 V C C a6 a8 V a4 V', 'SRAT', 36 + length $body, 3, 0, 'TEST', 'TEST', 1, 'TEST', 1;
$table .= $body;
substr $table, 9, 1, chr(-unpack('%8C*', $table) & 0xff);
Machine::file_write("$folder/srat", $table);

sub guest {
    my ($name, $parameters) = @_;
    return boot(name => $name, cpu => 'corei7_skylake_x', mem => 640, timeout => 120,
        files => { kernel => "$folder/kernel", srat => "$folder/srat" },
        grub => "acpi /srat\nmultiboot2 /penumbra.elf $parameters\nmodule2 /kernel multiboot");
}

my $FAR = qr/^\[penumbra\] warning: the guest does not fit in the memory that is near this processor: the last (\d+) MiB /m;
my $run = guest('near', 'mem=200M');
my ($here, $there) = $run->{text} =~ /^\[penumbra\] memory: (\d+) MiB are near this processor, in node 3; (\d+) MiB elsewhere come last$/m;
ok($here && $here <= $near && $here > $near - 10, 'what is near') or diag($run->{text});
ok($there && $there <= 640 - $near && $there > 640 - $near - 40, 'what is far');
says($run, qr/^\[penumbra\] guest ended with status 7$/m, 'a guest that fits runs');
unlike($run->{text}, $FAR, 'and has no far memory');
ok(!exists decode_json(json_line($run->{text}))->{far_memory}, 'nor does the summary say so');

$run = guest('far', 'mem=400M');
says($run, qr/^\[penumbra\] guest ended with status 7$/m, 'a guest that does not fit runs');
my ($rest) = $run->{text} =~ $FAR;
ok($rest && $rest > 400 - $near && $rest < 400 - $near + 40, 'and has what it lacks from elsewhere') or diag($run->{text});
ok(decode_json(json_line($run->{text}))->{far_memory}, 'as the summary says');

# The second guest of a comparison has near memory first, as the first one had.
$run = guest('both', 'mem=400M compare=ept/ept,vpid=off');
my ($machine) = $run->{text} =~ /^(\{"penumbra":"machine".*\})$/m;
is(decode_json($machine // '{}')->{node}, 3, 'the node stands in the line of the machine');
my @far = $run->{text} =~ /$FAR/g;
is("@far", "$rest $rest", 'each guest of a comparison has near memory first') or diag($run->{text});
done_testing;
