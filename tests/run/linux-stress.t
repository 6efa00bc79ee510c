#!/usr/bin/perl
# Linux under memory load with all at once that makes it hard: isolated page tables, a pool of 64 tables, audit=on. Other
# strategies and parameters: `make stress`.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Stress;
use Test::More;

stress_check('adaptive-all');
done_testing;
