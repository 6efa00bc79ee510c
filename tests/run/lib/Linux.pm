# Debian's kernel under the monitor in Bochs: boots it to its shell, gives the shell commands over the console, powers
# it off, and checks what came of each. The tests beside this folder say on which processors and with which parameters.
package Linux;
use strict;
use warnings;
use Exporter 'import';
use List::Util;
use JSON::PP 'decode_json';
use Machine;
use Summary;
use Test::More;
our @EXPORT = qw(linux_boot linux_check linux_summary_check command_steps command_outputs ARGUMENTS PROMPT);

# These only shorten a boot: no messages on the console, no self-tests of ciphers, no search for a PS/2 mouse.
use constant ARGUMENTS => 'console=ttyS0 quiet cryptomgr.notests i8042.noaux';
use constant PROMPT => 'guest:~# ';

my %FILES = ('vmlinuz' => "$Machine::BUILD/guest/vmlinuz", 'initrd.gz' => "$Machine::BUILD/guest/initrd.gz");

# Fewer instructions a second than the default: what firmware and kernel wait for then costs fewer instructions.
use constant IPS => 10_000_000;

# linux_boot(name => N, parameters => WORDS, script => [LINES], ...): further options as of boot().
#   own => FILE        an initrd in front of ours
sub linux_boot {
    my (%linux) = @_;
    my $parameters = delete $linux{parameters} // '';
    my $arguments = delete $linux{arguments} // ARGUMENTS;
    my %own = map { ('own.lz4' => $_) } grep { defined } delete $linux{own};
    my $first = join '', map { "module2 /$_ initrd\n" } keys %own;
    return boot(mem => 512, ips => IPS, timeout => 400, files => { %FILES, %own }, grub => <<"END", %linux);
multiboot2 /penumbra.elf $parameters
module2 /vmlinuz linux $arguments
${first}module2 /initrd.gz initrd
END
}

# [what is typed, what its output must match, what that shows]. Quotes inside a word keep the echo of the typed line
# from looking like the output.
my $LONG = join '-', 1 .. 220;
my @COMMANDS = (
    ['uname -sm', qr/^Linux x86_64$/m, 'uname'],
    ['ls /', qr/\bproc\b.*\bsys\b/s, 'ls'],
    ['grep -c ^processor /proc/cpuinfo', qr/^1$/m, 'one processor'],
    ['grep -m1 flags /proc/cpuinfo', qr/^flags\s*:(?=.* lm )(?=.* apic )(?=.* sse2 )(?=.* hypervisor )(?!.* vmx )/m,
        'flags: 64-bit, local APIC, a hypervisor, no VMX'],
    ['seq 1 1000 | awk "{ s += \$1 } END { print s }"', qr/^500500$/m, 'a pipe'],
    ['i=0; while [ $i -lt 60 ]; do i=$(expr $i + 1); (:); done; echo forks "$i"', qr/^forks 60$/m,
        'a loop of forks and execs'],
    ["echo $LONG | wc -c", qr/^${\(1 + length $LONG)}$/m, 'a long line that is pasted'],
    ["echo $LONG | md5sum", undef, 'its bytes'],
    ['md5sum < /bin/busybox; md5sum < /bin/busybox | uniq -c; free | grep Mem', qr/^Mem:\s+\d+/m, 'files'],
    ['dmesg | grep -c "read current time from RTC"; date +%Y', qr/^0\n20[2-9]\d$/m, 'the date, from the real-time clock'],
    ["date -s '2030-01-01' > /dev/null; date +%Y", qr/^2030$/m, 'the clock'],
    ['dmesg | grep -E "WARNING: CPU|BUG|Call Trace|Oops|protection fault|unchecked MSR"; echo searched', qr/^searched$/m,
        'the kernel log could be searched'],
);

sub command_steps {
    my ($command) = @_;
    return ("send $command", 'expect ' . PROMPT);
}

