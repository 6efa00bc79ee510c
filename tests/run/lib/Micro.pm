# The micro-guest of tests/guest, bare and under the monitor: boots it and compares transcripts line by line. What it
# tests is in tests/guest; which processors and modes are compared is in the tests beside this folder.
package Micro;
use strict;
use warnings;
use Exporter 'import';
use Machine;
use Test::More;
our @EXPORT = qw(micro_bare micro_monitored micro_compare transcript);

my %FILES = (
    'micro.elf' => "$Machine::BUILD/tests/guest/micro.elf",
    'sequence.txt' => "$Machine::BUILD/tests/guest/sequence.txt",
);

# Unknown MSRs fault like on a real processor, for which Bochs must be asked.
my @LINES = ('cpu: ignore_bad_msrs=0');

# What the guest said itself: from its first line to its last.
sub transcript { return $_[0] =~ /^(# micro-guest: begin\n.*?^# micro-guest: end[^\n]*\n)/ms ? $1 : '' }

sub micro_bare {
    my ($cpu, $words) = @_;
    return boot(name => 'bare', cpu => $cpu, mem => 128, files => \%FILES, lines => \@LINES,
        grub => "multiboot /micro.elf $words end\nmodule /sequence.txt sequence");
}

sub micro_monitored {
    my ($name, $cpu, $parameters, $words) = @_;
    return boot(name => $name, cpu => $cpu, mem => 128, files => \%FILES, lines => \@LINES, grub => <<"END");
multiboot2 /penumbra.elf mem=48M $parameters
module2 /micro.elf multiboot $words end
module2 /sequence.txt sequence
END
}

# A test's result by its name, and the lines that are no results under their own text.
sub results {
    my ($transcript) = @_;
    return map { /^(?:not )?ok (\S+?):?(?: |$)/ ? ($1 => $_) : ($_ => $_) } split /\n/, $transcript;
}

sub differences {
    my ($bare, $monitored) = @_;
    my %left = results($bare);
    my %right = results($monitored);
    my %names = (%left, %right);
    return map { "$_\n    bare:      " . ($left{$_} // '-') . "\n    monitored: " . ($right{$_} // '-') }
        grep { ($left{$_} // '') ne ($right{$_} // '') } sort keys %names;
}

# One processor model, in each mode: [name, parameters].
sub micro_compare {
    my ($cpu, @modes) = @_;
    plan tests => 2 + 3 * @modes;
    my $bare = transcript(micro_bare($cpu, 'all')->{text});
    my @passed = $bare =~ /^ok /mg;
    cmp_ok(scalar @passed, '>=', 150, "$cpu: the guest runs its tests bare");
    like($bare, qr/^# micro-guest: end, 0 failed$/m, "$cpu: all pass bare") or diag(map { "$_\n" } $bare =~ /^not ok.*/mg);
    for (@modes) {
        my ($name, $parameters) = @$_;
        my $run = micro_monitored($name, $cpu, $parameters, 'all');
        my $monitored = transcript($run->{text});
        is($monitored eq $bare ? '' : join("\n", differences($bare, $monitored)) || 'another order', '',
            "$cpu, $name: the transcripts are equal");
        says($run, qr/^\[penumbra\] guest ended with status 0$/m, "$cpu, $name: the status is 0");
        is($run->{end}, 'shutdown', "$cpu, $name: the machine is switched off");
    }
}

1;
