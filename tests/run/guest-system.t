#!/usr/bin/perl
# What MODULES=, PACKAGES= and PROG= put into the guest, from make's rules to the guest's shell and bench: Debian's kernel in QEMU,
# without the monitor. The system of packages is made of this machine's programs: long/packages.t makes a real one. It builds in a
# folder of its own, so that what was built for others stays.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Built;
use File::Path 'make_path';
use File::Temp 'tempdir';
use JSON::PP 'decode_json';
use Linux qw(command_steps ARGUMENTS);
use Machine;
use Test::More;

my $folder = tempdir('guest-system.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $BUILT = "$folder/build";
my $TAKE = "$Machine::TOP/guest-images/take-modules";

sub command {
    my (@words) = @_;
    my $status = Machine::run_quietly("$folder/said", @words);
    return (Machine::file_read("$folder/said"), $status);
}

sub executable {
    my ($file, $text) = @_;
    Machine::file_write($file, $text);
    chmod 0755, $file;
}

# A package with kernel modules: what each says of itself.
my %MODULES = (
    'fs/first.ko' => [depends => 'second-one,third', softdep => 'pre: crypto-sum missing', alias => 'fs-first'],
    'lib/second_one.ko' => [depends => 'third'], 'lib/third.ko' => [depends => ''],
    'crypto/sum-generic.ko' => [depends => '', alias => 'sum', alias => 'crypto-sum'],
    'fs/other.ko' => [depends => '', alias => 'crypto-sum'], 'fs/lost.ko' => [depends => 'nowhere'],
);

sub package_make {
    my $root = "$folder/package/lib/modules/1";
    make_path(map { "$root/kernel/$_" } qw(fs lib crypto));
    for my $file (keys %MODULES) {
        my @told = @{ $MODULES{$file} };
        my $text = "ELF\0";
        while (my ($name, $value) = splice @told, 0, 2) { $text .= "$name=$value\0" }
        Machine::file_write("$root/kernel/$file", $text);
    }
    Machine::file_write("$root/modules.builtin", "kernel/fs/inside-it.ko\n");
}

sub modules_are {
    my ($wanted, $order, $status) = @_;
    my ($text, $is) = command($TAKE, '--output', "$folder/taken", "$folder/package", @$wanted);
    is($is ? $text : Machine::file_read("$folder/taken/order") =~ s/\n/ /gr, $order, "take-modules @$wanted");
    is(join(' ', sort map { s{.*/}{}r } glob "$folder/taken/*.ko"), join(' ', map { "$_.ko" } sort split ' ', $order),
        'and these are there') unless $is;
}

subtest 'modules with what they need' => sub {
    package_make();
    modules_are(['third'], 'third ');
    modules_are(['first'], 'third second_one sum_generic first ');
    modules_are([qw(second-one third inside_it)], 'third second_one ');
    modules_are(['inside-it'], '');
    modules_are(['none'], "take-modules: this kernel has no module none\n");
    modules_are([qw(third lost)], "take-modules: this kernel has no module nowhere\n");
};

# As make-system leaves it, of this machine's programs with their libraries.
my @PROGRAMS = map { "/usr/bin/$_" } qw(bash env id date stty cat grep sleep rm);

sub system_make {
    my $root = "$folder/debian";
    make_path(map { "$root/$_" } qw(etc root usr/bin usr/lib64 usr/local/bin usr/local/sbin));
    my %libraries = map { $_ => 1 } map { m{(/\S*/[^\s/]+\.so[.\d]*)} ? $1 : () } map { qx(ldd $_) } @PROGRAMS;
    make_path(map { "$root/usr" . s{^/usr}{}r =~ s{/[^/]+$}{}r } keys %libraries);
    system('cp', '-L', $_, "$root/usr" . s{^/usr}{}r) == 0 or die "cp $_\n" for @PROGRAMS, keys %libraries;
    symlink 'bash', "$root/usr/bin/sh";
    executable("$root/usr/bin/sqlite3", "#!/bin/bash\necho 4998\n"); # for rows/sqlite3
    symlink "usr/$_", "$root/$_" for qw(bin lib lib64);
    Machine::file_write("$root/etc/passwd", "root:x:0:0::/root:/bin/bash\nuser:x:1000:1000::/:/bin/bash\n");
    Machine::file_write("$root/root/.profile", "PS1='debian:\\w# '\n");
    return command('sh', '-c', 'cd "$1" && find debian | cpio --quiet -o -H newc >"$2"', 'sh', $folder, "$BUILT/guest/system.cpio");
}

my $image;

subtest 'the initramfs is made' => sub {
    ok(built_copy($BUILT), 'what is built already');
    my ($text, $status) = system_make();
    is($status, 0, 'a system of this machine\'s programs') or diag($text);
    make_path("$folder/prog");
    executable("$folder/prog/inside", "#!/bin/bash\n[ -d /root ] && [ ! -e /scripts ] && [ \"\$(pwd)\" = /prog ] && id user\n");
    executable("$folder/prog/fails", "#!/bin/bash\necho no luck\nexit 3\n");
    # MODULES of which one needs others, one is built in, and one does not load here.
    ($image, $status, $text) = compare_make($BUILT, '-o', "$BUILT/guest/system.cpio", 'PACKAGES=made here',
        'MODULES=br_netfilter brd ext4 kvm-intel', "PROG=$folder/prog");
    is($status, 0, 'make') or diag($text);
    unlike($text, qr/fetch-deb|make-system/, 'nothing is fetched');
};

sub guest_boot {
    my ($name, $words, @script) = @_;
    return boot(name => $name, emu => 'qemu', mem => 1024, timeout => 300, files => { vmlinuz => "$BUILT/guest/vmlinuz", compare => $image },
        grub => "linux /vmlinuz nokaslr ${\ARGUMENTS} $words\ninitrd /compare", script => \@script);
}

my @COMMANDS = (
    ['grep -cE "^(br_netfilter|bridge|stp|llc) " /proc/modules', qr/^4$/m, 'the module and those that it needs are loaded'],
    ['id user', qr/^uid=1000\(user\)/m, 'there is a user'],
    ['date +%Y', qr/^20[2-9]\d$/m, 'the clock is set'],
    ['stty size', qr/^33 111$/m, 'the size of the terminal'],
    ['bench alu', qr/^\{"bench":"alu",.*"cycles"/m, 'bench is there'],
    ['penctl', qr/Penumbra/, 'and penctl'],
    ['cat /proc/self/comm /sys/kernel/mm/transparent_hugepage/defrag', qr/^cat\n.*never/m, '/proc and /sys'],
    ['busybox ping -c 1 127.0.0.1', qr/^1 packets transmitted, 1 packets received/m, 'the loopback'],
    ['sleep 100 & sleep 0.1; kill %1; wait; echo jobs $((6*7))', qr/^jobs 42$/m, 'job control'],
);

subtest 'a shell in it' => sub {
    my @steps = map { ("send $_->[0]", 'expect debian:~# ') } @COMMANDS;
    my $run = guest_boot('shell', 'penumbra.size=33x111', 'expect debian:~# ', @steps, 'send poweroff', 'quit');
    says($run, qr/^Penumbra guest: the kernel does not load its module kvm_intel$/m, 'a module that the kernel refuses is said');
    says($run, $_->[1], $_->[2]) for @COMMANDS;
};

subtest 'its programs as workloads' => sub {
    my $run = guest_boot('bench', 'penumbra.script=bench penumbra.bench=-r,2,inside,fails,whole,writeback', 'expect ended with status', 'quit');
    my %of = map { my $line = eval { decode_json($_) } // {}; ($line->{bench} // '' => $line) } split /\n/, $run->{text};
    is(scalar @{ $of{inside}{cycles} // [] }, 2, 'a program that runs in that system, in /prog') or diag($run->{text});
    is(scalar @{ $of{sqlite3}{cycles} // [] }, 2, 'a workload of a package that is there');
    is($of{sqlite3}{group}, 'whole', 'its group');
    is(scalar @{ $of{writeback}{cycles} // [] }, 2, 'write-back to the disk that a module made') or diag(explain($of{writeback}));
    ok(!$of{zstd}, 'none of one that is not');
    like($of{fails}{error} // '', qr/status 3.*no luck/, 'the words of one that fails');
};
done_testing;
