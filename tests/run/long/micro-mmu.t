#!/usr/bin/perl
# As ../micro-mmu.t, under each strategy of shadow paging with and without what saves it exits.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use Micro;

micro_mmu(qw(ept adaptive trace lazy eager adaptive-plain trace-plain eager-plain lazy-plain));
