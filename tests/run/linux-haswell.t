#!/usr/bin/perl
# Debian's kernel under EPT to its shell and off again: haswell, where EPT has accessed and dirty bits, with 1G of memory.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Test::More;

linux_check('haswell', { mmu => 'ept', vpid => JSON::PP::true }, cpu => 'corei7_haswell_4770', parameters => 'mem=1G', mem => 1280);
done_testing;
