#!/usr/bin/perl
# Debian's kernel under EPT to its shell and off again: all of its memory in 4K pages.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Test::More;

linux_check('4k', { mmu => 'ept', vpid => JSON::PP::true, p2m_4k => 65537, p2m_2m => 0, p2m_1g => 0 }, cpu => 'corei7_skylake_x', parameters => 'p2m.max=4k mem=256M');
done_testing;
