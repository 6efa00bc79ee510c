#!/usr/bin/perl
# Linux under memory load with the strategies that trace: adaptive with all that makes it hard at once, and tracing alone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Stress;
use Test::More;

stress_check($_) for qw(adaptive-all trace);
done_testing;
