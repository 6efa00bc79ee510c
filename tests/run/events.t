#!/usr/bin/perl
# Guests of a few instructions (tests/run/guests) whose events would keep a processor, or VM entry, from going on: exceptions
# that raise themselves in their own delivery, which only the monitor can end; a fault in real mode, which has no error code.
use strict;
use warnings;
use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP 'decode_json';
use Kernels;
use Machine;
use Test::More;

my $folder = tempdir(CLEANUP => 1);

sub guest {
    my ($name, $source, $parameters, @script) = @_;
    system('nasm', '-f', 'bin', '-w+error', '-o', "$folder/code", "$FindBin::RealBin/guests/$source.asm") == 0
        or BAIL_OUT("nasm: $source.asm");
    multiboot_write("$folder/$name", code => Machine::file_read("$folder/code"), segments => [[1 << 20, 1 << 20]]);
    my $run = boot(name => $name, mem => 128, timeout => 60, files => { kernel => "$folder/$name" }, script => \@script,
        grub => "multiboot2 /penumbra.elf mem=16M $parameters\nmodule2 /kernel multiboot");
    is($run->{end}, 'shutdown', "$name: every step came, and the machine is switched off");
    return ($run, decode_json(json_line($run->{text})));
}

# Each delivery is an exit, so that the console gets through.
for my $mode ('ept', 'shadow') {
    for my $source ('endless_db', 'endless_ac') {
        my ($run, $summary) = guest("$source-$mode", $source, "mmu=$mode", 'expect ~', 'wait 0.5', 'type \x01x',
            'expect "penumbra":"summary"');
        says($run, qr/^\[penumbra\] (?:error: )?stopped from the console$/m, "$source-$mode: the console stops it");
        cmp_ok($summary->{exit_reasons}{EXCEPTION_OR_NMI}{count}, '>', 100, "$source-$mode: each delivery exits");
    }
}

my ($fault, $summary) = guest('real-fault', 'real_fault', 'mmu=ept', 'expect "penumbra":"summary"');
says($fault, qr/^\[penumbra\] guest ended with status 13$/m, 'real mode: the fault came, with a frame of three words');
done_testing;
