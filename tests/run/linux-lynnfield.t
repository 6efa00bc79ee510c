#!/usr/bin/perl
# Debian's kernel under EPT to its shell and off again: lynnfield, which has no unrestricted guest and no accessed and dirty bits.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Machine;
use Test::More;

my $run = linux_check('lynnfield', { mmu => 'ept', vpid => JSON::PP::true, p2m_2m => 128, p2m_1g => 0 }, cpu => 'corei5_lynnfield_750', parameters => 'mem=256M');
says($run, qr/^\[penumbra\] p2m\.max=1g is p2m\.max=2m on this processor: its EPT has no larger pages$/m, 'what pages there are is said');
done_testing;
