#!/usr/bin/perl
# Linux under mmu=auto: with page walks that a test makes dear (auto.feed=) it is put under shadow paging, with forks and free walks
# under EPT again. Where nothing counts page walks, which is so in Bochs, the monitor says that it does not choose.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Machine;
use Test::More;

# Until the mode is the one that is wanted, but not for ever.
sub until_mode {
    my ($mode, $work) = @_;
    return "n=0; until penctl mode | grep -q ^mmu=$mode || [ \$n = 40 ]; do $work >/dev/null; n=\$((n+1)); done; penctl mode";
}

sub boots {
    my ($name, $parameters, @commands) = @_;
    return linux_boot(name => $name, cpu => 'corei7_skylake_x', timeout => 600, parameters => "mem=256M vmcall=user $parameters",
        arguments => ARGUMENTS . ' nopti',
        script => ['expect ' . PROMPT, (map { command_steps($_) } 'stty cols 300', @commands), 'send poweroff', 'expect "penumbra":"summary"']);
}

my $run = boots('fed', 'mmu=auto auto.feed=on', 'penctl call 10 900 && echo fe"d"', until_mode(shadow => 'bench -r 1 -i 0.2 alu'),
    'penctl call 10 0', until_mode(ept => 'bench -r 1 -i 0.2 fork'));
says($run, qr/^fed$/m, 'the test feeds');
says($run, qr/^mmu=shadow .* mmu\.auto=on .*^mmu=ept .* mmu\.auto=on /ms, 'dear walks: shadow paging; then forks: EPT');
my $json = eval { decode_json(json_line($run->{text})) } // {};
is($json->{failed}, JSON::PP::false, 'the guest ends well');
cmp_ok($json->{$_} // 0, '>', 0, "$_: " . ($json->{$_} // 0)) for qw(auto_ept auto_shadow);
cmp_ok($json->{auto_changes} // 99, '<', 10, 'changes: ' . ($json->{auto_changes} // 99));
is($json->{mode_changes}, $json->{auto_changes}, 'all of them its own');

$run = boots('not-counted', 'mmu=auto', 'penctl call 10 900', 'penctl mode');
says($run, qr/mmu\.auto=on is mmu\.auto=off on this processor: its performance counters count no page walks/, 'without counters it says so');
says($run, qr/^mmu=ept .* mmu\.auto=off /m, 'and stays');
says($run, qr/^PENUMBRA_OFF$|off/mi, 'what is not asked for is not fed');
done_testing;
