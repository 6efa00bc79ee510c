#!/usr/bin/perl
# The micro-guest on tigerlake: bare, and in each mode of the monitor, with equal transcripts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Micro;

# Bochs gets protection keys wrong, so the guest is not offered them.
micro_compare('tigerlake', ['ept', 'mmu=ept pku=off'], ['novpid', 'vpid=off pku=off'], ['4k', 'p2m.max=4k pku=off'],
    ['shadow', 'mmu=shadow pku=off']);
