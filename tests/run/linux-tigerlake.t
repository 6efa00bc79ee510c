#!/usr/bin/perl
# Debian's kernel under EPT to its shell and off again: tigerlake. Bochs gets its protection keys wrong. It also shows fast
# short REP MOVSB (FSRM) while fast strings are off, which sends this kernel's memmove astray: the monitor hides that, and
# without a monitor this kernel does not boot on this model.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Test::More;

linux_check('tigerlake', { mmu => 'ept', vpid => JSON::PP::true, p2m_4k => 1, p2m_2m => 128, p2m_1g => 0 }, cpu => 'tigerlake', parameters => 'pku=off mem=256M',
    arguments => ARGUMENTS);
done_testing;
