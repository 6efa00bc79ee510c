#!/usr/bin/perl
# Linux under memory load with the strategies that keep nothing over a root load.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Stress;
use Test::More;

stress_check($_) for qw(lazy eager);
done_testing;
