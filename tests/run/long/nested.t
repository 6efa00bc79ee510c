#!/usr/bin/perl
# Penumbra under QEMU and KVM (nested VT-x), with KVM itself in Bochs: micro-guests and Linux in the cases of ../lib/Nested.pm, or
# in those that NESTED names: NESTED=linux-ept,micro-ept make nested.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use Nested;

nested_check($ENV{NESTED} ? split /,/, $ENV{NESTED} : ());
