# What versions of Bochs get wrong, and what this tree does about it, in one table: whoever works round a fault asks here whether
# the Bochs of this machine has it, and says so. A fault is a row only if it was seen.
package Faults;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(bochs_version bochs_faults bochs_fault version_order);

# The word that code asks by; first and last version that it was seen in, of 2.7, 3.0 and 3.0.devel; what is wrong; what follows.
# cpu: on this model only. groups and tests of the micro-guest (tests/guest) cannot pass there. A version under development,
# 3.0.devel, comes after its release.
my @TABLE = (
    { word => 'keys', from => '2.7', to => '3.0', groups => ['keys'],
        wrong => 'protection keys are applied to pages that are the supervisor\'s by an entry above the last',
        so => 'guests are not offered them (pku=off), and the micro-guest\'s group keys is not run' },
    { word => 'keys-leaf', from => '2.7', to => '3.0.devel', groups => ['keyleaf'],
        wrong => 'protection keys are applied to pages that are the supervisor\'s by the last entry',
        so => 'the micro-guest\'s group keyleaf is not run' },
    { word => 'apic-enable', from => '2.7', to => '3.0.devel', groups => ['apicbase'],
        wrong => 'a local APIC that was disabled cannot be enabled again, nor x2APIC mode left',
        so => 'the micro-guest\'s group apicbase is run under the monitor only' },
    { word => 'xsavec', from => '2.7', to => '2.7', groups => ['compacted'],
        wrong => 'XSAVEC and XSAVES write where XRSTOR does not read',
        so => 'the monitor hides them, and the micro-guest\'s group compacted is not run' },
    { word => 'compact-restore', from => '3.0', to => '3.0',
        tests => ['xsave.compact_restore', map { ("compacted.$_", "compacted.${_}_subsets") } qw(xsavec xsaves)],
        wrong => 'XRSTOR of a compacted image without SSE leaves MXCSR as it was, not 1F80H (SDM vol. 1, 13.8.2)',
        so => 'the tests of the micro-guest that show it are not compared' },
    { word => 'wp-dirty', from => '3.0', to => '3.0', cpu => 'tigerlake', groups => [qw(cr wp_clear)],
        wrong => 'a processor with CET panics when the supervisor writes to a read-only page while CR0.WP is 0',
        so => 'the micro-guest\'s groups cr and wp_clear are not run on model tigerlake' },
    { word => 'virtual-interrupts', from => '3.0.devel', to => '3.0.devel',
        wrong => 'a VM exit in the delivery of a virtual interrupt has the event before it in its IDT-vectoring information',
        so => 'KVM below a guest does without APICv (enable_apicv=0)' },
    { word => 'no-generic', from => '3.0', to => '3.0.devel', wrong => 'model bx_generic, whose features could be chosen, is gone',
        so => 'a processor without performance counters, and one with VT-x that is not GenuineIntel, are not tried' },
);

# Its own word for it, such as 2.7 or 3.0.devel; '' where Bochs is not installed.
sub bochs_version {
    my ($version) = qx(bochs-bin --help cpu 2>&1) =~ /Bochs x86 Emulator (\S+)/;
    return $version // '';
}

sub version_order {
    my ($a_major, $a_minor, $a_rest, $b_major, $b_minor, $b_rest) = map { /^(\d+)\.(\d+)(.*)/ ? ($1, $2, $3) : (0, 0, '') } @_;
    return $a_major <=> $b_major || $a_minor <=> $b_minor || $a_rest cmp $b_rest;
}

# The rows that hold for a version: that of this machine's Bochs unless another is named.
sub bochs_faults {
    my ($version) = (@_, bochs_version());
    return grep { version_order($version, $_->{from}) >= 0 && version_order($version, $_->{to}) <= 0 } @TABLE;
}

# The row of that word, or nothing: the fault is not there.
sub bochs_fault {
    my ($word) = @_;
    grep { $_->{word} eq $word } @TABLE or die "no fault is called $word\n";
    my ($row) = grep { $_->{word} eq $word } bochs_faults();
    return $row;
}

# One sentence for people.
sub sentence { my ($row) = @_; return 'Bochs ' . bochs_version() . ": $row->{wrong}, so $row->{so}" }

1;
