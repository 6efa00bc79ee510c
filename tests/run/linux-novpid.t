#!/usr/bin/perl
# Debian's kernel under EPT to its shell and off again: without VPID.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Test::More;

linux_check('novpid', { mmu => 'ept', vpid => JSON::PP::false, invvpid_context => 0, invvpid_all => 0 }, cpu => 'corei7_skylake_x', parameters => 'vpid=off mem=256M');
done_testing;
