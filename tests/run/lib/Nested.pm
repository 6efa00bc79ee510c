# Penumbra in QEMU under KVM, which itself runs in Bochs: one boot of Debian's kernel as KVM's machine (../nested/init) runs
# any number of cases, each a boot of one image in QEMU. Makes image, cases and host, says how far they are, and checks each
# case. How KVM differs from a processor, as micro-guests see it bare, is a table here.
package Nested;
use strict;
use warnings;
use Exporter 'import';
use JSON::PP 'decode_json';
use Linux;
use Machine;
use Micro;
use POSIX ();
use Qemu;
use Test::More;
our @EXPORT = qw(nested_check);

# What one boot in QEMU has: [name, kind, monitor's words, words of kvm_intel beside nested=1, QEMU's words].
my $NO_APICV = 'enable_apicv=0';
my $NO_EPT = 'ept=0';
my $SPLIT = '-machine q35,kernel_irqchip=split';
my $UEFI = join ' ', map { "-drive if=pflash,format=raw,file=/firmware/OVMF_$_" } 'CODE_4M.fd,readonly=on', 'VARS_4M.fd';
my $LEFT = 'compare=ept/adaptive/ept,vpid=off/trace';
my @CASES = (
    ['linux-native', 'native', '', '', ''],
    ['linux-ept', 'linux', 'mmu=ept', '', ''],
    ['linux-novpid', 'linux', 'mmu=ept vpid=off', '', ''],
    ['linux-adaptive', 'linux', 'mmu=shadow', '', ''],
    ['linux-trace', 'linux', 'mmu=shadow shadow=trace', '', ''],
    ['linux-lazy', 'linux', 'mmu=shadow shadow=lazy', '', ''],
    ['linux-ept-smp2', 'linux', 'mmu=ept', '', '-smp 2'],
    ['linux-adaptive-smp2', 'linux', 'mmu=shadow', '', '-smp 2'],
    ['linux-ept-split', 'linux', 'mmu=ept', '', $SPLIT],
    ['linux-ept-uefi', 'linux', 'mmu=ept', '', "$SPLIT $UEFI"],
    ['micro-bare', 'bare', '', '', ''],
    ['micro-ept', 'micro', 'mmu=ept', '', ''],
    ['micro-novpid', 'micro', 'mmu=ept vpid=off', '', ''],
    ['micro-adaptive', 'micro', 'mmu=shadow', '', ''],
    ['micro-trace', 'micro', 'mmu=shadow shadow=trace', '', ''],
    ['micro-lazy', 'micro', 'mmu=shadow shadow=lazy', '', ''],
    ['left', 'left', $LEFT, '', ''],
    ['limit', 'limit', 'compare=ept/shadow limit=1', '', ''],
    ['keys', 'keys', 'mmu=ept', '', ''],
    ['keys-card', 'card', 'mmu=ept console=auto', '', '-device pci-serial,chardev=com1'],
    ['linux-ept-noapicv', 'linux', 'mmu=ept', $NO_APICV, ''],
    ['micro-bare-noapicv', 'bare', '', $NO_APICV, ''],
    ['micro-ept-noapicv', 'micro', 'mmu=ept', $NO_APICV, ''],
    ['micro-adaptive-noapicv', 'micro', 'mmu=shadow', $NO_APICV, ''],
    ['left-noapicv', 'left', $LEFT, $NO_APICV, ''],
    ['left-noapicv-uefi', 'left', $LEFT, $NO_APICV, "$SPLIT $UEFI"],
    ['compare-noapicv', 'compare', 'compare=ept/adaptive', $NO_APICV, $SPLIT],
    ['limit-noapicv', 'limit', 'compare=ept/shadow limit=1', $NO_APICV, ''],
    ['keys-noapicv', 'keys', 'mmu=shadow', $NO_APICV, $SPLIT],
    ['refused-noept', 'refused', 'mmu=ept', $NO_EPT, ''],
    ['linux-adaptive-noept', 'linux', 'mmu=shadow', $NO_EPT, ''],
    ['micro-adaptive-noept', 'micro', 'mmu=shadow', $NO_EPT, ''],
);

