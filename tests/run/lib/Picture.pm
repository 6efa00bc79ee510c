# Reads the text on a picture of a screen (PPM), by comparing every cell with the glyphs of a console font (PSF). It finds
# only text of that font at that cell width, grey, cyan or white on black or red: a cell that is no glyph reads as U+FFFD.
package Picture;
use strict;
use warnings;

# The lit pixels of each glyph as a string of 0 and 1, to its character. PSF1: magic 36 04, mode, height; 8 wide.
sub glyphs_read {
    my ($psf, $cell_width) = @_;
    open my $in, '-|:raw', 'zcat', $psf or die "zcat $psf: $!\n";
    local $/;
    my ($magic, $mode, $height) = unpack 'vCC', my $bytes = <$in>;
    $magic == 0x0436 or die "$psf is no PSF1 font\n";
    my %glyphs;
    for my $code (0x20 .. 0x7e) {
        my @rows = unpack 'C*', substr $bytes, 4 + $code * $height, $height;
        $glyphs{ join '', map { sprintf('%08b', $_) . '0' x ($cell_width - 8) } @rows } = chr $code;
    }
    return ($height, \%glyphs);
}

sub pixels_read {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!\n";
    local $/;
    my ($width, $height, $data) = <$in> =~ /\AP6\s+(\d+)\s+(\d+)\s+255\s(.*)\z/s or die "$file is no PPM\n";
    (my $lit = $data) =~ s/.(.)./ord $1 > 64 ? 1 : 0/gse; # green
    return ($width, $height, $lit);
}

# The screen's lines, without spaces at their ends.
sub text {
    my ($file, $psf, $cell_width) = @_;
    my ($cell_height, $glyphs) = glyphs_read($psf, $cell_width);
    my ($width, $height, $lit) = pixels_read($file);
    my $text = '';
    for my $row (0 .. int($height / $cell_height) - 1) {
        my $line = '';
        for my $column (0 .. int($width / $cell_width) - 1) {
            my $cell = join '', map { substr $lit, ($row * $cell_height + $_) * $width + $column * $cell_width, $cell_width }
                0 .. $cell_height - 1;
            $line .= $glyphs->{$cell} // "\x{fffd}";
        }
        $line =~ s/ +$//;
        $text .= "$line\n";
    }
    return $text;
}

1;
