#!/usr/bin/perl
# Exceptions that cannot be delivered while #DF is: the micro-guest's group `undelivered`, one case after the other in one
# boot. Bare the machine resets and boots anew; under the monitor, by EPT and by shadow paging, the guest ends by a triple
# fault. A monitor that injects the exception again, for ever, hangs here.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Micro;
use Test::More;

my @CASES = ('a' .. 'l');                # of tests/guest/undelivered.c
my @BARE = qw(a c f g i j);              # each takes a boot
my @MODES = ('ept', 'shadow', 'lazy,shadow.directpf=off');
my $CPU = 'corei7_skylake_x';

sub asked { return map { ('expect which case', "type $_") } @_ }

my $bare = micro_bare($CPU, 'undelivered', timeout => 300, lines => ['cpu: ignore_bad_msrs=0, reset_on_triple_fault=1'],
    script => [asked(@BARE), 'expect which case', 'quit']);
is($bare->{end}, 'quit', 'bare: each case resets the machine') or diag(substr $bare->{text}, -500);
unlike($bare->{text}, qr/not ok/, 'bare: none goes on');

my $run = micro_monitored('monitored', $CPU, 'compare=' . join('/', @MODES) . ' compare.repeat=' . @CASES, 'undelivered',
    script => [asked(map { ($_) x @MODES } @CASES)]);
for my $mode (@MODES) {
    my @ends = $run->{text} =~ /^\[penumbra\] error: comparison: \d+ of \d+, \Q$mode\E: ([^\n]*?) at RIP/mg;
    is_deeply(\@ends, [('guest triple fault') x @CASES], "$mode: each case ends the guest");
}
my @order = $run->{text} =~ /^\[penumbra\] comparison: \d+ of \d+, (\S+)$/mg;
is_deeply(\@order, [map { my $round = $_; map { $MODES[($round + $_) % @MODES] } 0 .. $#MODES } 0 .. $#CASES],
    'each round begins with the next configuration');
is($run->{end}, 'shutdown', 'the machine is switched off');
done_testing;
