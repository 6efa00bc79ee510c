#!/usr/bin/perl
# The monitor's promise for a steady state: a guest that is idle, computes, switches processes, faults pages and takes
# timer interrupts causes no exit. Measured by Ctrl-A s before and after ten seconds of each in the guest; what typing the
# command and printing its end costs is measured by the same command for no time, and taken off.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Linux;
use Machine;
use Summary;
use Test::More;

# Each takes %d seconds of the guest's time. /proc/uptime is read by the shell itself, with no process for it.
my $UNTIL = 'read t x </proc/uptime; e=$((${t%%.*}+%2d)); while read t x </proc/uptime; [ ${t%%.*} -lt $e ]; do WORK; done';
my @LOADS = (
    ['idle', 'sleep %2d'],
    ['a busy loop', $UNTIL =~ s/WORK/:/r],
    ['fork', $UNTIL =~ s/WORK/(:)/r],
    ['fork and exec', $UNTIL =~ s/WORK/n=\$n.; \/bin\/true/r],
);
my $SECONDS = 10;
my $SLACK = 100;   # exits for the console more or fewer: neither the UART's interrupts nor the screen's timer fall alike twice
# Debian's busybox is linked statically, and glibc's start-up asks CPUID, which always exits: 55 times for an exec in
# Debian 12, 64 times in Debian 13.
my $CPUID_FOR_EXEC = 80;

sub measured {
    my ($command) = @_;
    return ('type \x01s', 'expect exits by reason', "send $command; echo end\$((1+1)) \${#n}",
        'expect end2', 'expect ' . PROMPT, 'type \x01s', 'expect exits by reason');
}

my @script = ('expect ' . PROMPT, "send n=", 'expect ' . PROMPT);
for (@LOADS) {
    for my $seconds (0, $SECONDS) {
        push @script, measured(sprintf $_->[1], $seconds), 'wait 0.3', 'send n=', 'expect ' . PROMPT;
    }
}
my $run = linux_boot(name => 'loads', cpu => 'corei7_skylake_x', parameters => 'mem=256M', script => [@script, 'quit']);
my @tables = summary_tables($run->{text});
is(scalar @tables, 4 * @LOADS, 'the statistics come on demand, in the middle of a run') or diag(substr $run->{text}, -3000);
my @execs = $run->{text} =~ /^end2 (\d+)$/mg;

for my $i (0 .. $#LOADS) {
    my $name = $LOADS[$i][0];
    my ($control, $load) = map { summary_difference(@tables[$_, $_ + 1]) } 4 * $i, 4 * $i + 2;
    my %more = map { $_ => $load->{reasons}{$_} - ($control->{reasons}{$_} // 0) } keys %{ $load->{reasons} };
    say_step(sprintf '%s: %d ms more, exits more: %s', $name, $load->{milliseconds} - $control->{milliseconds},
        join ', ', map { "$_ $more{$_}" } sort keys %more);
    # The load's own time alone: what typing takes in the guest's time depends on how fast an idle guest is emulated.
    cmp_ok($load->{milliseconds}, '>', ($SECONDS - 2) * 1000, "$name: it lasted");
    for my $reason (qw(IO_INSTRUCTION EXCEPTION_OR_NMI PREEMPTION_TIMER)) {
        cmp_ok(delete $more{$reason} // 0, '<=', $SLACK, "$name: no $reason but for the console");
    }
    if ($name eq 'fork and exec') {
        my $execs = $execs[2 * $i + 1] // 0;
        cmp_ok($execs, '>', 20, "$name: it did many");
        cmp_ok(delete $more{CPUID} // 0, '<=', $CPUID_FOR_EXEC * $execs, "$name: CPUID exits, by the programs themselves");
    }
    is_deeply({ map { $_ => $more{$_} } grep { $more{$_} > 0 } keys %more }, {}, "$name: no other exit");
}
done_testing;
