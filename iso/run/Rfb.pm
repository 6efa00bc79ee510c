# A picture of the screen that an emulator shows by the protocol of VNC (RFC 6143, version 3.3), as PPM. Just what Bochs needs:
# no authentication, 8 bits a pixel, raw rectangles.
package Rfb;
use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
our @EXPORT_OK = qw(rfb_picture);

use constant { RAW => 0, DESKTOP_SIZE => -223 };

sub take {
    my ($socket, $size) = @_;
    my $bytes = '';
    while (length $bytes < $size) {
        vec(my $ready = '', fileno $socket, 1) = 1;
        select($ready, undef, undef, 20) > 0 && sysread $socket, $bytes, $size - length $bytes, length $bytes
            or return;
    }
    return $bytes;
}

# {socket, width, lines => [one string of bytes for each]}, and `whole` once all of it has come: what changes after that, such as
# Bochs' own status line, comes for ever.
sub screen_open {
    my ($port) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die "emulate: the screen at port $port: $!\n";
    take($socket, 12);
    syswrite $socket, "RFB 003.003\n";
    (take($socket, 4) // '') eq pack 'N', 1 or die "emulate: the screen at port $port wants a password\n";
    syswrite $socket, "\1";
    my ($width, $height, $name) = unpack 'nnx16N', take($socket, 24);
    take($socket, $name);
    syswrite $socket, pack('CxnN', 2, 1, RAW) . pack 'CCnnnn', 3, 0, 0, 0, $width, $height;
    return { socket => $socket, width => $width, lines => [("\0" x $width) x $height] };
}

sub rectangle_take {
    my ($screen) = @_;
    my ($x, $y, $width, $height, $encoding) = unpack 'nnnnl>', take($screen->{socket}, 12) // return;
    if ($encoding == DESKTOP_SIZE) { @$screen{qw(width lines)} = ($width, [("\0" x $width) x $height]) }
    return unless $encoding == RAW;
    $screen->{whole} ||= $width == $screen->{width} && $height == @{ $screen->{lines} };
    my $pixels = take($screen->{socket}, $width * $height) // return;
    for my $line (grep { $y + $_ < @{ $screen->{lines} } } 0 .. $height - 1) {
        substr $screen->{lines}[$y + $line], $x, $width, substr $pixels, $line * $width, $width;
    }
}

# What the other messages have behind their first byte: colours, a bell, text.
sub message_take {
    my ($screen, $type) = @_;
    my $socket = $screen->{socket};
    if ($type == 0) { rectangle_take($screen) for 1 .. unpack 'xn', take($socket, 3) // return }
    elsif ($type == 1) { take($socket, 6 * unpack 'x3n', take($socket, 5) // return) }
    elsif ($type == 3) { take($socket, unpack 'x3N', take($socket, 7) // return) }
}

# BGR233: blue in the highest two bits.
my %COLOUR = map { chr $_ => join '', map { chr int } ($_ & 7) * 255 / 7, ($_ >> 3 & 7) * 255 / 7, ($_ >> 6) * 85 } 0 .. 255;

# All of it, or undef from one that is silent for 20 s, as an emulator on a busy machine may be.
sub screen_take {
    my ($port) = @_;
    my $screen = screen_open($port);
    while (!$screen->{whole}) { message_take($screen, ord(take($screen->{socket}, 1) // return)) }
    return $screen;
}

sub rfb_picture {
    my ($port, $file) = @_;
    my $screen;
    for (my $tries = 0; $tries < 6 && !$screen; $tries++) { $screen = screen_take($port) }
    $screen or die "emulate: the screen at port $port is silent
";
    open my $out, '>:raw', $file or die "emulate: $file: $!\n";
    printf $out "P6\n%d %d\n255\n", $screen->{width}, scalar @{ $screen->{lines} };
    print $out map { s/(.)/$COLOUR{$1}/gsr } @{ $screen->{lines} };
    close $out or die "emulate: $file: $!\n";
}

1;
