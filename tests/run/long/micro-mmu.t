#!/usr/bin/perl
# As ../micro-mmu.t, under each strategy of shadow paging with and without what saves it exits.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use Micro;

my $plain = 'shadow.vpid=one shadow.directpf=off shadow.invlpg=exit shadow.prefetch=0';

micro_compare_groups('corei7_skylake_x', 'matrix torture', 7,
    ['ept', 'mmu=ept'],
    ['adaptive', 'mmu=shadow'],
    ['trace', 'mmu=shadow shadow=trace'],
    ['lazy', 'mmu=shadow shadow=lazy'],
    ['eager', 'mmu=shadow shadow=eager'],
    ['adaptive-plain', "mmu=shadow $plain"],
    ['trace-plain', "mmu=shadow shadow=trace $plain"],
    ['eager-plain', "mmu=shadow shadow=eager $plain"],
    ['lazy-plain', "mmu=shadow shadow=lazy $plain"]);
