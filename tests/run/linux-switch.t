#!/usr/bin/perl
# Debian's kernel while the mode changes under it, at every so many exits, together with its memory (p2m.churn=) and under audit=;
# with PCIDs; and when the guest and the person at the console ask for a mode.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Digest::MD5 'md5_hex';
use JSON::PP;
use Linux;
use Machine;
use Test::More;

my $LINES = 20000;
my $SUM = md5_hex(join '', map { "$_\n" } 1 .. $LINES);
my @WORKLOADS = qw(fork exec mmap cow mprotect mmapread);
my @WORK = ("seq 1 $LINES > /tmp/lines; md5sum < /tmp/lines; seq 1 $LINES | sort -n | md5sum",
    "bench -r 1 -i 0.1 @WORKLOADS; echo bench \$?",
    'dmesg | grep -E "WARNING: CPU|BUG|Call Trace|Oops|protection fault|segfault"; echo sear"ched"');
my @POWEROFF = ('send poweroff', 'expect "penumbra":"summary"');

# A change takes the monitor some hundred thousand instructions up to some million, and ten million are a second here. Where the
# guest prints with interrupts off there is one at every twentieth character: a long line takes longer than RCU's 21 seconds.
sub boots {
    my ($name, $parameters, $isolation, @script) = @_;
    return linux_boot(name => $name, cpu => 'corei7_skylake_x', timeout => 600, parameters => "mem=256M $parameters",
        arguments => ARGUMENTS . " $isolation rcupdate.rcu_cpu_stall_timeout=300",
        script => ['expect ' . PROMPT, command_steps('stty cols 300'), @script]);
}

sub summary_of { return eval { decode_json(json_line($_[0]{text})) } // {} }

sub worked {
    my ($name, $run) = @_;
    is(scalar(my @sums = $run->{text} =~ /^$SUM\b/mg), 2, "$name: sums of a file and of a pipe");
    is(join(' ', $run->{text} =~ /^\{"bench":"(\w+)","iterations"/mg), "@WORKLOADS", "$name: processes and mappings");
    says($run, qr/^bench 0$/m, "$name: no workload failed");
    says($run, qr/^guest:~# dmesg[^\n]*\nsearched$/m, "$name: nothing in the kernel log");
    is(summary_of($run)->{failed}, JSON::PP::false, "$name: the guest ends well");
}

my $run = boots('churn', 'mmu=shadow mmu.switch=on mmu.churn=50 p2m.churn=397 audit=16 shadow.pool=256', 'nopti',
    (map { command_steps($_) } @WORK), @POWEROFF);
worked('churn', $run);
my $json = summary_of($run);
cmp_ok($json->{mode_changes} // 0, '>', 100, "churn: the mode changed: " . ($json->{mode_changes} // 0));
cmp_ok($json->{$_} // 0, '>', 0, "churn: $_: " . ($json->{$_} // 0)) for qw(violations hidden_faults traced_writes audited churn_moved);

# With PCIDs an isolating kernel loads CR3 by two values for each process, and INVPCID flushes the one that is not in use.
$run = boots('pcid', 'mmu=ept mmu.switch=on mmu.churn=97 shadow.pcid=on audit=16', 'pti=on',
    command_steps('grep -o -w -E "pcid|invpcid|pti" /proc/cpuinfo | tr "\\n" " "'), (map { command_steps($_) } @WORK), @POWEROFF);
worked('pcid', $run);
says($run, qr/^pcid (?:pti )?invpcid /m, 'pcid: the guest has PCIDs and INVPCID');
cmp_ok(summary_of($run)->{mode_changes} // 0, '>', 100, 'pcid: the mode changed');

$run = boots('asked', 'mmu=ept mmu.switch=on vmcall=user', 'nopti', command_steps('penctl mode trace vpid=off; penctl mode'),
    command_steps('penctl mode adaptive vpid=on p2m.max=4k; penctl mode; penctl mode shadow.pool=100; penctl mode wrong'),
    command_steps('cat /proc/cpuinfo | grep -c pcid'), 'type \x01m', 'expect the next mode', command_steps('penctl mode'),
    (map { command_steps($_) } @WORK), 'type \x01m', 'expect the next mode', @POWEROFF);
worked('asked', $run);
says($run, qr/^mmu=shadow vpid=off .* shadow=trace /m, 'asked: penctl changes the mode, and says what it is');
says($run, qr/^mmu=shadow vpid=on .* p2m\.max=4k .* shadow=adaptive /m, 'asked: with options');
says($run, qr/^penctl: shadow\.pool= cannot change while the guest runs: boot with it\.$/m, 'asked: what cannot change is refused');
says($run, qr/^penctl: There is no parameter `wrong': /m, 'asked: a word that is none');
says($run, qr/^\[penumbra\] the next mode: mmu=shadow shadow=$_$/m, "asked: Ctrl-A m: $_") for qw(trace lazy);
says($run, qr/^0$/m, 'asked: the guest has no feature that a mode lacks');
is(summary_of($run)->{mode_changes}, 4, 'asked: so often');
done_testing;
