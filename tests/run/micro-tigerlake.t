#!/usr/bin/perl
# The micro-guest on tigerlake: bare, and in each mode of the monitor, with equal transcripts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Micro;

my $pku = fault_words('keys', 'pku=off');
micro_compare('tigerlake', ['ept', "mmu=ept$pku"], ['novpid', "vpid=off$pku"], ['4k', "p2m.max=4k$pku"],
    ['shadow', "mmu=shadow$pku"]);
