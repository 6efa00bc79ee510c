#!/usr/bin/perl
# The ISO that people get, in QEMU without KVM: under BIOS and under UEFI its first menu entry boots to the refusal, which
# is then read off the picture of the screen. The machine has a USB controller, which both leave running.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Machine;
use Picture;
use Test::More;

my $SENTENCE = 'Penumbra cannot run here. This is QEMU without KVM, which has no VT-x: use QEMU with -enable-kvm -cpu host '
    . 'on an Intel host with nested VMX, or Bochs.';
# BIOS: the adapter's own font, in cells 9 pixels wide; it draws some letters otherwise than the font that we have of it,
# so that those cannot be told. UEFI: the monitor's font, every letter.
my @CASES = (
    ['bios', 256, '/usr/share/consolefonts/Lat15-VGA16.psf.gz', 9, 0.2],
    ['uefi', 512, '/usr/share/consolefonts/Lat15-Terminus16.psf.gz', 8, 0],
);

# The sentence as a pattern for the text on a picture: blanks anywhere, any unknown cell for a letter.
sub pattern {
    my $letters = join '\s*', map { '(?:' . quotemeta($_) . "|\x{fffd})" } split //, $_[0] =~ s/\s+//gr;
    return qr/($letters)/;
}

for (@CASES) {
    my ($firmware, $mem, $font, $width, $unknown) = @$_;
    my $run = boot(name => $firmware, iso => "$Machine::BUILD/penumbra.iso", emu => 'qemu', firmware => $firmware,
        mem => $mem, words => [qw(-device usb-ehci -device usb-kbd)], timeout => 90, screen => 1,
        script => ['expect or Bochs.', 'wait 0.5', 'quit']);
    says($run, qr/^\[penumbra\] error: \Q$SENTENCE\E\n*\z/m, "$firmware: the sentence, and nothing after it");
    says($run, qr/^\[penumbra\] PCI: \d+ functions; [1-9]\d* that wrote to memory by themselves have been stopped$/m,
        "$firmware: devices are stopped");
    my $text = Picture::text("$run->{folder}/screen.ppm", $font, $width);
    my ($found) = $text =~ pattern($SENTENCE);
    ok(defined $found, "$firmware: on the screen") or diag($text =~ s/\x{fffd}/?/gr);
    cmp_ok(($found // "\x{fffd}") =~ tr/\x{fffd}//, '<=', $unknown * length $SENTENCE, "$firmware: the letters are those of the font");
}
done_testing;
