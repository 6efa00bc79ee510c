# Makes small kernel files for tests of the loaders: bzImages and Multiboot 1 kernels that are right but for what a test
# changes. They are refused before they would run, or they are a few bytes of code.
package Kernels;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(bzimage_write multiboot_write);

sub write_file {
    my ($name, $bytes) = @_;
    open my $out, '>:raw', $name or die "$name: $!\n";
    print $out $bytes;
    close $out or die "$name: $!\n";
    return $name;
}

# bzimage_write(FILE, field => value...): Documentation/x86/boot.rst has the offsets.
sub bzimage_write {
    my ($name, %changed) = @_;
    my %f = (magic => 'HdrS', version => 0x20f, init_size => 4 << 20, initrd_addr_max => 0x7fffffff,
        cmdline_size => 2047, xloadflags => 1, pref_address => 16 << 20, payload => 8192, lost => 0, %changed);
    my $image = "\0" x 1024;
    my $put = sub { substr $image, $_[0], length $_[1], $_[1] };
    $put->(0x1f1, pack 'C', 1);
    $put->(0x1f4, pack 'V', $f{payload} / 16);
    $put->(0x1fe, pack 'v', 0xaa55);
    $put->(0x200, pack 'CC', 0xeb, 0x66);
    $put->(0x202, $f{magic});
    $put->(0x206, pack 'v', $f{version});
    $put->(0x211, pack 'C', 1);
    $put->(0x22c, pack 'V', $f{initrd_addr_max});
    $put->(0x236, pack 'v', $f{xloadflags});
    $put->(0x238, pack 'V', $f{cmdline_size});
    $put->(0x258, pack 'Q<', $f{pref_address});
    $put->(0x260, pack 'V', $f{init_size});
    return write_file($name, substr $image . "\xf4" x $f{payload}, 0, 1024 + $f{payload} - $f{lost});
}

# multiboot_write(FILE, field => value...): an ELF32 whose segments are [paddr, bytes in memory] with `code` in the first.
sub multiboot_write {
    my ($name, %changed) = @_;
    my %f = (elf => "\x7fELF\1\1\1", flags => 3, header => 1, phentsize => 32, segments => [[1 << 20, 4096]],
        entry => undef, code => "\xf4", phoff => 52, file_offset => undef, %changed);
    my $headers = 52 + 32 * @{ $f{segments} };
    my $multiboot = $f{header} ? pack 'V3', 0x1badb002, $f{flags}, -(0x1badb002 + $f{flags}) & 0xffffffff : '';
    my $body = $multiboot . $f{code};
    my $first = $f{segments}[0][0];
    my $entry = $f{entry} // $first + length $multiboot;
    my $table = '';
    for my $i (0 .. $#{ $f{segments} }) {
        my ($paddr, $bytes) = @{ $f{segments}[$i] };
        my $inside = $i ? 0 : length $body;
        $table .= pack 'V8', 1, $f{file_offset} // $headers, $paddr, $paddr, $inside, $bytes, 7, 4096;
    }
    my $elf = pack 'a16vvVVVVVvvvvvv', $f{elf}, 2, 3, 1, $entry, $f{phoff}, 0, 0, 52, $f{phentsize},
        scalar @{ $f{segments} }, 40, 0, 0;
    return write_file($name, $elf . $table . $body . "\0" x 64);
}

1;
