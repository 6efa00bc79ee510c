#!/usr/bin/perl
# Guests that never end, most of them in exits without an end (tests/guest/endless.c): limit= ends each after a second, under both
# back ends, and Ctrl-A x ends one at once. A comparison goes on with the next.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Test::More;

my %FILES = ('micro.elf' => "$Machine::BUILD/tests/guest/micro.elf");

sub run {
    my ($name, $parameters, $guest, @script) = @_;
    return boot(name => $name, cpu => 'corei7_skylake_x', mem => 128, timeout => 300, files => \%FILES, script => \@script, grub => <<"END");
multiboot2 /penumbra.elf mem=32M $parameters
module2 /micro.elf multiboot endless-$guest end
END
}

for my $guest (qw(output string cpuid spin clock)) {
    my $run = run($guest, 'compare=ept/shadow limit=1', $guest);
    my @ends = $run->{text} =~ /^.*\[penumbra\] error: comparison: \d of 2, (\S+): guest ended by limit=: it has run for 1 s after 1 s/mg;
    is_deeply(\@ends, ['ept', 'shadow'], "$guest: limit= ends it");
    says($run, qr/^\{"penumbra":"end","configurations":2,"refused":0,"failed":2\}$/m, "$guest: and it counts as failed");
}
my $stopped = run('stopped', '', 'output', 'expect ........', 'type \x01x', 'expect stopped from the console');
says($stopped, qr/\[penumbra\] stopped from the console$/m, 'Ctrl-A x ends one that only writes');
done_testing;
