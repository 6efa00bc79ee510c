#!/usr/bin/perl
# Linux under memory load in every configuration, or in those that STRESS names: STRESS=lazy-pti,eager make stress.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use Stress;
use Test::More;

$ENV{STRESS_TIMEOUT} //= 7200;
stress_check($_) for $ENV{STRESS} ? split /,/, $ENV{STRESS} : stress_names;
done_testing;
