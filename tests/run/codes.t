#!/usr/bin/perl
# Results without a serial line: QR codes on the screen, read off pictures of it by zbarimg. In Bochs the monitor's, after a guest
# of a few bytes, on a text screen and on a framebuffer; in QEMU without KVM those of the native baseline, whose machine has no
# serial port at all. With names as arguments only these.
use strict;
use warnings;
use File::Path 'make_path';
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../../iso/report";
use JSON::PP 'decode_json';
use Kernels;
use Machine;
use Report::Codes 'codes_unpack';
use Test::More;

my $ENDS = "\xb0\x07\xe6\xf4"; # mov al, 7; out 0xf4, al

sub folder_make {
    my ($name) = @_;
    my $folder = "$Machine::BUILD/run/codes/$name";
    make_path($folder);
    unlink "$folder/texts";
    return $folder;
}

# Steps that look at the screen until all codes have been there.
sub look {
    my ($folder) = @_;
    return ('watch ' . join(' ', map { "'" . s/'/'\\''/gr . "'" } "$FindBin::RealBin/read-codes", "$folder/texts"), 'quit');
}

# The lines that the codes held, and what else was said of them.
sub lines_read {
    my ($folder, $name) = @_;
    my @lines = map { split /\n/ } grep { /^\{"/ } eval { codes_unpack(Machine::file_read("$folder/texts")) };
    ok(scalar @lines, "$name: all codes are read") or diag($@, Machine::file_read("$folder/texts"));
    return @lines;
}

sub monitored {
    my ($name, $grub, $words) = @_;
    my $folder = folder_make($name);
    multiboot_write("$folder/kernel", code => $ENDS, segments => [[1 << 20, 4096]]);
    my $run = boot(name => $name, mem => 64, timeout => 300, files => { kernel => "$folder/kernel" }, screen => 1,
        grub => join("\n", $grub, "multiboot2 /penumbra.elf mem=16M on-exit=halt $words", 'module2 /kernel multiboot'),
        script => ['expect Booting', look($folder)]);
    my @lines = lines_read($folder, $name);
    my ($machine, $summary) = map { eval { decode_json($_) } // {} } @lines;
    is_deeply([@$machine{qw(penumbra signature)}, $machine->{msrs}{'480'}], ['machine', '0x50654', 'd810000000002b'],
        "$name: they hold what the machine is");
    is_deeply([@$summary{qw(penumbra status end)}], ['summary', 7, 'guest ended with status 7'],
        "$name: they hold the run's summary");
    return ($run, @lines);
}

# With a serial line, too, the codes are those of what it says.
sub text_screen {
    my ($run, @lines) = monitored('text', '', 'qr=on');
    says($run, qr/^\[penumbra\] the screen shows the results in \d+ pages and \d+ QR codes; a key on the serial line ends that$/m,
        'text: it is said');
    my @told = Machine::file_read("$run->{folder}/serial") =~ /^(\{"penumbra":.*\})\r?$/mg;
    is_deeply(\@lines, \@told, 'text: the codes hold the lines of the serial line');
}

# Without one they come by themselves.
sub framebuffer {
    my ($run) = monitored('framebuffer', "insmod all_video\nset gfxpayload=1024x768x32", 'console=none');
    unlike($run->{text}, qr/summary/, 'framebuffer: the serial line has nothing');
}

# The bare machine: bench's lines, on a machine that has no serial port.
sub native {
    my ($firmware) = @_;
    my $folder = folder_make($firmware);
    boot(name => $firmware, emu => 'qemu', firmware => $firmware, mem => 512, timeout => 300, no_serial => 1,
        files => { vmlinuz => "$Machine::BUILD/guest/vmlinuz", compare => "$Machine::BUILD/guest/compare.lz4" },
        grub => "linux /vmlinuz console=tty0 console=ttyS0 quiet loglevel=1 panic=1 penumbra.script=bench "
            . "penumbra.bench=-r,2,alu,syscall,mprotect i8042.noaux cryptomgr.notests\ninitrd /compare",
        script => [look($folder)]);
    my @lines = map { decode_json($_) } lines_read($folder, $firmware);
    is(join(' ', map { $_->{bench} } @lines), 'begin alu syscall mprotect end', "$firmware: they hold the lines of bench");
}

my %ONLY = map { $_ => 1 } @ARGV;
my @ALL = ([text => \&text_screen], [framebuffer => \&framebuffer], [bios => \&native], [uefi => \&native]);
for (@ALL) { $_->[1]->($_->[0]) if !%ONLY || $ONLY{ $_->[0] } }
done_testing;
