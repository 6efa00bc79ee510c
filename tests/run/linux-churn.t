#!/usr/bin/perl
# Debian's kernel while its memory changes under it (p2m.churn=): pages move to other machine frames, become read-only, and
# are taken away and given back. Under each back end the kernel comes to its shell, its programs compute what they should,
# and nothing shows in its log.
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

my @script = ('expect ' . PROMPT, command_steps('stty cols 300'), map { command_steps($_) }
    "seq 1 $LINES > /tmp/lines; md5sum < /tmp/lines; seq 1 $LINES | sort -n | md5sum",
    "bench -r 1 -i 0.1 @WORKLOADS; echo bench \$?",
    'cp /tmp/lines /tmp/copy; cmp /tmp/lines /tmp/copy && md5sum < /tmp/copy',
    'dmesg | grep -E "WARNING: CPU|BUG|Call Trace|Oops|protection fault|segfault"; echo sear"ched"');

# [name, parameters]: how often is such that the changes are many and the guest still gets on.
for (['ept', 'mmu=ept p2m.churn=5'], ['shadow', 'mmu=shadow p2m.churn=151']) {
    my ($name, $parameters) = @$_;
    my $run = linux_boot(name => $name, cpu => 'corei7_skylake_x', timeout => 1200, parameters => "mem=256M $parameters",
        script => [@script, 'send poweroff', 'expect "penumbra":"summary"']);
    my @sums = $run->{text} =~ /^$SUM\b/mg;
    is(scalar @sums, 3, "$name: sums of files, of a pipe and of a copy");
    my @rows = $run->{text} =~ /^\{"bench":"(\w+)","iterations"/mg;
    is("@rows", "@WORKLOADS", "$name: processes and mappings");
    says($run, qr/^bench 0$/m, "$name: no workload failed");
    says($run, qr/^guest:~# dmesg[^\n]*\nsearched$/m, "$name: nothing in the kernel log");
    linux_summary_check($name, $run, mmu => $name);
    my $json = eval { decode_json(json_line($run->{text})) } // {};
    cmp_ok($json->{"churn_$_"} // 0, '>', 50, "$name: pages $_: " . ($json->{"churn_$_"} // 0)) for qw(moved protected taken touched);
}
done_testing;
