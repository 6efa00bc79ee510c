#!/usr/bin/perl
# A comparison, as `make compare` makes it: the bare machine, then one boot in which a configuration runs, one is refused, one
# dies in the middle, and one more runs; with programs of a user's own, of which one fails. Two such runs give the same numbers.
# Then one by switch, in which a guest measures two modes by turns, and one with the same guest under KVM.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Path qw(make_path remove_tree);
use JSON::PP 'decode_json';
use Machine;
use Test::More;

chdir $Machine::TOP or die $!; # names for make: without the tree's path, which may have spaces
my $FOLDER = 'build/run/compare';
my @CONFIGURATIONS = ('adaptive', 'ept,audit=on', 'ept,p2m.max=4k', 'ept');
my @WORKLOADS = qw(syscall fork works fails dies);

remove_tree($FOLDER);
make_path($FOLDER);
$ENV{PROG} = 'tests/run/prog';
$ENV{GUEST_COMPARE} = "$FOLDER/compare.lz4";
$ENV{GUEST_PROG} = "$FOLDER/prog-tree";
Machine::run_quietly("$FOLDER/make.said", 'make', '-C', $Machine::TOP, 'guest-compare') == 0
    or BAIL_OUT("no initramfs with PROG=: see $FOLDER/make.said");

my %ALL = (
    COMPARE => join('/', @CONFIGURATIONS), BENCH => join(',', '-r,2', @WORKLOADS), EMU => 'bochs', CPU => 'skylake_x', MEM => '256M',
    APPEND => 'pti=off', BUILD => 'build', SEED => '0x123456789abcdef', IPS => 50_000_000); # fewer instructions of waiting than the default

sub compare_start {
    my ($name, %others) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    %ENV = (%ENV, %ALL, OUT => "$FOLDER/$name", %others);
    exit Machine::run_quietly("$FOLDER/$name.said", "$Machine::TOP/iso/report/compare");
}

sub compare_end {
    my ($pid) = @_;
    waitpid $pid, 0;
    is($?, 0, 'a comparison comes to its end');
    say_step('a comparison has ended');
}

# At once, since each of them is one long boot.
compare_end($_) for map { compare_start($_) } qw(first second);

sub text_of { return Machine::plain(Machine::file_read("$FOLDER/$_[0]")) }

