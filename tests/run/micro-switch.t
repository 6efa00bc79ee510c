#!/usr/bin/perl
# The micro-guest while the mode changes under it (mmu.churn=): between EPT and shadow paging, strategies, VPIDs and sizes of pages.
# Its transcript is that of the bare machine.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Micro;

# mmu=shadow: what shadow paging does not run is left out.
micro_compare('corei7_skylake_x', ['switch', 'mmu=shadow mmu.switch=on mmu.churn=97 shadow.pool=256'],
    ['pcid', 'mmu=shadow mmu.switch=on mmu.churn=97 shadow.pool=256 shadow.pcid=on']);
