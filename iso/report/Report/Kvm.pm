# The columns of KVM: guests that Debian's kernel and QEMU ran on the same machine (guest-images/kvm). Its own lines begin with
# {"kvm":, and each line of a guest comes behind a word of that machine, so that no guest can say them. Such lines count in no log
# in which a monitor or a native run has spoken before: there they may be a guest's. Reads them for Log.pm, and says what KVM it is.
package Report::Kvm;
use strict;
use warnings;
use Exporter 'import';
use List::Util 'uniq';
use Report::Block qw(plain code heading item paragraph);
use Report::Statistics 'listed';
our @EXPORT_OK = qw(kvm_line is_kvm kvm_part);

# How a guest ended, by the status of QEMU under `timeout -s KILL`.
my %ENDS = (0 => 'it powered off', 137 => 'it took longer than the limit');

my %TAKE = (
    begin => sub { return { begin => $_[0] } },
    refused => sub { return { refused => $_[0]{reason} // 'no reason given' } },
    end => sub { return { summary => { end => $ENDS{ $_[0]{status} // '' } // 'QEMU failed' } } },
);

# What a line says of its column, as parts of a section: () if it says nothing.
sub kvm_line {
    my ($line) = @_;
    my $take = $TAKE{ $line->{kvm} } // return;
    return unless ($line->{configuration} // '') =~ /^kvm,[\w.,=]{1,60}\z/a;
    return { configuration => $line->{configuration}, kvm => $line, %{ $take->($line) } };
}

sub is_kvm { my ($column) = @_; return grep { $_->{kvm} } @{ $column->{rounds} } }

sub told { my ($name, @columns) = @_; return uniq map { $_->{begin}{$name} // () } map { @{ $_->{rounds} } } @columns }

# What KVM it is, of which words, and what its counts are.
sub kvm_part {
    my ($report) = @_;
    my @columns = grep { is_kvm($_) } @{ $report->{shown} };
    return () unless @columns;
    return (
        heading(2, 'KVM beside it'),
        paragraph(
            listed(map { code($_->{name}) } @columns) . ': the same kernel, initrd and words as natively, as a guest of KVM',
            'in Linux ' . listed(map { code($_) } told('kernel', @columns)) . ' under ' .
                listed(map { plain($_) } told('qemu', @columns)) . '.',
            'Its memory is there before it starts, in pages of 2 MiB where the kernel finds them. It has none of KVM\'s',
            'paravirtual features. Its devices are those of QEMU, and it has PCID where KVM has it. Exits and faults are as',
            'KVM counts them: hidden faults are `pf_fixed`, true ones `pf_guest`.'),
        map { item(code($_->{name}) . ': ' . listed(map { code($_) } told('parameters', $_))) } @columns);
}

1;