sub script {
    my (@given) = @_;
    # Ctrl-C ends a sleep: without it, no prompt would follow within the time limit.
    my @interrupt = ('send sleep 100000', 'expect sleep 100000', 'wait 0.5', 'type \x03', 'expect ' . PROMPT);
    my @commands = map { (my $typed = $_->[0]) =~ s/\\/\\\\/g; command_steps($typed) } @given;
    # A wide terminal: the shell breaks no echo into lines.
    return [
        'expect ' . PROMPT, command_steps('stty cols 300'), @commands, @interrupt,
        'send poweroff', 'expect "penumbra":"summary"'
    ];
}

# The output of each command: from the end of its echo to the next prompt.
sub command_outputs {
    my ($text) = @_;
    my ($begin, $wide, @parts) = split /^guest:~# /m, $text;
    return map { s/\A[^\n]*\n//r } @parts;
}

sub commands_check {
    my ($name, $text, @given) = @_;
    require Digest::MD5;
    my @outputs = command_outputs($text);
    for my $i (0 .. $#given) {
        my ($typed, $expected, $what) = @{ $given[$i] };
        my $hash = Digest::MD5::md5_hex("$LONG\n");
        $expected //= qr/^$hash/m;
        ok(($outputs[$i] // '') =~ $expected, "$name: $what") or diag("$typed\n", $outputs[$i] // 'no output');
    }
    is($outputs[$#given] // '', "searched\n", "$name: no warning, bug or trace in the kernel log");
    unlike($outputs[@given] // '', qr/\S[^\n]*\n[^\n]*\S/, "$name: Ctrl-C ends a sleep");
}

# Every exit but the last, which is not over, is in its reason's histogram; and their cycles are the monitor's, but those of the
# start, and of the screen, which a slow processor draws in an eighth of them.
sub accounts_check {
    my ($name, $json) = @_;
    my @accounts = values %{ $json->{exit_reasons} };
    my $spread = List::Util::sum0(map { values %{ $_->{log2} } } @accounts);
    my $cycles = List::Util::sum0(map { $_->{cycles} } @accounts);
    is($spread, $json->{exits} - 1, "$name: histograms have all exits");
    cmp_ok($cycles, '<=', $json->{monitor_cycles}, "$name: cycles of exits are the monitor's");
    cmp_ok($cycles, '>', 0.7 * $json->{monitor_cycles}, "$name: and most of these");
}

# The end of a run by poweroff: sentence, table, JSON, and that both tell the same.
sub linux_summary_check {
    my ($name, $run, %expected) = @_;
    says($run, qr/^\[penumbra\] guest powered off$/m, "$name: the monitor says that the guest powered off");
    my $json = eval { decode_json(json_line($run->{text})) } // {};
    my ($table) = (summary_tables($run->{text}))[-1];
    $table //= {};
    my $reasons = $json->{exit_reasons} // {};
    for (['count', 'reasons', 'exits'], ['cycles', 'cycles', 'cycles']) {
        my ($key, $of_table, $what) = @$_;
        my %of_json = map { $_ => $reasons->{$_}{$key} } keys %$reasons;
        is_deeply(\%of_json, $table->{$of_table}, "$name: table and JSON count the same $what");
    }
    is($json->{exits}, List::Util::sum0(map { $_->{count} } values %$reasons), "$name: exits add up");
    accounts_check($name, $json);
    is_deeply({ map { $_ => $json->{$_} } keys %expected }, \%expected, "$name: summary");
    ok(!$json->{failed}, "$name: nothing failed");
    is($run->{end}, 'shutdown', "$name: the machine is switched off");
}

# A whole run: boot, commands, power-off. `expected` are figures of the summary; `commands` come before those above.
sub linux_check {
    my ($name, $expected, %linux) = @_;
    my @given = (@{ delete $linux{commands} // [] }, @COMMANDS);
    my $run = linux_boot(name => $name, script => script(@given), %linux);
    my @bad = $run->{text} =~ /^\[ *\d+\.\d+\] .*(?:Kernel panic|Call Trace|WARNING: CPU)/mg;
    is("@bad", '', "$name: no panic or trace on the console");
    commands_check($name, $run->{text}, @given);
    linux_summary_check($name, $run, %$expected);
    return $run;
}

1;
