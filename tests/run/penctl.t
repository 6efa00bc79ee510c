#!/usr/bin/perl
# Programs of user mode and the monitor's calls, in Debian's kernel: without vmcall=user every call is refused; with it penctl
# shows parameters and counters, sets them back, marks and prints the trace, and ends the guest; and calls that are wrong in
# whatever way give their error and harm nobody. Ctrl-A s and t tell the same. What each call does is in tests/host/test_vmcall.c.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP 'decode_json';
use Linux;
use List::Util 'any';
use Machine;
use Summary;
use Test::More;

my $RING = 200;
my $MARK = 4711;
my $LOG = 'dmesg | grep -E "WARNING: CPU|BUG|Call Trace|Oops|protection fault|segfault|unchecked MSR"; echo sear"ched"';

# Where penctl begins: memory of its own, that is there and read-only. It is linked to be always at the same place.
sub entry_point {
    open my $in, '<:raw', "$Machine::BUILD/guest/penctl/penctl" or die "penctl: $!\n";
    read $in, my $head, 32;
    return unpack 'x24 Q<', $head;
}

# Without KASLR and page-table isolation $KERNEL is the kernel's first page, mapped and writable but for programs.
my $KERNEL = '0xffff888000000000';
my $LAST = '0xffffffffffffffff';
my $CODE = sprintf '0x%x', entry_point();
my $NOT_CANONICAL = sprintf '0x%x', entry_point() | 1 << 63;

# [arguments of `penctl call`, error, what that is]
my @BAD = (
    ['0', 'UNKNOWN', 'number 0'],
    ['99', 'UNKNOWN', 'number 99'],
    [$LAST, 'UNKNOWN', 'number 2^64 - 1'],
    ['0x100000006', 'UNKNOWN', 'a number whose low half is a call'],
    ['1 0 10', 'FAULT', 'COUNTERS, to NULL'],
    ["1 $KERNEL 10", 'FAULT', "COUNTERS, to the kernel's memory"],
    ['1 0x8000000000000000 10', 'FAULT', 'COUNTERS, to an address that is not canonical'],
    ["1 $LAST 10", 'FAULT', 'COUNTERS, to the last byte'],
    ["1 $CODE 10", 'FAULT', 'COUNTERS, to read-only memory'],
    ["1 0 $LAST", 'FAULT', '2^64 - 1 COUNTERS, to NULL'],
    ["1 $KERNEL $LAST", 'FAULT', "2^64 - 1 COUNTERS, to the kernel's memory"],
    ["2 $LAST 0", 'ARGUMENT', 'COUNTER 2^64 - 1'],
    ['2 0 0', 'FAULT', 'COUNTER, to NULL'],
    ['6 0 4096', 'FAULT', 'MODE, to NULL'],
    ["6 $KERNEL $LAST", 'FAULT', "MODE, to the kernel's memory"],
    ['8 0', 'FAULT', 'RESULT, at NULL'],
    ["8 $KERNEL", 'FAULT', "RESULT, in the kernel's memory"],
    ["8 $NOT_CANONICAL", 'FAULT', 'RESULT, at good memory but for bit 63'],
    ["8 $CODE", 'OFF', 'RESULT, outside a comparison'],
);

# penctl's words without vmcall=user: each makes one call, then ends.
my @COMMANDS = ('mode', 'counters', 'counters -j', 'reset', 'mark 1', 'trace', 'stop 9');
my @CALLS = map { "call $_" } 0 .. 8, 99;

# Boots, gives the commands, then does what `end` says; the commands' outputs are added to what boot() returns.
sub penctl_boot {
    my ($name, $parameters, $commands, @end) = @_;
    my $run = linux_boot(name => $name, cpu => 'corei7_skylake_x', parameters => "mem=256M $parameters",
        arguments => ARGUMENTS . ' nokaslr nopti',
        script => ['expect ' . PROMPT, map({ command_steps($_) } 'stty cols 300', @$commands), @end,
            'expect "penumbra":"summary"']);
    $run->{outputs} = [command_outputs($run->{text})];
    return $run;
}

sub denied_check {
    my @tried = (@COMMANDS, @CALLS);
    my $run = penctl_boot('denied', '', [map({ "penctl $_; echo status \$?" } @tried), $LOG], 'send poweroff');
    my @outputs = @{ $run->{outputs} };
    my $words = 'penctl: the monitor refuses calls of programs: boot it with vmcall=user';
    is(shift @outputs, "$words\nstatus 3\n", "denied: penctl $_ says the remedy") for @COMMANDS;
    is(shift @outputs, "PENUMBRA_DENIED\nstatus 3\n", "denied: penctl $_") for @CALLS;
    is(shift @outputs, "searched\n", 'denied: nothing in the kernel log');
    linux_summary_check('denied', $run);
    my $json = eval { decode_json(json_line($run->{text})) } // {};
    is($json->{exit_reasons}{VMCALL}{count}, scalar @tried, 'denied: each was one call');
}