sub lines_of {
    my ($text, $kind, $what) = @_;
    return map { eval { decode_json($_) } // () } $text =~ /^(\{"$kind":"$what".*\})$/mg;
}

my $text = text_of('first/monitored.log');

subtest 'each configuration has its lines' => sub {
    my ($machine) = lines_of($text, 'penumbra', 'machine');
    is($machine->{clock}, 'instructions', 'the clock of Bochs counts instructions');
    like($machine->{processor}, qr/^Intel/, 'the processor');
    is($machine->{hypervisor}, '', 'nothing is below');
    is_deeply([@$machine{qw(rounds configurations)}], [1, \@CONFIGURATIONS], 'what is to come');
    is_deeply([map { $_->{configuration} } lines_of($text, 'penumbra', 'begin')], [@CONFIGURATIONS[0, 2, 3]], 'three begin');
    my ($refused) = lines_of($text, 'penumbra', 'refused');
    is("$refused->{run} $refused->{configuration}", '2 ept,audit=on', 'one is refused');
    like($refused->{reason}, qr/^audit= checks shadow tables/, 'and why');
    my @summaries = lines_of($text, 'penumbra', 'summary');
    is_deeply([map { $_->{configuration} } @summaries], [@CONFIGURATIONS[0, 2, 3]], 'three have a summary');
    is_deeply([map { $_->{end} } @summaries], ['guest powered off', 'guest reset', 'guest powered off'], 'one dies');
    is_deeply((lines_of($text, 'penumbra', 'end'))[0], { penumbra => 'end', configurations => 4, refused => 1, failed => 0 },
        'the end');
    like($text, qr/^\[penumbra\] comparison: $_->[0] of 4, \Q$_->[1]\E$/m, "progress: $_->[1]")
        for map { [$_ + 1, $CONFIGURATIONS[$_]] } 0 .. 3;
};

# By configuration: the workloads of the monitor's own results, those that failed in brackets.
sub results {
    my %results;
    for (lines_of($text, 'penumbra', 'result')) {
        push @{ $results{ $_->{configuration} } }, $_->{repetitions} ? $_->{workload} : "($_->{workload})";
    }
    return \%results;
}

subtest 'results' => sub {
    is_deeply(results(), {
        adaptive         => [qw(syscall fork works (fails) dies)],
        'ept,p2m.max=4k' => [qw(syscall fork works (fails))],
        ept              => [qw(syscall fork works (fails) dies)],
    }, 'what each configuration has measured before it ended');
    my @fails = grep { $_->{bench} eq 'fails' } lines_of($text, 'bench', 'fails');
    is($_->{error}, 'exit status 3; its last line: it "failed"', 'what the program said that failed') for @fails;
    my ($fork) = grep { $_->{counters}{hidden_faults} } lines_of($text, 'bench', 'fork');
    cmp_ok($fork->{counters}{'exit.EXCEPTION_OR_NMI'}, '>', 100, 'the monitor counted for fork under shadow paging');
    my ($ept) = (lines_of($text, 'bench', 'syscall'))[-1];
    cmp_ok($ept->{counters}{exits} // 0, '<=', 1, 'and no exits for system calls under EPT, but the limit\'s timer');
};

subtest 'the monitor\'s table' => sub {
    like($text, qr/^   1  adaptive +guest powered off$/m, 'a configuration');
    like($text, qr/^   2  ept,audit=on +cannot run here: audit= checks/m, 'a refused one');
    like($text, qr/^fork +[\d.]+ +\d+\.\d +1\.00 +- +\d\.\d\d[ ~] +\d\.\d\d[ ~]$/m, 'a row');
    like($text, qr/^fails +- +0\.0 +fail +- +fail +fail $/m, 'one that failed');
    like($text, qr/^dies +[\d.]+ +\d+\.\d +1\.00 +- +- +\d\.\d\d[ ~]$/m, 'one that is missing');
};

subtest 'the report' => sub {
    my $table = text_of('first/table.md');
    like($table, qr/ept,audit=on.*audit= checks shadow tables/, 'says what was refused');
    like($table, qr/ept,p2m\.max=4k.*guest reset/s, 'what died');
    like($table, qr/fails.*exit status 3/, 'what failed');
    unlike($table, qr/^\*\*(?:Lines that claim|Logs)/m, 'and no line was refused');
    like($table, qr/^\| fork +\| +[\d,]+ [^|]*\| +\**\d\.\d\d/m, 'a ratio to native');
    ok(-s "$FOLDER/first/ratio.$_", "a plot as $_") for qw(svg png);
};

# Native boots too: the whole logs but for GRUB's screen, which is not the guest's.
sub json_lines { return join "\n", text_of($_[0]) =~ /^(\{".*)$/mg }

is(json_lines("first/$_.log"), json_lines("second/$_.log"), "$_: two runs give the same numbers") for qw(native-1 monitored);

compare_end($_) for compare_start('switch', HOW => 'switch', COMPARE => 'adaptive/ept', BENCH => '-i,0.2,fork,works'),
    compare_start('kvm', KVM => 'ept/shadow', COMPARE => 'ept', BENCH => '-r,1,-i,0.2,fork,works');

subtest 'by switch' => sub {
    $text = text_of('switch/monitored.log');
    is_deeply([map { $_->{configuration} } lines_of($text, 'penumbra', 'begin')], [qw(ept switch)],
        'EPT, which has PCID, has a boot of its own, and both modes one');
    my %by = map { $_->{mode} ? ($_->{mode} => $_) : () } lines_of($text, 'bench', 'fork');
    is(join(' ', sort keys %by), 'adaptive ept', 'its guest measures both');
    is(scalar(grep { $by{adaptive}{positions}[$_] + $by{ept}{positions}[$_] == 1 } 0 .. 5), 6, 'in six rounds, by turns');
    is(join(' ', @{ $by{ept}{positions} }[1, 3, 5]), join(' ', map { 1 - $_ } @{ $by{ept}{positions} }[0, 2, 4]), 'there and back');
    cmp_ok($by{adaptive}{counters}{'exit.EXCEPTION_OR_NMI'}, '>', 100, 'one mode is shadow paging');
    is($by{ept}{counters}{'exit.EXCEPTION_OR_NMI'}, undef, 'and one is not');
    my $table = text_of('switch/table.md');
    like($table, qr/^\| fork +\| +base \| +\*\*ept \(switch\)\*\* \| +- \| adaptive \(switch\) \| +1\.[2-9]\d \| +1\.\d+ to 1\.\d+ \|/m, 'which is faster, by how much, and how sure that is');
    like($table, qr/^\*\*By switch and by boot agree\.\*\* More than 5 % apart: none of 2 measurements/m, 'as by boot');
    like($text, qr/^  What a guest measures by turns \(switch\) is not in this table/m, 'the monitor\'s own table says that it has none of it');
    is(scalar(grep { $_->{configuration} eq 'switch' } lines_of($text, 'penumbra', 'result')), 0, 'and has none');
};

subtest 'KVM beside it' => sub {
    $text = text_of('kvm/kvm.log');
    my %begin = map { $_->{configuration} => $_ } lines_of($text, 'kvm', 'begin');
    is(join(' ', sort keys %begin), 'kvm,ept kvm,shadow', 'two guests');
    like($begin{'kvm,ept'}{parameters}, qr/^ept=Y .*\bvpid=Y /, 'one has EPT');
    like($begin{'kvm,shadow'}{parameters}, qr/^ept=N /, 'and one has not');
    is(join(' ', map { "$_->{configuration} $_->{status}" } grep { $_->{configuration} } lines_of($text, 'kvm', 'end')),
        'kvm,ept 0 kvm,shadow 0', 'both power off');
    my ($ept, $shadow) = map { eval { decode_json($_) } } $text =~ /^guest: (\{"bench":"fork".*\})$/mg;
    cmp_ok($shadow->{counters}{pf_fixed}, '>', 20, 'KVM\'s shadow paging repairs faults in fork');
    cmp_ok($shadow->{counters}{exits}, '>', 20 + ($ept->{counters}{exits} // 0), 'which are exits');
    my $table = text_of('kvm/table.md');
    like($table, qr/^\| workload \| +native, instructions \| +ept \| +kvm,ept \| +kvm,shadow \|$/m, 'they are columns');
    like($table, qr/^\| fork +\|[^|]*\|[^|]*\| +\**[01]\.\d\d[^|]*\| +[2-9]\.\d\d /m, 'with a ratio to native each');
    like($table, qr/^`kvm,ept` and `kvm,shadow`: .* as a guest of KVM\s+in Linux `\d/ms, 'and a sentence about this KVM');
    unlike($table, qr/^\*\*(?:Lines that claim|Logs)/m, 'no line was refused');
};
done_testing;
