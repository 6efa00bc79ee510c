#!/usr/bin/perl
# The micro-guest on lynnfield: bare, and in each mode of the monitor, with equal transcripts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Micro;

micro_compare('lynnfield', ['ept', 'mmu=ept'], ['novpid', 'mmu=ept vpid=off'], ['4k', 'mmu=ept p2m.max=4k'],
    ['shadow', 'mmu=shadow shadow.vpid=one']);