my %CASE = map { $_->[0] => { name => $_->[0], kind => $_->[1], words => $_->[2], kvm => $_->[3], qemu => $_->[4] } } @CASES;

# The cases of these names, or all.
sub nested_cases { return map { $CASE{$_} // die "there is no case `$_'\n" } @_ ? @_ : map { $_->[0] } @CASES }

# The groups that a kind runs. Bare a test of `breakpoints` never ends: KVM carries out REP OUTS, on which a breakpoint is, again
# and again. A guest that spins while it takes no interrupts would stop all: Bochs then gives none to KVM's machine either.
my %GROUPS = (
    bare => 'all -breakpoints', micro => 'all', left => 'left', limit => 'endless-cpuid',
    keys => 'endless-cpuid', card => 'endless-cpuid');

# The tests of the micro-guest that fail under the monitor, since the processor below is KVM's: what KVM does instead. The monitor
# does not see these instructions, so it is not its doing. What fails bare is KVM's or QEMU's alone.
my $SLOW = 'the timer has run out before KVM, in Bochs, has carried out what reads it or waits for it';
my %KVM = (
    'cr.cr0_fixed' => 'a guest\'s guest reads CR0.ET and the reserved bits of CR0 as it has written them',
    'cr.cr8' => 'MOV to CR8 looks at 8 bits of the register',
    'msr.round_trips' => 'WRMSR makes a SYSENTER address canonical and does not fault',
    'apic.round_trips' => 'the TPR keeps bits 7:4 only',
    'x2apic.illegal' => 'reserved bits of EOI, TPR and SVR do not fault',
    map({ $_ => $SLOW } qw(interrupts.timer_one_shot x2apic.timer_one_shot interrupts.hlt_repeated x2apic.hlt_repeated)),
);
my %KVM_NO_EPT = (
    'breakpoints.step_to_table' => 'without EPT, a #DB whose delivery KVM had to repair a shadow table for has RF in its frame',
    'exceptions.page_fault_in_delivery' => 'without EPT, KVM makes #DF of two page faults without the address of the second in CR2',
);

sub multiboot_entry {
    my ($case) = @_;
    return "multiboot /micro.elf $GROUPS{bare} end\nmodule /sequence.txt sequence" if $case->{kind} eq 'bare';
    my @out = map { " -$_" } Micro::groups_left_out($case->{words});
    return "multiboot2 /penumbra.elf mem=48M $case->{words}\nmodule2 /micro.elf multiboot $GROUPS{$case->{kind}}@out end\nmodule2 /sequence.txt sequence";
}

sub linux_entry {
    my ($case) = @_;
    my $words = ARGUMENTS . ' penumbra.script=smoke';
    return "linux /vmlinuz \$equal $words\ninitrd /initrd.gz" if $case->{kind} eq 'native';
    return "multiboot2 /penumbra.elf mem=256M $case->{words}\nmodule2 /vmlinuz linux $words\nmodule2 /initrd.gz initrd";
}

# What each kind boots, the text on its serial line that ends it if nothing else does, how many of KVM's machine's seconds it
# may take (IPS instructions each), and its check.
my %KINDS = (
    native => { entry => \&linux_entry, seconds => 60, check => \&native_check },
    linux => { entry => \&linux_entry, seconds => 120, check => \&linux_case_check },
    refused => { entry => \&linux_entry, text => 'Penumbra cannot run here', seconds => 60, check => \&refused_check },
    bare => { entry => \&multiboot_entry, text => '^# micro-guest: end', seconds => 300, check => \&bare_check },
    micro => { entry => \&multiboot_entry, seconds => 300, check => \&micro_check },
    limit => { entry => \&multiboot_entry, seconds => 60, check => \&limit_check },
    keys => { entry => \&multiboot_entry, seconds => 60, keys => '\\001x', check => \&keys_check },
    card => { entry => \&multiboot_entry, seconds => 60, keys => '\\001x', check => \&card_check },
    compare => { entry => \&linux_entry, seconds => 240, check => \&compare_check },
    left => { entry => \&multiboot_entry, seconds => 120, check => \&left_check },
);

# The menu of the image: the entry is chosen from outside, by QEMU's -smbios.
sub image_write {
    my ($folder, @cases) = @_;
    my @entries = map { "menuentry \"$_->{name}\" --id $_->{name} {\n" . $KINDS{ $_->{kind} }{entry}->($_) . "\n}\n" } @cases;
    Machine::file_write("$folder/inner.entries", join '', "smbios --type 1 --get-string 4 --set entry\nset default=\$entry\n", @entries);
    Machine::run_quietly("$folder/inner.log", "$Machine::TOP/iso/make-image", '--output', "$folder/disk/inner.iso", '--monitor',
        "$Machine::BUILD/penumbra.elf", '--kernel', "$Machine::BUILD/guest/vmlinuz", '--initrd', "$Machine::BUILD/guest/initrd.gz",
        '--file', "micro.elf=$Machine::BUILD/tests/guest/micro.elf", '--file', "sequence.txt=$Machine::BUILD/tests/guest/sequence.txt",
        '--entries', "$folder/inner.entries", '--timeout', 0) == 0 or BAIL_OUT("no image: see $folder/inner.log");
}

# The shell script of run_case lines that ../nested/init reads. The processor is the one of `make run`.
sub cases_write {
    my ($folder, @cases) = @_;
    my $cpu = Qemu::cpu({ opt => { accel => 'kvm' } });
    my @lines = map {
        my $kind = $KINDS{ $_->{kind} };
        my ($text, $keys) = map { $kind->{$_} // '' } qw(text keys);
        "run_case $_->{name} $kind->{seconds} '$text' '$keys' '$_->{kvm}' -machine pc,accel=kvm -cpu $cpu -m 640 -smbios type=1,manufacturer=$_->{name} $_->{qemu}\n"
    } @cases;
    Machine::file_write("$folder/disk/cases", join '', @lines);
}

# Instructions in one of its seconds, by all its clocks (its CPUID says another rate). With fewer a guest has no time between the
# ticks of its timers, with more it waits long for those that come each second.
use constant IPS => 500_000_000;

# What only shortens the boot of KVM's machine, and leaves the console to the cases.
my $HOST_WORDS = 'console=ttyS0 quiet loglevel=1 nokaslr tsc=reliable mitigations=off i8042.noaux cryptomgr.notests '
    . "random.trust_cpu=on no_timer_check lpj=@{[IPS / 250]} tsc_early_khz=@{[IPS / 1000]}";

# Says how far a boot is while it runs.
sub follow {
    my ($serial) = @_;
    unlink $serial;
    my $parent = $$;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    my $said = 0;
    while (getppid == $parent) {
        my @lines = grep { !/ counters:/ } Machine::file_read($serial) =~ /^nested: ((?:host|case|all) [^\r\n]*)\r?\n/mg;
        say_step($_) for @lines[$said .. $#lines];
        $said = @lines;
        sleep 1;
    }
    POSIX::_exit(0);
}

sub host_boot {
    my ($name, @cases) = @_;
    my $folder = Machine::boot_folder($name);
    Machine::boot_folder("$name/disk");
    image_write($folder, @cases);
    cases_write($folder, @cases);
    Machine::run_quietly("$folder/cases.log", "$Machine::TOP/guest-images/make-initrd", '--output', "$folder/cases.cpio", '--tree',
        "$folder/disk=") == 0 or BAIL_OUT("no cases: see $folder/cases.log");
    my $follower = follow("$folder/serial");
    my $run = boot(name => $name, cpu => 'corei7_skylake_x', mem => 1536, ips => IPS, timeout => 1800 * (1 + @cases),
        lines => ['cpu: ignore_bad_msrs=1', 'error: action=ignore'], # KVM asks for MSRs that Bochs does not know, at each exit
        files => { vmlinuz => "$Machine::BUILD/guest/vmlinuz", 'host.lz4' => "$Machine::BUILD/nested/host.lz4", 'cases.cpio' => "$folder/cases.cpio" },
        grub => "linux /vmlinuz $HOST_WORDS\ninitrd /cases.cpio /host.lz4");
    kill KILL => $follower;
    waitpid $follower, 0;
    return $run;
}

# A case's part of what came over COM1: {text} of its serial line, {end}, {seconds} and {counters} of KVM's machine, and what
# QEMU and KVM complained of.
sub case_result {
    my ($text, $name) = @_;
    my $say = "nested: case \Q$name\E";
    $text =~ /^$say begins\n(.*?)^$say counters:([^\n]*)\n$say ends: (\S+) after (\d+) s\n/ms
        or return { text => '', end => 'not run', counters => {}, said => [] };
    my ($part, $counters, $end, $seconds) = ($1, $2, $3, $4);
    my @said = $part =~ /^nested: (?:qemu|kernel): (.*)$/mg;
    $part =~ s/^nested: (?:qemu|kernel): .*\n//mg;
    return { text => $part, end => $end, seconds => $seconds, counters => { $counters =~ /(\w+)=(\d+)/g }, said => \@said };
}

sub ended {
    my ($result, $name, $end) = @_;
    is($result->{end}, $end, "$name: how it ends") or diag(map { "  $_\n" } (split /\n/, $result->{text})[-15 .. -1], @{ $result->{said} });
}

sub native_check {
    my ($result, $name) = @_;
    says($result, qr/^smoke: clock source tsc(?:-early)?$/m, "$name: the clock is the time stamp counter, not KVM's");
    says($result, qr/^Penumbra guest: script smoke ended with status 0$/m, "$name: Linux runs");
    ended($result, $name, 'guest-shutdown');
}

sub linux_case_check {
    my ($result, $name, $case) = @_;
    my ($mmu) = $case->{words} =~ /mmu=(\w+)/;
    says($result, qr/^Penumbra guest: script smoke ended with status 0$/m, "$name: Linux runs");
    linux_summary_check($name, { %$result, end => 'shutdown' }, mmu => $mmu);
    ended($result, $name, 'guest-shutdown');
}

sub refused_check {
    my ($result, $name) = @_;
    says($result, qr/^\[penumbra\] error: Penumbra cannot run here\. mmu=ept: this processor has no Extended Page Tables/m, "$name: the sentence");
    ended($result, $name, 'text');
}

# Every configuration of a comparison ends as it should: $how is the monitor's sentence.
sub compare_ends {
    my ($result, $name, $case, $how) = @_;
    my ($wanted) = $case->{words} =~ /^compare=(\S+)/;
    my @ends = $result->{text} =~ /\[penumbra\] (?:error: )?comparison: \d of \d, (\S+): \Q$how\E after/g;
    is(join('/', @ends), $wanted, "$name: each configuration ends: $how");
    ended($result, $name, 'guest-shutdown');
}

sub left_check {
    my ($result, $name, $case) = @_;
    unlike($result->{text}, qr/^not ok /m, "$name: each finds a clean machine");
    compare_ends($result, $name, $case, 'guest ended with status 0');
}

sub compare_check {
    my ($result, $name, $case) = @_;
    my $good = () = $result->{text} =~ /^Penumbra guest: script smoke ended with status 0$/mg;
    is($good, 2, "$name: Linux runs in each");
    compare_ends($result, $name, $case, 'guest powered off');
}

sub limit_check { return compare_ends(@_, 'guest ended by limit=: it has run for 1 s') }

sub keys_check {
    my ($result, $name) = @_;
    says($result, qr/\[penumbra\] stopped from the console$/m, "$name: Ctrl-A x ends a guest that does nothing but exit");
    ended($result, $name, 'guest-shutdown');
}

# A UART on a PCI card, whose input no interrupt announces.
sub card_check {
    my ($result, $name, $case) = @_;
    says($result, qr/^\[penumbra\] console=auto: the serial port at 0xc[0-9a-f]{3}, a PCI function's$/m, "$name: which UART it is");
    says($result, qr/^\[penumbra\] warning: console input is polled, since no interrupt announces it/m, "$name: its input is polled");
    keys_check($result, $name, $case);
}

# Under the monitor nothing fails but what KVM makes fail.
sub micro_check {
    my ($result, $name, $case) = @_;
    my $said = transcript($result->{text});
    my @passed = $said =~ /^ok /mg;
    cmp_ok(scalar @passed, '>=', 250, "$name: the guest runs its tests");
    my @failed = grep { /^not ok/ } split /\n/, $said;
    is(join("\n", grep { !kvm_reason($case, failed_name($_)) } @failed), '', "$name: no test fails but for KVM");
    says($result, qr/^\[penumbra\] guest ended with status @{[@failed ? 1 : 0]}$/m, "$name: the status is that of the tests");
    ended($result, $name, 'guest-shutdown');
    kvm_skip($name, $case, failed_name($_)) for @failed;
}

sub kvm_reason {
    my ($case, $test) = @_;
    return $KVM{$test} // ($case->{kvm} eq $NO_EPT ? $KVM_NO_EPT{$test} : undef);
}

sub kvm_skip {
    my ($name, $case, $test) = @_;
    my $reason = kvm_reason($case, $test);
  SKIP: { skip "$name: $test: $reason", 1 if $reason }
}

sub failed_name { return $_[0] =~ /^not ok (\S+?):/ ? $1 : '' }

# Bare it comes to its end: what it says is there for the others to compare with, and for who looks what KVM does.
sub bare_check {
    my ($result, $name) = @_;
    says($result, qr/^# micro-guest: end, \d+ failed$/m, "$name: the guest comes to its end");
    ended($result, $name, 'text');
}

# The names of the tests that a transcript has.
sub names { return [map { /^(?:not )?ok ([^\s:]+)/ ? $1 : () } split /\n/, transcript($_[0])] }

# A micro-guest under the monitor has run the tests that it has run bare, but for groups that are left out here or there.
sub same_tests_check {
    my ($results, $bare, $case) = @_;
    my $out = join '|', 'breakpoints', Micro::groups_left_out($case->{words});
    my ($monitored_names, $bare_names) = map { [grep { !/^(?:$out)\./ } @{ names($results->{$_}{text}) }] } $case->{name}, $bare;
    is_deeply($monitored_names, $bare_names, "$case->{name}: the tests of $bare");
}

# KVM's counters that the table shows: its exits, and how often it entered the guest of the monitor.
my @COLUMNS = qw(exits nested_run io_exits mmio_exits irq_exits);

# The cases as README.md shows them.
sub table {
    my ($results, @cases) = @_;
    my @rows = map {
        my $result = $results->{ $_->{name} };
        join ' | ', "| $_->{name}", $result->{passed} ? 'passed' : 'failed', $result->{seconds} // '-',
            map({ $result->{counters}{$_} // 0 } @COLUMNS)
    } @cases;
    return join "\n", map { "$_ |" } join(' | ', '| case', 'result', 'seconds', @COLUMNS), '|---|---|--:' . '|--:' x @COLUMNS, @rows;
}

# nested_check(NAME...): these cases in one boot of KVM's machine, and the table of them.
sub nested_check {
    my @cases = nested_cases(@_);
    my $run = host_boot('host', @cases);
    is($run->{end}, 'poweroff', 'KVM\'s machine runs all cases and switches itself off') or diag(substr $run->{text}, -1500);
    my %results = map { $_->{name} => case_result($run->{text}, $_->{name}) } @cases;
    for my $case (@cases) {
        my $result = $results{ $case->{name} };
        $result->{passed} = subtest $case->{name} => sub {
            $KINDS{ $case->{kind} }{check}->($result, $case->{name}, $case);
            my $bare = "micro-bare" . ($case->{name} =~ /(-no\w+)$/ && $case->{kvm} ? $1 : '');
            same_tests_check(\%results, $bare, $case) if $case->{kind} eq 'micro' && $results{$bare};
        };
    }
    note($_) for split /\n/, my $table = table(\%results, @cases);
    Machine::file_write("$run->{folder}/table.md", "$table\n");
    done_testing;
}

1;
