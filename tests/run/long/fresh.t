#!/usr/bin/perl
# A fresh machine: in a minimal chroot of each Debian release with git and make alone, a clone of this tree (what is not yet
# committed too) must build the ISO by `make`; before, `make` in a system that is not Debian must say so in one sentence, and
# build nothing. The mirror is the one that apt is set up for here. All mounts are in a mount namespace of their own, so that none
# is left however the test ends. Arguments: releases; without any, those of README.md.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use File::Path qw(make_path remove_tree);
use Machine;
use Test::More;

my @RELEASES = @ARGV ? @ARGV : qw(bookworm trixie);
my $PLACE = "$Machine::BUILD/fresh";

plan(skip_all => 'a chroot with its own mounts needs root') if $> != 0;
my ($mirror) = map { /^(\S+) Debian main$/ ? $1 : () }
    qx(apt-get indextargets --format '\$(REPO_URI) \$(LABEL) \$(COMPONENT)' 'Created-By: Packages');
plan(skip_all => 'apt is not set up for a mirror of Debian here') unless $mirror;

# Runs a shell script with these arguments where nobody else sees its mounts, and whose processes end with it.
sub apart {
    my ($log, $script, @arguments) = @_;
    return Machine::run_quietly($log, qw(unshare --mount --propagation private --pid --fork --kill-child --mount-proc bash -euc),
        $script, 'fresh', @arguments);
}

# What a person types, in the chroot.
my $ENTER = <<'END_ENTER';
root=$1
shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
[ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"
exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb sh -c "cd /root/penumbra && $1" </dev/null
END_ENTER

# How apt reaches the mirror is this machine's: its proxies, if any.
my @PROXIES = map { ('--aptopt', $_) } grep { /^Acquire::\w+::Proxy/i } split /\n/, qx(apt-config dump);

sub chroot_make {
    my ($release, $root) = @_;
    remove_tree($root);
    make_path($PLACE);
    my $status = apart("$PLACE/$release.chroot.log", 'exec mmdebstrap --mode=root --variant=minbase --include=git,make "$@"',
        @PROXIES, $release, $root, $mirror);
    is($status, 0, "$release: a minimal chroot") or return 0;
    $status = Machine::run_quietly("$PLACE/$release.clone.log", 'bash', '-euo', 'pipefail', '-c', <<'END_CLONE', 'clone', $Machine::TOP, "$root/root/penumbra");
git clone -q --no-hardlinks "$1" "$2"
cd "$1"
git ls-files -z --cached --others --exclude-standard | tar c --null --ignore-failed-read -T - | tar x --no-same-owner -C "$2"
END_CLONE
    is($status, 0, "$release: a clone of this tree") or return 0;
    return 1;
}

for my $release (@RELEASES) {
    my $root = "$PLACE/$release";
    chroot_make($release, $root) or next;

    my $os = Machine::file_read("$root/usr/lib/os-release");
    Machine::file_write("$root/usr/lib/os-release", "ID=other\nPRETTY_NAME=\"Another Linux 1\"\n");
    my $log = "$PLACE/$release.other.log";
    isnt(apart($log, $ENTER, $root, 'make'), 0, "$release: make elsewhere than on Debian is refused");
    like(Machine::file_read($log), qr/\Asetup: Penumbra sets itself up on Debian [^\n]* this is Another Linux 1\.\n[^\n]*not set up[^\n]*\n\z/,
        "$release: one sentence says why, before anything else");
    Machine::file_write("$root/usr/lib/os-release", $os);

    $log = "$PLACE/$release.make.log";
    is(apart($log, $ENTER, $root, 'make'), 0, "$release: make") or diag(map { "$_\n" } (split /\n/, Machine::file_read($log))[-15 .. -1]);
    say_step("$release: make has ended");
    my $iso = "$root/root/penumbra/build/penumbra.iso";
    cmp_ok(-s $iso // 0, '>', 10 << 20, "$release: there is an ISO");
    is(apart("$PLACE/$release.again.log", $ENTER, $root, 'make'), 0, "$release: make again");
    unlike(Machine::file_read("$PLACE/$release.again.log"), qr/^setup:|^  (?:CC|LD)\b/m, "$release: it installs and builds nothing");
    remove_tree($root);
}
done_testing;
