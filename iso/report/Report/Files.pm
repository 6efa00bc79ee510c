# Whole files, as bytes; what fails is a sentence.
package Report::Files;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(file_read file_write);

sub file_read {
    my ($name) = @_;
    open my $in, '<:raw', $name or die "report: $name: $!\n";
    local $/;
    return scalar <$in> // '';
}

sub file_write {
    my ($name, $text) = @_;
    open my $out, '>:raw', $name or die "report: $name: $!\n";
    print $out $text;
    close $out or die "report: $name: $!\n";
}

1;
