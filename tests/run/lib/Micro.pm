# The micro-guest of tests/guest, bare and under the monitor: boots it and compares transcripts line by line. What it
# tests is in tests/guest; which processors and modes are compared is in the tests beside this folder.
package Micro;
use strict;
use warnings;
use Exporter 'import';
use Machine;
use Faults 'bochs_faults';
use Test::More;
our @EXPORT = qw(micro_bare micro_monitored micro_compare micro_mmu micro_files transcript);

my %FILES = (
    'micro.elf' => "$Machine::BUILD/tests/guest/micro.elf",
    'sequence.txt' => "$Machine::BUILD/tests/guest/sequence.txt",
);

# With another file as the kernel.
sub micro_files { return { %FILES, 'micro.elf' => $_[0] } }

# Unknown MSRs fault like on a real processor, for which Bochs must be asked.
my @LINES = ('cpu: ignore_bad_msrs=0');

# What the monitor may say in between: mmu-torture has table entries that lead into a hole, isolation a root below 1M.
my @EXPECTED = ('guest page tables outside RAM: EPT accessed and dirty bits are off from now on\n', 'shadow\.cr3=inplace: .*\n');
my $EXPECTED = qr/^\[penumbra\] warning: (?:${\join '|', @EXPECTED})/m;

# A boot in Bochs is the same to the last instruction, whatever else its host does, but for the monitor's random word, by which the
# instants of timers and exits differ from boot to boot. SEED= repeats one.
my $SEED = $ENV{SEED} // 1 + int rand 1 << 31;

