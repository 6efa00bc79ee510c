# Boots a machine once, by iso/make-image and iso/run/emulate, and gives back what it said. Everything of a boot stays in
# build/run/TEST/NAME for whoever looks for the reason of a failure. What the answers mean is for the tests to say.
package Machine;
use strict;
use warnings;
use Cwd 'abs_path';
use Exporter 'import';
use File::Basename;
use lib dirname(__FILE__) . '/../../../iso/run';
use Faults 'bochs_fault';
use File::Path 'make_path';
use Test::More;
our @EXPORT = qw(boot say_step says monitor_lines json_line fault_skip fault_words);

our $TOP = abs_path(dirname(__FILE__) . '/../../..');
our $BUILD = "$TOP/build";
my $TEST = basename($0, '.t');
my $began = time;
$ENV{LC_ALL} = 'C'; # for what tools say

# What a person sees of a running test: prove leaves the error output alone.
sub say_step { printf STDERR "  %-22s %4d s  %s\n", $TEST, time - $began, join '', @_ }

# What this machine's Bochs gets wrong, and a test therefore does not show: a skipped test that says so.
sub fault_skip {
    my ($row) = @_;
  SKIP: { skip Faults::sentence($row), 1 }
    return 1;
}

# Words for the monitor where Bochs has the fault of that word, else none.
sub fault_words {
    my ($word, $words) = @_;
    my $row = bochs_fault($word) or return '';
    fault_skip($row);
    return " $words";
}

sub file_read {
    my ($name) = @_;
    open my $in, '<:raw', $name or return '';
    local $/;
    return scalar <$in> // '';
}

sub file_write {
    my ($name, $text) = @_;
    open my $out, '>', $name or die "$name: $!\n";
    print $out $text;
    close $out or die "$name: $!\n";
}

sub run_quietly {
    my ($log, @command) = @_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        exec @command or exit 127;
    }
    waitpid $pid, 0;
    return $? >> 8;
}

# The text that came over COM1, as one reads it: no carriage returns, no colours and cursor movements, and without the word on
# the monitor's lines, which differs from boot to boot.
sub plain {
    my ($bytes) = @_;
    $bytes =~ s/\e\[[\d;=?!]*[A-Za-z]|\x18\e\\|\e<|\e\(B|\x0f//g;
    $bytes =~ s/\r//g;
    $bytes =~ s/^\[penumbra\K [0-9a-f]{12}(?=\])|^\{"penumbra":"\w+",\K"word":"[0-9a-f]{12}",//mg;
    return $bytes;
}

sub image_make {
    my ($folder, $boot) = @_;
    file_write("$folder/entries", "menuentry \"test\" {\n$boot->{grub}\n}\n");
    my @files = map { ('--file', "$_=$boot->{files}{$_}") } sort keys %{ $boot->{files} // {} };
    run_quietly("$folder/image.log", "$TOP/iso/make-image", '--output', "$folder/test.iso", '--monitor',
        "$BUILD/penumbra.elf", '--entries', "$folder/entries", '--timeout', 0, @files,
        $boot->{firmware} ? () : '--bios-only') == 0
        or BAIL_OUT("no image: see $folder/image.log");
}

# Where everything of a boot is.
sub boot_folder {
    my ($name) = @_;
    make_path(my $folder = "$BUILD/run/$TEST/$name");
    return $folder;
}

# boot(name => N, grub => LINES, ...): one boot of an image whose only menu entry has these lines.
#   iso => FILE                                             this image instead, with its own menu
#   files => {NAME => PATH} further files of the image      script => [LINES] for emulate
#   cpu, emu, mem, ips, timeout, firmware, lines, words     as emulate's options; lines are Bochs's, words QEMU's
#   no_serial => 1                                          QEMU's machine has no serial port
#   screen => 1                                             also dump the screen at the end
# Returns {text} of COM1, {end} as emulate says it, {status}, {seconds}, {screen}, {folder}.
sub boot {
    my %boot = @_;
    my $folder = boot_folder($boot{name});
    image_make($folder, \%boot) unless $boot{iso};
    file_write("$folder/script", join '', map { "$_\n" } @{ $boot{script} // [] });
    my @options = map { defined $boot{$_} ? ("--$_", $boot{$_}) : () } qw(cpu emu mem ips timeout firmware);
    push @options, '--no-serial' if $boot{no_serial};
    push @options, '--screen-dump', "$folder/screen" if $boot{screen};
    push @options, map { ('--bochs-line', $_) } @{ $boot{lines} // [] };
    push @options, map { ('--qemu-arg', $_) } @{ $boot{words} // [] };
    my $status = run_quietly("$folder/emulate.log", "$TOP/iso/run/emulate", '--iso', $boot{iso} // "$folder/test.iso", '--input',
        "$folder/script", '--serial-out', "$folder/serial", '--dir', $folder, @options);
    my ($end, $seconds) = file_read("$folder/emulate.log") =~ /^emulate: end=(\S+).*seconds=(\S+)/m;
    unlink "$folder/test.iso" if $status == 0 && !$boot{iso};
    say_step("$boot{name}: ", $end // 'no result', ' after ', $seconds // '?', ' s');
    return {
        text => plain(file_read("$folder/serial")), end => $end // 'none', status => $status,
        seconds => $seconds // 0, screen => file_read("$folder/screen"), folder => $folder };
}

# The lines of the monitor's own log in a text.
sub monitor_lines { return join '', map { "$_\n" } grep { /^\[penumbra\]/ } split /\n/, $_[0] }

# Like `like`, but a failure shows the end of what the run said, not all of it.
sub says {
    my ($run, $expected, $name) = @_;
    return 1 if ok($run->{text} =~ $expected, $name);
    my @lines = split /\n/, $run->{text};
    diag("not found: $expected", "\n", map { "  $_\n" } @lines > 25 ? @lines[-25 .. -1] : @lines);
    return 0;
}

# The summary's line for programs; a test without it fails in decode_json.
sub json_line { return $_[0] =~ /^(\{"penumbra":"summary".*\})$/m ? $1 : '' }

1;
