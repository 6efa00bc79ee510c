#!/usr/bin/perl
# Debian's kernel under EPT to its shell and off again: tigerlake. Bochs 2.7 shows fast short
# REP MOVSB (FSRM) while fast strings are off, which sends this kernel's memmove astray: the monitor hides that, and
# without a monitor this kernel does not boot on this model.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Machine;
use Test::More;

linux_check('tigerlake', { mmu => 'ept', vpid => JSON::PP::true, p2m_4k => 1, p2m_2m => 128, p2m_1g => 0 }, cpu => 'tigerlake',
    parameters => 'mem=256M' . fault_words('keys', 'pku=off'),
    arguments => ARGUMENTS);
done_testing;
