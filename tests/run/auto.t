#!/usr/bin/perl
# Linux under mmu=auto: with page walks that a test makes dear (auto.feed=) it is put under shadow paging, with forks and free walks
# under EPT again. With auto.by=root a process that walks and a shell that forks, side by side, have each its mode. Where nothing counts page walks, which is so in Bochs, the monitor says that it does not choose.
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
    return boots_with({ arguments => ARGUMENTS . ' nopti' }, $name, $parameters, @commands);
}

sub boots_with {
    my ($with, $name, $parameters, @commands) = @_;
    return linux_boot(name => $name, cpu => 'corei7_skylake_x', timeout => 600, parameters => "mem=256M vmcall=user $parameters", %$with,
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

# A turn between two ticks of the kernel is 800,000 instructions long.
for my $isolation (qw(nopti pti=on)) {
    my $name = $isolation =~ s/=.*//r;
    $run = boots_with({ arguments => ARGUMENTS . " $isolation", ips => 200_000_000 }, "root-$name", 'mmu=auto auto.by=root auto.feed=on',
        'penctl feed 600 6 & while [ -d /proc/$! ]; do (:); (:); (:); (:); done; wait',
        'dmesg | grep -E "WARNING: CPU|BUG|Call Trace|Oops|protection fault"; echo searc"hed"');
    my ($passes) = $run->{text} =~ /^(\d+) passes of the same sum$/m;
    cmp_ok($passes // 0, '>', 50, "$isolation: the process that walks computes what is right");
    says($run, qr/done; wait\r?\n(?s:.*?)searc"hed"\r?\nsearched$/m, "$isolation: and the kernel has nothing to complain of");
    $json = eval { decode_json(json_line($run->{text})) } // {};
    is($json->{failed}, JSON::PP::false, "$isolation: the guest ends well");
    cmp_ok($json->{$_} // 0, '>', 500, "$isolation: $_: " . ($json->{$_} // 0)) for qw(auto_ept auto_shadow auto_visits);
    cmp_ok($json->{auto_root_changes} // 0, '>', 0, "$isolation: auto_root_changes: " . ($json->{auto_root_changes} // 0));
    cmp_ok($json->{mode_changes} - $json->{auto_visits} - $json->{auto_changes}, '<=', 2 * $json->{auto_root_changes},
        "$isolation: nearly all of $json->{mode_changes} changes at loads of CR3");
}

$run = boots('not-counted', 'mmu=auto', 'penctl call 10 900', 'penctl mode');
says($run, qr/mmu\.auto=on is mmu\.auto=off on this processor: its performance counters count no page walks/, 'without counters it says so');
says($run, qr/^mmu=ept .* mmu\.auto=off /m, 'and stays');
says($run, qr/^PENUMBRA_OFF$|off/mi, 'what is not asked for is not fed');
done_testing;
