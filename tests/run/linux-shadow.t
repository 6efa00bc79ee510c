#!/usr/bin/perl
# Debian's kernel under shadow paging to its shell and off again: the default strategy, and tracing without VPID.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use Linux;
use Test::More;

# Each of the kernel's roots lies in place, also those that are as low as GRUB has put kernel and initrd.
linux_check('adaptive', { mmu => 'shadow', vpid => JSON::PP::true, places_refused => 0 }, cpu => 'corei7_skylake_x',
    parameters => 'mmu=shadow mem=256M');
linux_check('trace', { mmu => 'shadow', vpid => JSON::PP::false, invvpid_context => 0, invvpid_all => 0 }, cpu => 'corei7_haswell_4770',
    parameters => 'mmu=shadow shadow=trace shadow.directpf=off vpid=off mem=256M');
done_testing;
