#!/usr/bin/perl
# The micro-guest on penryn, which has neither EPT nor VPID: bare and under shadow paging, with equal transcripts. Nor has it
# the VMX-preemption timer, without which the interval timer's interrupts come at the guest's next exit.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Micro;

micro_compare('core2_penryn_t9600', ['shadow', 'mmu=shadow vpid=off', 'ticks']);
