#!/usr/bin/perl
# The micro-guest under each strategy of shadow paging, each with other parameters, also the smallest pool; the default
# strategy is in the tests of the processors.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Micro;

micro_compare('corei7_skylake_x',
    ['lazy', 'mmu=shadow shadow=lazy shadow.prefetch=0'],
    ['eager', 'mmu=shadow shadow=eager shadow.directpf=off'],
    ['trace', 'mmu=shadow shadow=trace shadow.invlpg=exit p2m.max=4k'],
    ['small', 'mmu=shadow shadow=adaptive shadow.pool=64 vpid=off'],
    ['pcid', 'mmu=shadow shadow.pcid=on'],
    ['pcid-exit', 'mmu=shadow shadow.pcid=on shadow.invlpg=exit shadow.cr3=exit']);
