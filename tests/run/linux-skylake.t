#!/usr/bin/perl
# Debian's kernel under EPT and VPID on skylake_x, the default of everything.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Linux;
use JSON::PP;
use Test::More;

linux_check('ept', { mmu => 'ept', vpid => JSON::PP::true }, cpu => 'corei7_skylake_x', parameters => 'mem=256M');
done_testing;
