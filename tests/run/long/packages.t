#!/usr/bin/perl
# PACKAGES= with real packages: a system that make-system installs in a chroot, from the mirror that apt is set up for here, and
# Debian's kernel in it, in QEMU without the monitor. What is in that system by itself, beside what guest-system.t tries. Needs root
# and some minutes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use Built;
use File::Path qw(make_path remove_tree);
use JSON::PP 'decode_json';
use Linux 'ARGUMENTS';
use Machine;
use Test::More;

plan(skip_all => 'packages are installed in a chroot, which needs root') if $> != 0;
my $FOLDER = "$Machine::BUILD/run/packages";
my $BUILT = "$FOLDER/build";
my $SYSTEM = "$BUILT/guest/system.cpio";
my $MAKE_SYSTEM = "$Machine::TOP/guest-images/make-system";
make_path($FOLDER);

sub command {
    my (@words) = @_;
    my $status = Machine::run_quietly("$FOLDER/said", @words);
    return (Machine::file_read("$FOLDER/said"), $status);
}

remove_tree($BUILT);
ok(built_copy($BUILT), 'what is built already');
my ($text, $status) = command($MAKE_SYSTEM, $SYSTEM, 'no-such-package-here');
isnt($status, 0, 'a package that is none');
like($text, qr/^make-system: mmdebstrap failed: is one of no-such-package-here no package of Debian \w+\?$/m, 'in one sentence');
is(join(' ', glob "$BUILT/guest/system*"), '', 'and leaves nothing');

(my $image, $status, $text) = compare_make($BUILT, 'PACKAGES=zstd sqlite3 python3-minimal redis-server');
is($status, 0, 'a system of four') or diag($text);
like($text, qr/^make-system: a minimal Debian \(\w+\) with zstd sqlite3 .*: some minutes\nmake-system: \d+ MiB$/m, 'it says what, and how large');
is(qx(cpio --quiet -t <"$SYSTEM" | grep -cE "^debian/usr/share/(doc|man|locale)/."), "0\n", 'without documentation');

sub guest_boot {
    my ($name, $words, @script) = @_;
    return boot(name => $name, emu => 'qemu', mem => 2048, timeout => 900, script => \@script,
        files => { vmlinuz => "$BUILT/guest/vmlinuz", compare => $image },
        grub => "linux /vmlinuz nokaslr ${\ARGUMENTS} $words\ninitrd /compare");
}

my $run = guest_boot('shell', '',
    'expect debian:~# ', 'send id user; su user -c whoami', 'expect debian:~# ', 'send touch /tmp/x && echo writ""ten', 'expect debian:~# ',
    'send poweroff', 'quit');
says($run, qr/^uid=1000\(user\).*\nuser$/m, 'a user, who can run programs');
says($run, qr/^written$/m, 'what is written');

# Those of rows/ whose commands are in these packages: all.
$run = guest_boot('bench', 'penumbra.script=bench penumbra.bench=-r,1,whole', 'expect ended with status', 'quit');
my %of = map { my $line = eval { decode_json($_) } // {}; ($line->{bench} // '' => $line) } split /\n/, $run->{text};
for (map { s{.*/}{}r } glob "$Machine::TOP/guest-images/rows/*") {
    ok($of{$_} && $of{$_}{cycles}, "bench has $_, and its result is right") or diag($of{$_} ? $of{$_}{error} : $run->{text});
}
done_testing;
