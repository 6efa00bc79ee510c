#!/usr/bin/perl
# How the guest's files come out of Debian's packages, wherever a release puts them: fetch-deb, take-file and
# take-kernel with real apt and dpkg, on a repository made here of small packages. Needs no emulator and no network.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Basename;
use File::Path qw(make_path remove_tree);
use File::Temp 'tempdir';
use Machine;
use Test::More;

my $TOOLS = "$Machine::TOP/guest-images";
my $folder = tempdir('guest-packages.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $index = '';

# Its output, both streams, and its status.
sub command {
    my ($line) = @_;
    my $text = qx($line 2>&1);
    return ($text, $? >> 8);
}

# The fields that take-kernel looks at, and nothing else of a kernel.
sub bzimage { return pack 'x514 a4 v x9 C x36 v x100', 'HdrS', 0x20f, 1, 1 }

# A package with these files: [mode, content] by path; and its paragraph of the index.
sub package_add {
    my ($name, $depends, %files) = @_;
    my $root = "$folder/tree";
    my $control = "Package: $name\nVersion: 1:2.0\nArchitecture: amd64\nMaintainer: nobody <nobody\@localhost>\n"
        . ($depends ? "Depends: $depends\n" : '') . "Description: for a test\n";
    remove_tree($root);
    make_path("$root/DEBIAN", map { "$root/" . dirname($_) } keys %files);
    Machine::file_write("$root/DEBIAN/control", $control);
    for (keys %files) {
        Machine::file_write("$root/$_", $files{$_}[1]);
        chmod $files{$_}[0], "$root/$_";
    }
    my $deb = "$folder/repository/${name}_2.0_amd64.deb";
    system("dpkg-deb --root-owner-group -b '$root' '$deb' >/dev/null") == 0 or die "dpkg-deb\n";
    my ($sum) = split ' ', qx(sha256sum '$deb');
    $index .= "${control}Filename: ./" . basename($deb) . "\nSize: " . (-s $deb) . "\nSHA256: $sum\n\n";
}

# apt as it is on this machine, with this repository alone.
sub repository_publish {
    Machine::file_write("$folder/repository/Packages", $index);
    make_path("$folder/apt/lists/partial", "$folder/apt/cache/archives/partial", "$folder/apt/parts");
    Machine::file_write("$folder/sources.list", "deb [trusted=yes] file:$folder/repository ./\n");
    Machine::file_write("$folder/apt.conf", <<"END_CONF");
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "$folder/apt/parts";
Dir::State::lists "$folder/apt/lists";
Dir::Cache "$folder/apt/cache";
APT::Sandbox::User "root";
END_CONF
    $ENV{APT_CONFIG} = "$folder/apt.conf";
    my ($text, $status) = command('apt-get -q update');
    $status == 0 or BAIL_OUT("apt-get update: $text");
}

sub fetched_is {
    my ($name, $words, $expected) = @_;
    my ($text, $status) = command("$TOOLS/fetch-deb $words");
    is($status, 0, "$name: fetched") or diag($text);
    my ($to) = (split ' ', $words)[1];
    my @packages = map { /^(\S+) 1:2\.0 sha256:[0-9a-f]{64}$/ ? $1 : "odd line: $_" } split /\n/, Machine::file_read("$to/version");
    is_deeply([sort @packages], $expected, "$name: these packages and no other");
}

sub refused_is {
    my ($name, $line, $expected) = @_;
    my ($text, $status) = command($line);
    isnt($status, 0, "$name: refused");
    like($text, $expected, "$name: the sentence");
}

my $KERNEL = [0644, bzimage()];
my $PROGRAM = [0755, Machine::file_read('/bin/true')];
make_path("$folder/repository");
package_add('linux-image-old', 'linux-image-6-old, helper');
package_add('linux-image-6-old', 'helper', 'boot/vmlinuz-6-old' => $KERNEL, 'boot/config-6-old' => [0644, 'x']);
package_add('linux-image-new', 'linux-image-7-new');
package_add('linux-image-7-new', 'linux-binary-7-new, helper');
package_add('linux-binary-7-new', '', 'usr/lib/modules/7-new/vmlinuz' => $KERNEL);
package_add('helper', '', 'usr/bin/helper' => $PROGRAM);
package_add('box-old', '', 'bin/busybox' => $PROGRAM, 'usr/share/doc/busybox' => [0644, 'x']);
package_add('box-new', '', 'usr/bin/busybox' => $PROGRAM, 'usr/share/doc/busybox' => [0644, 'x']);
package_add('broken', 'nowhere');
repository_publish();

my $KERNELS = "'linux-\@(image|binary)-*'";
for (['old', [qw(linux-image-6-old linux-image-old)]],
    ['new', [qw(linux-binary-7-new linux-image-7-new linux-image-new)]]) {
    my ($name, $packages) = @$_;
    fetched_is("$name kernel", "linux-image-$name $folder/k-$name $KERNELS", $packages);
    my ($text, $status) = command("$TOOLS/take-kernel $folder/k-$name/root $folder/vmlinuz-$name");
    is("$status $text" =~ /^0 .*boot protocol 2\.15$/ms, 1, "$name kernel: found") or diag($text);
    is(Machine::file_read("$folder/vmlinuz-$name"), bzimage(), "$name kernel: as it was");
    fetched_is("$name busybox", "box-$name $folder/b-$name", ["box-$name"]);
    ($text, $status) = command("$TOOLS/take-file $folder/b-$name/root bin/busybox $folder/busybox-$name");
    is($status, 0, "$name busybox: found") or diag($text);
    ok(-x "$folder/busybox-$name", "$name busybox: it can be run");
}
fetched_is('all that is needed', "linux-image-new $folder/all '*'",
    [qw(helper linux-binary-7-new linux-image-7-new linux-image-new)]);

my ($again) = command("$TOOLS/fetch-deb linux-image-new $folder/all '*'");
unlike($again, qr/downloading/, 'what is there and has the right sum is not fetched again');
refused_is('no such package', "$TOOLS/fetch-deb nothing $folder/x", qr/^fetch-deb: no package nothing in the index/);
refused_is('a need that cannot be met', "$TOOLS/fetch-deb broken $folder/x", qr/nowhere/);
refused_is('no package matches', "$TOOLS/fetch-deb helper $folder/x 'a*'", qr/nothing that helper needs matches a\*/);
refused_is('no kernel', "$TOOLS/take-kernel $folder/b-new/root $folder/y", qr/should hold one file vmlinuz\*, holds 0/);
command("cp $folder/k-new/root/usr/lib/modules/7-new/vmlinuz $folder/b-new/root/vmlinuz-2; cp $folder/b-new/root/vmlinuz-2 $folder/b-new/root/vmlinuz-3");
refused_is('two kernels', "$TOOLS/take-kernel $folder/b-new/root $folder/y", qr/should hold one file vmlinuz\*, holds 2/);
ok(!-e "$folder/y", 'a refused kernel leaves no file');

# A package that is another than the index says.
Machine::file_write("$folder/repository/helper_2.0_amd64.deb", 'not what the index says');
refused_is('a wrong sum', "$TOOLS/fetch-deb helper $folder/z", qr/^fetch-deb: (?:cannot download|\S+ does not have the SHA256)/m);
ok(!-e "$folder/z/version", 'a wrong sum: nothing says that it was fetched');
done_testing;