# The monitor has said at boot what of its parameters became another; of pmu=auto it says it in other words.
sub mode_check {
    my ($text, $mode) = @_;
    my ($parameters) = $text =~ /^\[penumbra\] parameters: (.*)$/m;
    my %became = ($text =~ /^\[penumbra\] (\S+=\S+) is (\S+=\S+) on this processor/mg, 'pmu=auto' => 'pmu=off');
    like($mode, qr/^mmu=ept .*\bvmcall=user\b/, 'mode: parameters');
    is($mode, join(' ', map { $became{$_} // $_ } split / /, $parameters // '') . "\n", 'mode: those of the start, as they took effect');
    like($mode, qr/ vpid=on /, 'mode: vpid=auto is on');
}

sub counters_check {
    my ($table, $first, $second) = @_;
    my %shown = $table =~ /^(\S+) +(\d+)(?: [\w \/]*)?$/mg;
    is(scalar(keys %shown), $table =~ tr/\n//, 'counters: each line is a counter');
    ok(!(any { !$_ } values %shown, values %$first), 'counters, counters -j: none that is 0');
    is(join(' ', grep { !defined $first->{$_} } keys %shown), '', 'counters -j: has all of the table');
    is(join(' ', grep { !defined $second->{$_} } keys %$first), '', 'counters -j -a: has all of -j');
    for my $name ('exits', 'vmreads', 'exit.CPUID', 'cycles.CPUID', 'exit.VMCALL') {
        cmp_ok($second->{$name} // 0, '>', $first->{$name} // 0, "counters: $name grows");
    }
    is($second->{p2m_2m} // 'none', $first->{p2m_2m}, 'counters: p2m_2m is a gauge');
}

# penctl's calls for a list of counters: how many, twice; what each is; their values.
sub calls_for_list { return keys(%{ $_[0] }) + 3 }

# After a reset and a list, all exits of a kind that only programs cause are those of the list.
sub reset_check {
    my ($first, $second, $after) = @_;
    cmp_ok($after->{exits} // 1e9, '<', $first->{exits} // 0, 'reset: fewer exits than before');
    is($after->{'exit.CPUID'}, $second->{'exit.CPUID'} - $first->{'exit.CPUID'}, 'reset: CPUID exits begin again');
    is($after->{'exit.VMCALL'}, calls_for_list($after), 'reset: so do those for calls');
    is($after->{$_} // 'none', $second->{$_}, "reset: $_ stays") for qw(p2m_4k p2m_2m p2m_tables monitor_memory);
}

# Each trace in a text, as its lines.
sub traces {
    my ($text) = @_;
    my @lines = $text =~ /^  trace of the last $RING of \d+ exits and marks: [^\n]*\n((?:  +\d+ [^\n]*\n){$RING})\n/mg;
    return map { [split /\n/] } @lines;
}

sub trace_check {
    my ($said) = @_;
    my ($trace) = traces($said);
    like($said, qr/^$RING exits are on the monitor's console\n\z/m, 'trace: how many');
    ok($trace, 'trace: on the console, so many lines') or return;
    my ($at) = grep { $trace->[$_] =~ /\bmark $MARK / } 0 .. $RING - 1;
    ok(defined $at, 'mark: is in the trace') or return;
    my ($rip) = $trace->[$at] =~ /^ +\d+ +mark $MARK rip (0x\w+)$/;
    like($trace->[$at + 1], qr/ VMCALL +rip $rip .* skip$/, 'mark: was called from where it says');
    like($trace->[-1], qr/ \d+ +- CPUID .* skip$/, 'trace: up to the call that asks for it');
}

# The keys after a reset and a list, and the end by `penctl stop 7`: 1 call more.
sub end_check {
    my ($run, $after) = @_;
    my ($table) = summary_tables($run->{text});
    my $calls = calls_for_list($after);
    is_deeply([sort grep { !/^(?:reasons|cycles)$/ } keys %$table], [sort grep { !/\./ } keys %$after], 'Ctrl-A s: has the counters of penctl');
    is($table->{reasons}{VMCALL}, $calls, 'Ctrl-A s: counts since the reset, with histograms');
    my @traces = traces($run->{text});
    is(scalar @traces, 3, 'traces: by penctl, by Ctrl-A t and at the end');
    like($traces[-1][-1] // '', qr/ VMCALL .* stop$/, 'traces: the last exit is the stop');
    says($run, qr/^\[penumbra\] guest ended with status 7$/m, 'stop: the monitor says so');
    my $json = eval { decode_json(json_line($run->{text})) } // {};
    is_deeply([@$json{qw(status failed)}, $json->{exit_reasons}{VMCALL}{count}], [7, JSON::PP::false, $calls + 1], 'stop: summary');
    is($run->{end}, 'shutdown', 'stop: the machine is switched off');
}

sub user_check {
    my $list = 'penctl counters -j -a';
    my $run = penctl_boot('user', "vmcall=user trace=$RING",
        ['penctl mode', 'penctl counters', 'penctl counters -j', $list, "penctl mark $MARK; penctl trace",
            map({ "penctl call $_->[0]; echo status \$?" } @BAD), 'penctl call 1', 'penctl call 6', $LOG, "penctl reset; $list"],
        'type \x01t', 'expect trace of the last', 'type \x01s', 'expect exits by reason', 'send ', 'expect ' . PROMPT,
        'send penctl stop 7');
    my ($mode, $table, $first, $second, $trace, @rest) = map { $_ // '' } @{ $run->{outputs} };
    mode_check($run->{text}, $mode);
    ($first, $second) = map { eval { decode_json($_) } // {} } $first, $second;
    counters_check($table, $first, $second);
    trace_check($trace);
    is(shift @rest, "PENUMBRA_$_->[1]\nstatus 3\n", "bad call: $_->[2]") for @BAD;
    is(shift @rest, keys(%$second) . "\n", 'then a good one: how many counters');
    is(shift @rest, length($mode) - 1 . "\n", 'and another: how long the parameters are');
    is(shift @rest, "searched\n", 'bad calls: nothing in the kernel log');
    my $after = eval { decode_json(shift @rest) } // {};
    reset_check($first, $second, $after);
    end_check($run, $after);
}

denied_check();
user_check();
done_testing;
