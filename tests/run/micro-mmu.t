#!/usr/bin/perl
# The access-bit matrix and mmu-torture of the micro-guest: bare, under EPT and under shadow paging, with equal checksums of all
# that the accesses did. long/micro-mmu.t has more strategies and parameters.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Micro;

my $plain = 'shadow.vpid=one shadow.directpf=off shadow.invlpg=exit shadow.prefetch=0';

micro_compare_groups('corei7_skylake_x', 'matrix torture', 7,
    ['ept', 'mmu=ept'],
    ['adaptive', 'mmu=shadow'],
    ['trace', 'mmu=shadow shadow=trace'],
    ['lazy', 'mmu=shadow shadow=lazy'],
    ['adaptive-plain', "mmu=shadow $plain"]);
