# Reads what a phone has made of the QR codes on the screen of a machine without a serial line: texts in any order, in one file
# or several, pasted or mailed. Gives back the lines that the machine had packed into them. Their format is that of
# hv/report/codes.h. What the lines mean is for Log.pm.
package Report::Codes;
use strict;
use warnings;
use Compress::Raw::Zlib 'crc32';
use Exporter 'import';
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use Report::Statistics 'listed';
our @EXPORT_OK = qw(codes_unpack);

my $HEAD = qr/PENUMBRA\s+([0-9A-F]{8})\s+(\d{1,3})\/(\d{1,3})\s+(\d{1,4})\s+/;
my $DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$%+-/';
my %VALUE = map { substr($DIGITS, $_, 1) => $_ } 0 .. length($DIGITS) - 1;

# Three digits to the base of 41, the lowest first, are two bytes; two at the end are one. undef: they are not.
sub bytes_of {
    my ($digits) = @_;
    my $bytes = '';
    for my $group ($digits =~ /.{1,3}/g) {
        my ($value, $size) = (0, length($group) - 1);
        $value = $value * 41 + $VALUE{$_} for reverse split //, $group;
        return if !$size || $value >= 256**$size;
        $bytes .= pack $size == 2 ? 'n' : 'C', $value;
    }
    return $bytes;
}

# The bytes of a code whose text goes on like this; undef: it is damaged. Blanks, and a mail's marks of quotation, mean nothing.
sub code_bytes {
    my ($text, $length) = @_;
    my ($digits) = $text =~ /\A((?:[\s>]*[\Q$DIGITS\E]){$length})/ or return;
    my $bytes = bytes_of($digits =~ s/[\s>]//gr) // return;
    return unless length $bytes > 4;
    my ($crc, $data) = unpack 'Na*', $bytes;
    return crc32($data) == $crc ? $data : undef;
}

# All codes of the texts: {what belongs together => {count, of => {number => bytes}, damaged => {number => 1}}}.
sub codes_find {
    my %groups;
    for my $text (@_) {
        while ($text =~ /$HEAD/g) {
            my ($id, $number, $count, $length, $rest) = ($1, $2, $3, $4, substr $text, pos $text);
            my $group = $groups{"$id of $count"} //= { id => $id, count => $count };
            my $bytes = code_bytes($rest, $length);
            if (defined $bytes) { $group->{of}{ $number + 0 } = $bytes }
            else { $group->{damaged}{ $number + 0 } = 1 }
        }
    }
    return %groups;
}

# What a group lacks, as a sentence; '' if all is there.
sub lacks {
    my ($group) = @_;
    my @lost = grep { !defined $group->{of}{$_} } 1 .. $group->{count} or return '';
    my ($damaged, $missing) = map { my $want = $_; [grep { !!$group->{damaged}{$_} == $want } @lost] } 1, 0;
    my @words;
    for (['missing', $missing], ['damaged', $damaged]) {
        my ($word, $which) = @$_;
        push @words, (@$which == 1 ? "code $which->[0]" : 'codes ' . listed(@$which)) . " of $group->{count} "
            . (@$which == 1 ? 'is' : 'are') . " $word" if @$which;
    }
    return join ', ', @words;
}

sub group_unpack {
    my ($group) = @_;
    my $lacks = lacks($group);
    die "report: of the QR codes $group->{id} $lacks: read them again, and give them along with the others\n" if $lacks;
    my $packed = join '', map { $group->{of}{$_} } 1 .. $group->{count};
    crc32($packed) == hex $group->{id} or die "report: the QR codes $group->{id} do not fit together\n";
    gunzip(\$packed => \my $text) or die "report: the QR codes $group->{id} cannot be unpacked: $GunzipError\n";
    return $text;
}

# Logs as they are, and instead of texts of codes what is in them. A log with a line of monitor or bench is a log: a guest can
# print what looks like a code, and no camera has seen that.
sub codes_unpack {
    my (@texts) = @_;
    my @logs = grep { !/$HEAD/ || /^\{"(?:penumbra|bench)":/m } @texts;
    my %is_log = map { $_ => 1 } @logs;
    my %groups = codes_find(grep { !$is_log{$_} } @texts);
    return (@logs, map { group_unpack($groups{$_}) } sort keys %groups);
}

1;
