#!/usr/bin/perl
# Micro-guest groups that end otherwise under the monitor than bare: against tests/guest/monitor.expected; and the odd
# accesses to a hole, at which the monitor must stop and name the address and the instruction.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP 'decode_json';
use Machine;
use Micro;
use Test::More;

my $CPU = 'corei7_skylake_x';

my $run = micro_monitored('groups', $CPU, '', 'apicbase monitor');
is(transcript($run->{text}), Machine::file_read("$Machine::TOP/tests/guest/monitor.expected"),
    'the groups for the monitor say what they should');
says($run, qr/^\[penumbra\] guest ended with status 0$/m, 'their status is 0');

my $odd = micro_monitored('oddhole', $CPU, '', 'oddhole');
says($odd, qr/^\[penumbra\] error: at RIP 0x[0-9a-f]+: (?:[0-9a-f]{2} ){15}$/m, 'an odd access to a hole: the instruction');
says($odd, qr/^\[penumbra\] error: the guest touches gpa 0xd80000[0-9a-f]{2} with an instruction that the monitor does not emulate$/m,
    'an odd access to a hole: the sentence');
ok(decode_json(json_line($odd->{text}))->{failed}, 'the summary says that it failed');
is($odd->{end}, 'shutdown', 'the machine is switched off');

my $low = micro_monitored('low-root', $CPU, 'mmu=shadow', 'isolation');
my @said = $low->{text} =~ /^\[penumbra\] warning: shadow\.cr3=inplace: (.*)$/mg;
is("@said", "64 loads of the guest's roots had to exit: at 0x5000, where one of them would be in place, is the monitor's memory",
    'a root that cannot be in place: whose memory is there, once');
cmp_ok(decode_json(json_line($low->{text}))->{places_refused}, '>=', 100, 'the summary counts its loads');
done_testing;
