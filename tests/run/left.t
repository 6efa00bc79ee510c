#!/usr/bin/perl
# What one guest leaves to the next of a comparison: the micro-guest's group `left` finds a clean machine under each of several
# configurations in one boot, although it has left dirt everywhere under the one before.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Micro;
use Test::More;

my @CONFIGURATIONS = ('ept', 'shadow', 'ept,vpid=off', 'trace,shadow.pool=64', 'ept,p2m.max=4k');

for my $cpu ('corei7_skylake_x', 'corei7_haswell_4770') {
    my $run = micro_monitored($cpu, $cpu, 'compare=' . join('/', @CONFIGURATIONS), 'left');
    my @ends = $run->{text} =~ /^\[penumbra\] comparison: \d of 5, (\S+): guest ended with status 0 after/mg;
    is_deeply(\@ends, \@CONFIGURATIONS, "$cpu: each configuration ends with status 0");
    my @results = $run->{text} =~ /^((?:not )?ok left\..*)$/mg;
    is_deeply(\@results, [map { ('ok left.clean', 'ok left.dirt') } @CONFIGURATIONS], "$cpu: each finds a clean machine");
}
done_testing;
