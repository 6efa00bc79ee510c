#!/usr/bin/perl
# The ISO's own menu, as a person on a lab machine uses it: the entry that compares all modes is chosen by keys, starts the
# default list, and its guest measures and may ask the monitor; it is left after the first results.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Test::More;

my $run = boot(name => 'compare', iso => "$Machine::BUILD/penumbra.iso", mem => 768, ips => 50_000_000, timeout => 400, script => [
    'expect Compare all modes', ('type \e[B') x 7, 'type \x0d', 'expect comparison: 1 of 8, ept', 'expect "bench":"alu"', 'quit']);
my @strategies = Machine::file_read("$Machine::TOP/hv/include/hv/strategies.def") =~ /^STRATEGY\(\w+, "(\w+)"/mg;
my @entries = Machine::file_read("$Machine::TOP/iso/entries.in") =~ /^ *multiboot2 .* mmu=shadow shadow=(\w+) /mg;
is("@{[sort @entries]}", "@{[sort @strategies]}", 'each strategy of shadow paging has an entry');
is($run->{end}, 'quit', 'everything expected has come');
says($run, qr/^\{"penumbra":"machine",.*"rounds":1,"configurations":\["ept",.*\]\}$/m, 'the machine');
says($run, qr/^\{"penumbra":"begin","run":1,"round":1,"configuration":"ept",.* vmcall=user limit=7200 /m, 'the first configuration');
says($run, qr/^\{"bench":"begin","monitor":"PenumbraVMM",(?!.*denied)/m, 'the guest has found the monitor');
says($run, qr/^\{"bench":"syscall",.*"counters":\{/m, 'and is told counters');
done_testing;