# What the guest said itself: from its first line to its last.
sub transcript {
    my ($text) = @_;
    my ($said) = $text =~ /^(# micro-guest: begin\n.*?^# micro-guest: end[^\n]*\n)/ms or return '';
    return $said =~ s/$EXPECTED//gr;
}

sub micro_bare {
    my ($cpu, $words, %more) = @_;
    return boot(name => 'bare', cpu => $cpu, mem => 128, files => \%FILES, lines => \@LINES, %more,
        grub => "multiboot /micro.elf $words end\nmodule /sequence.txt sequence");
}

sub micro_monitored {
    my ($name, $cpu, $parameters, $words, %more) = @_;
    return boot(name => $name, cpu => $cpu, mem => 128, timeout => 600, files => \%FILES, lines => \@LINES, %more, grub => <<"END");
multiboot2 /penumbra.elf mem=48M seed=$SEED $parameters
module2 /micro.elf multiboot $words end
module2 /sequence.txt sequence
END
}

# The groups that a back end does not run, by the column in groups.def.
sub groups_left_out {
    my ($parameters) = @_;
    my ($mmu) = "mmu=ept $parameters" =~ /.*\bmmu=(\w+)/;
    my $rows = Machine::file_read("$Machine::TOP/tests/guest/groups.def");
    my %back_end = $rows =~ /^X\(group_(\w+), (\w+)\)$/mg or die "groups.def has no rows\n";
    return grep { $back_end{$_} ne 'any' && $back_end{$_} ne $mmu } sort keys %back_end;
}

# A transcript as it would be without these groups.
sub without_groups {
    my ($transcript, @groups) = @_;
    $transcript =~ s/^(?:not )?ok $_\..*\n//mg for @groups;
    my $count = () = $transcript =~ /^(?:not )?ok /mg;
    return $transcript =~ s/^1\.\.\d+$/1..$count/mr;
}

# A transcript as it would be without these tests, which the Bochs of this machine makes fail.
sub without_tests {
    my ($transcript, @tests) = @_;
    $transcript =~ s/^(?:# also: .*\n)*(?:not )?ok \Q$_\E(?::.*)?\n//m for @tests;
    my $count = () = $transcript =~ /^(?:not )?ok /mg;
    my $failed = () = $transcript =~ /^not ok /mg;
    return $transcript =~ s/^1\.\.\d+$/1..$count/mr =~ s/^(# micro-guest: end), \d+ failed$/$1, $failed failed/mr;
}

# A test's result by its name, and the lines that are no results under their own text.
sub results {
    my ($transcript) = @_;
    return map { /^(?:not )?ok (\S+?):?(?: |$)/ ? ($1 => $_) : ($_ => $_) } split /\n/, $transcript;
}

sub differences {
    my ($bare, $monitored) = @_;
    my %left = results($bare);
    my %right = results($monitored);
    my %names = (%left, %right);
    return map { "$_\n    bare:      " . ($left{$_} // '-') . "\n    monitored: " . ($right{$_} // '-') }
        grep { ($left{$_} // '') ne ($right{$_} // '') } sort keys %names;
}

# Groups that run beside the default ones where Bochs has what they need.
my @FURTHER = qw(compacted keyleaf apicbase);

# One processor model, in each mode: [name, parameters, groups that it cannot run]. What a mode, or this Bochs, leaves out is a
# skipped test.
sub micro_compare {
    my ($cpu, @modes) = @_;
    my %unfit = map { $_ => 1 } map { @{ $_->{groups} // [] } } faults_of($cpu);
    my @words = ('all', (grep { !$unfit{$_} } @FURTHER), map { "-$_" } sort keys %unfit);
    return micro_compare_groups($cpu, "@words", 150, @modes);
}

# The rows of iso/run/Faults.pm that matter on a model.
sub faults_of {
    my ($cpu) = @_;
    return grep { ($_->{cpu} // $cpu) eq $cpu } bochs_faults();
}

# The same for the groups that the words select, which have at least so many tests.
sub micro_compare_groups {
    my ($cpu, $words, $least, @modes) = @_;
    my @known = faults_of($cpu);
    my $said = sub { without_tests(transcript($_[0]{text}), map { @{ $_->{tests} // [] } } @known) };
    my $bare = $said->(micro_bare($cpu, $words));
    my @passed = $bare =~ /^ok /mg;
    cmp_ok(scalar @passed, '>=', $least, "$cpu: the guest runs its tests bare");
    like($bare, qr/^# micro-guest: end, 0 failed$/m, "$cpu: all pass bare") or diag(map { "$_\n" } $bare =~ /^not ok.*/mg);
    for (@modes) {
        my ($name, $parameters, @unfit) = @$_;
        my @left_out = (groups_left_out($parameters), @unfit);
        my $run = micro_monitored($name, $cpu, $parameters, join ' ', $words, map { "-$_" } @left_out);
        my $monitored = $said->($run);
        my $expected = without_groups($bare, @left_out);
        is($monitored eq $expected ? '' : join("\n", differences($expected, $monitored)) || 'another order', '',
            "$cpu, $name: the transcripts are equal") or diag("SEED=$SEED repeats this boot");
        my $status = $run->{text} =~ /^# micro-guest: end, 0 failed$/m ? 0 : 1; # 1 by tests that are known to fail here
        says($run, qr/^\[penumbra\] guest ended with status $status$/m, "$cpu, $name: the status is that of the tests");
        is($run->{end}, 'shutdown', "$cpu, $name: the machine is switched off");
        for my $group (@left_out) {
          SKIP: { skip "$cpu, $name: $group: not run in this mode (tests/guest/groups.def and this test)", 1 }
        }
    }
    fault_skip($_) for @known;
    done_testing;
}

# The access-bit matrix and mmu-torture, under the modes that are named.
my $PLAIN = 'shadow.vpid=one shadow.directpf=off shadow.invlpg=exit shadow.prefetch=0';
my %MMU_MODES = (
    ept => 'mmu=ept', adaptive => 'mmu=shadow', map { $_ => "mmu=shadow shadow=$_" } qw(trace lazy eager));
$MMU_MODES{"$_-plain"} = "$MMU_MODES{$_} $PLAIN" for qw(adaptive trace lazy eager);

sub micro_mmu {
    micro_compare_groups('corei7_skylake_x', 'matrix torture', 7, map { [$_, $MMU_MODES{$_}] } @_);
}

1;
