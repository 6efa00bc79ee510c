#!/usr/bin/perl
# The access-bit matrix and mmu-torture of the micro-guest: bare, under EPT and under shadow paging, with equal checksums of all
# that the accesses did. long/micro-mmu.t has more strategies and parameters.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Micro;

micro_mmu(qw(ept adaptive trace lazy adaptive-plain));
