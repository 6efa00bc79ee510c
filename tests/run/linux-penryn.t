#!/usr/bin/perl
# Debian's kernel under shadow paging on a processor with nothing but basic VMX: no EPT, no VPID, no secondary controls, no
# control that switches IA32_EFER and IA32_PAT. The kernel isolates its page tables there. Its TSC is not invariant, so the
# guest is told to believe it: its ticks alone, some late under shadow paging, are its other clock.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Machine;
use Test::More;

my $VULNERABILITIES = '/sys/devices/system/cpu/vulnerabilities';
my $run = linux_check('penryn', { mmu => 'shadow', vpid => JSON::PP::false, invvpid_context => 0, invvpid_all => 0 }, cpu => 'core2_penryn_t9600',
    parameters => 'mmu=shadow mem=256M', arguments => ARGUMENTS . ' tsc=reliable', timeout => 900,
    commands => [
        ["cat $VULNERABILITIES/meltdown", qr/^Mitigation: PTI$/m, 'page tables are isolated'],
        ['cat /sys/devices/system/clocksource/*/current_clocksource', qr/^tsc/m, 'the clock is the TSC']]);
says($run, qr/^\[penumbra\] vpid=auto is vpid=off on this processor$/m, 'it is said that there is no VPID');
done_testing;
