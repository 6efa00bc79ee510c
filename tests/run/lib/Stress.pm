# Linux under memory load that checks itself (guest-images/scripts/stress), once for each configuration of the table. The
# tests beside this folder say which of them `make test` runs; `make stress` runs all.
package Stress;
use strict;
use warnings;
use Exporter 'import';
use JSON::PP 'decode_json';
use Linux;
use Machine;
use Test::More;
our @EXPORT = qw(stress_check stress_names);

my %FILES = ('vmlinuz' => "$Machine::BUILD/guest/vmlinuz", 'initrd.gz' => "$Machine::BUILD/guest/initrd-stress.lz4");
my $SKYLAKE = 'corei7_skylake_x';
my $HASWELL = 'corei7_haswell_4770';

# [name, processor, monitor's parameters, guest's arguments]. With audit=on the shadow tables are checked all along.
# Page-table isolation makes two root loads of each system call, which is what a strategy that caches none is slow at:
# those two then run few of the stressors; and the first, which is slow by all that it has at once, those that are quick.
my $FEW = 'penumbra.stressors=fork,mmap,mremap,pthread,exec';
my $QUICK = 'penumbra.stressors=fork,vfork,clone,pthread,mmap,mremap,munmap,pagemove,pageswap,vm,sigsegv,bench,exec';
my @CONFIGURATIONS = (
    ['adaptive-all', $SKYLAKE, 'audit=on shadow.pool=64', "pti=on $QUICK"],
    ['trace', $HASWELL, 'shadow=trace audit=on', 'nopti'],
    ['lazy', $SKYLAKE, 'shadow=lazy audit=on', 'nopti'],
    ['eager', $HASWELL, 'shadow=eager audit=on', 'nopti'],
    ['adaptive', $SKYLAKE, '', 'nopti'],
    ['adaptive-haswell', $HASWELL, 'audit=on', 'nopti'],
    ['adaptive-pti', $SKYLAKE, '', 'pti=on'],
    ['adaptive-plain', $SKYLAKE,
        'vpid=off shadow.directpf=off shadow.invlpg=exit shadow.prefetch=0 audit=on', 'nopti'],
    ['adaptive-one-vpid', $SKYLAKE, 'shadow.vpid=one audit=on', 'nopti'],
    ['adaptive-4k', $HASWELL, 'p2m.max=4k audit=on', 'pti=on'],
    ['trace-pti', $SKYLAKE, 'shadow=trace audit=on', 'pti=on'],
    ['trace-small', $SKYLAKE, 'shadow=trace shadow.pool=64 audit=on', 'nopti'],
    ['lazy-pti', $SKYLAKE, 'shadow=lazy', "pti=on $FEW"],
    ['lazy-small', $HASWELL, 'shadow=lazy shadow.pool=64 audit=on', 'nopti'],
    ['eager-pti', $SKYLAKE, 'shadow=eager', "pti=on $FEW"],
    ['eager-small', $SKYLAKE, 'shadow=eager shadow.pool=64 audit=on', 'nopti'],
    ['switch', $SKYLAKE, 'mmu.switch=on mmu.churn=50 p2m.churn=397 shadow.pool=256 audit=on', 'nopti'],
);

sub stress_names { return map { $_->[0] } @CONFIGURATIONS }

# While it runs the console's key must answer: a monitor that never comes back would be silent here.
my @SCRIPT = ('expect Penumbra guest: Linux', 'type \x01s', 'expect exits by reason', 'expect "penumbra":"summary"');

sub stress_check {
    my ($name) = @_;
    my ($row) = grep { $_->[0] eq $name } @CONFIGURATIONS or die "there is no configuration `$name'\n";
    my (undef, $cpu, $parameters, $arguments) = @$row;
    my $run = linux_boot(name => $name, cpu => $cpu, timeout => $ENV{STRESS_TIMEOUT} // 900, files => \%FILES,
        script => \@SCRIPT, parameters => "mmu=shadow mem=256M $parameters",
        arguments => join(' ', ARGUMENTS, $arguments, 'penumbra.script=stress'));
    says($run, qr/^stress: all ok$/m, "$name: all stressors verify their results");
    unlike($run->{text}, qr/Kernel panic|Call Trace|WARNING: CPU|segfault at|general protection/,
        "$name: the kernel complains of nothing");
    linux_summary_check($name, $run, $parameters =~ /mmu\.churn=/ ? () : (mmu => 'shadow'));
    audit_check($name, $run) if $parameters =~ /audit=on/;
}

# An audit that looked at nothing would pass.
sub audit_check {
    my ($name, $run) = @_;
    my $json = eval { decode_json(json_line($run->{text})) } // {};
    cmp_ok($json->{audited} // 0, '>', ($json->{exits} // 0) / 32, "$name: tables were audited");
}

1;
