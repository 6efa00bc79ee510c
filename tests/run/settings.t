#!/usr/bin/perl
# The settings of `make run` and `make compare`: what is wrong is refused in one sentence, before anything is built; a refusal of
# the monitor ends the run; what an emulator says when it gives up is shown. Two boots; the rest needs no emulator.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Temp 'tempdir';
use Kernels;
use Machine;
use Qemu;
use Test::More;

my $folder = tempdir('settings.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $BUILT = "$folder/build";
$ENV{SETUP_DONE} = 'yes'; # the packages are no part of this
delete @ENV{qw(MAKEFLAGS MAKELEVEL)};
# Nor what the make that runs the tests has exported: iso.mk's settings, and what follows from them.
delete @ENV{qw(MMU VPID MEM EMU CPU FIRMWARE APPEND ARGS NATIVE NATIVE_ARGS MONITOR GUEST_KERNEL GUEST_INITRD GUEST_COMPARE
    BUILD PROG KERNEL INITRD INITRDS COMPARE BENCH EXIT_COST SERIAL SYMBOLS TITLE OUT TIMEOUT LIMIT IPS REPEAT HOW KVM PACKAGES MODULES)};
chdir $Machine::TOP or die $!;

# Its output and status, from the top of the tree.
sub command {
    my (@words) = @_;
    my $status = Machine::run_quietly("$folder/said", 'timeout', 100, @words);
    return (Machine::plain(Machine::file_read("$folder/said")), $status);
}

sub make_refuses {
    my ($goal, $sentence, @settings) = @_;
    my ($text, $status) = command('make', '-s', '-C', $Machine::TOP, $goal, "BUILD=$BUILT", 'EMU=bochs', @settings);
    my ($said) = grep { !/^make/ } split /\n/, $text;
    like($said, qr/^$goal: $sentence/, "make $goal @settings");
    isnt($status, 0, "make $goal @settings: its status");
}

my $kernel = bzimage_write("$folder/kernel");
my $i386 = bzimage_write("$folder/i386", xloadflags => 0);
my $initrd = Kernels::write_file("$folder/initrd", "070701" . "\0" x (20 << 20));
my $stub = Kernels::write_file("$folder/stub", "ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n");
my $none = 'there is no such file that can be read$';

my $grub = 'GRUB, which starts the guest, takes these characters for its own: ';

make_refuses('run', @$_) for (
    ['MEM=1\.5G: write it as a number with K, M or G, such as 512M or 2G$', 'MEM=1.5G'],
    ['MEM=lots: write it as', 'MEM=lots'],
    ['mem= cannot be `8M\': it takes a number from 16M to 1024G', 'MEM=8M'],
    ['mmu= cannot be `none\': it takes ept\|shadow\.', 'MMU=none'],
    ['vpid= cannot be `maybe\': it takes auto\|on\|off\.', 'VPID=maybe'],
    ['shadow= cannot be `fast\': it takes lazy\|eager\|trace\|adaptive\.', 'ARGS=shadow=fast'],
    ['mem= is given more than once', 'ARGS=mem=1G'],
    ['EMU=vmware: it takes bochs or qemu$', 'EMU=vmware'],
    ['FIRMWARE=coreboot: it takes bios or uefi$', 'FIRMWARE=coreboot'],
    ['FIRMWARE=uefi: Bochs has a BIOS only', 'FIRMWARE=uefi'],
    ['CPU=z80: processor model \'z80\' is not one of: ', 'CPU=z80'],
    ['CPU=z80: QEMU has no such model', 'EMU=qemu', 'CPU=z80'],
    ['NATIVE=yes: it takes 1$', 'NATIVE=yes'],
    ['BENCH=fork has no effect here: it is a setting of make compare$', 'BENCH=fork'],
    ["KERNEL=\\S+/nothing: $none", "KERNEL=$folder/nothing"],
    ["INITRD=\\S+/nothing: $none", "INITRD=$folder/nothing"],
    ['KERNEL=\S+: this is no bzImage;', "KERNEL=$initrd"],
    ['KERNEL=\S+: this kernel has no 64-bit entry point;', "KERNEL=$i386"],
    ['MEM=32M does not suffice: kernel and initrd need 41M below 3G to be loaded$', 'MEM=32M', "KERNEL=$kernel", "INITRD=$initrd"],
    ['MEM=50M does not suffice: the initrd holds 20 MiB, and the kernel unpacks it in memory: MEM=61M at least$',
        'MEM=50M', "KERNEL=$kernel", "INITRD=$initrd"],
    ['PROG= goes into the initrd that is built here', "INITRD=$initrd", 'PROG=/bin/true'],
    ['PROG=\S+/no \$thing: there is no such file or folder$', "PROG=$folder/no \$thing"],
    ['PACKAGES=No_such: No_such is no name of a package;', 'PACKAGES=No_such'],
    ['PACKAGES=no-such-package-here: Debian\'s index here has no package no-such-package-here$', 'PACKAGES=no-such-package-here'],
    ['PACKAGES= goes into the initrd that is built here', "INITRD=$initrd", 'PACKAGES=hello'],
    ['MODULES= goes into the initrd that is built here', "INITRD=$initrd", 'MODULES=brd'],
    ['MODULES= are those of Debian\'s kernel: leave KERNEL= out', "KERNEL=$kernel", 'MODULES=brd'],
    ['MODULES=\$\(false\): it takes names of modules', 'MODULES=$(false)'],
    ['CPU=q.mu64: QEMU has no such model', 'EMU=qemu', 'CPU=q.mu64'],
    (map { ["APPEND=\Q$_\E: $grub", "APPEND=$_"] } "it's", 'a;b', '$HOME', '$(shell false)', 'a\\b', 'quiet #'),
    ["APPEND=quiet\$", "APPEND=quiet\nmenuentry"],
    ['APPEND=dyndbg="file x: a " lacks its second one$', 'APPEND=dyndbg="file x'],
    ['APPEND= is too long: with it the guest\'s command line has 3026 characters, and its kernel takes 2047$', 'APPEND=' . 'x' x 3000],
);
make_refuses('compare', @$_) for (
    ['MEM=1\.5G: write it as', 'MEM=1.5G'],
    ['There is no parameter `fast\'', 'COMPARE=ept/fast'],
    ['compare.repeat= cannot be `0\'', 'REPEAT=0'],
    ['compare.how= cannot be `turns\'', 'HOW=turns'],
    ['KVM=npt: it takes 1', 'KVM=npt'],
    ['KVM=ept,vpid=on: it takes 1', 'KVM=ept,vpid=on'],
    ['LIMIT=soon: it takes a number from 1 to 1000000$', 'LIMIT=soon'],
    ['EXIT_COST=much: it takes a number from 0 to 1000000$', 'EXIT_COST=much'],
    ['COMPARE= and BENCH= take words joined by', 'BENCH=fork exec'],
    ['BENCH=-r,3,forkk: there is no workload or group forkk$', 'BENCH=-r,3,forkk'],
    ['BENCH=zstd: there is no workload or group zstd$', 'BENCH=zstd'],
    ['BENCH=-r: -r lacks what it takes$', 'BENCH=-r'],
    ['BENCH=-w,64,gups: 64 should be sizes as 64M/1G$', 'BENCH=-w,64,gups'],
    ['BENCH=-z4M,gups: 4M should be sizes of pages', 'BENCH=-z4M,gups'],
    ['BENCH=-x,fork: bench has the options', 'BENCH=-x,fork'],
    ['PROG=\S+/nothing: there is no such file or folder$', "PROG=$folder/nothing"],
    (map { [(split /=/)[0] . '= is given more than once', "ARGS=$_"] } qw(limit=1 vmcall=user seed=1)),
    ["OUT=\\S+/initrd: this is no folder", "OUT=$folder/initrd"],
    ['MMU=shadow has no effect here', 'MMU=shadow'],
    ["SERIAL=\\S+/nothing: $none", "SERIAL=$folder/nothing"],
    ["SYMBOLS=\\S+/nothing: $none", "SYMBOLS=$folder/nothing"],
    ['SYMBOLS=\S+/stub: no function of a kernel is in it; Debian\'s System.map is in the package', "SYMBOLS=$stub"],
    ["INITRD=\\S+/nothing: $none", "INITRD=$folder/nothing"],
);
delete local $ENV{PROG};
for (['PROG', 'tests/run/prog'], ['INITRDS', "$initrd build/guest/compare.lz4"]) {
    my ($name, $value) = @$_;
    my ($text, $status) = command('env', "BUILD=$BUILT", 'EMU=bochs', 'BENCH=-r,2,works', "$name=$value", 'iso/report/compare', '--check');
    is("$status $text", '0 ', "iso/report/compare --check: BENCH= may name a program of $name");
}
make_refuses('machine', 'SERIAL= says of which serial logs');
# The ISO of make alone; iso/run/run looks at its settings.
for (['MEM=1\.5G: write it as', 'MEM=1.5G'], ['There is no parameter `fast\'', 'MONITOR_ARGS=fast'], ["GUEST_ARGS=it's: $grub", "GUEST_ARGS=it's"],
    map { ["$_=\\S+/nothing: $none", "$_=$folder/nothing"] } qw(KERNEL INITRD)) {
    my ($sentence, $setting) = @$_;
    my ($text, $status) = command('make', '-s', "BUILD=$BUILT", $setting);
    like($text, qr/^run: $sentence/m, "make $setting");
    isnt($status, 0, "make $setting: its status");
}
is(join(' ', map { s{.*/}{}r } grep { -f && !m{/values/} } glob "$BUILT/* $BUILT/*/*"), 'parameters', 'nothing but the parser has been built');

# Without VT-x the monitor refuses; the run ends.
subtest 'a refusal ends the run' => sub {
    my ($text, $status) = command('env', 'EMU=qemu', 'iso/run/run');
    like($text, qr/^\[penumbra\] error: Penumbra cannot run here\. /m, 'the sentence');
    like($text, qr/^emulate: the monitor has refused, and stands still$/m, 'and why the run has ended');
    is($status, 4, 'the status');
} unless -e '/dev/kvm' && -w '/dev/kvm' && Machine::file_read('/proc/cpuinfo') =~ /\bvmx\b/;

# The processor that QEMU is asked for.
sub qemu_cpu {
    my (%opt) = @_;
    my @command = Qemu->new({ dir => $folder, iso => 'x', mem => 512, cpus => 1, firmware => 'bios', serial_port => 1, %opt })->command;
    return join ' ', map { $command[ $_ - 1 ] eq '-cpu' ? $command[$_] : () } 1 .. $#command;
}
is(qemu_cpu(accel => 'kvm'), 'host,migratable=off,+invtsc', 'KVM: the processor of the host, with its invariant time stamp counter');
is(qemu_cpu(accel => 'tcg'), 'max', 'no KVM: all that QEMU has');
is(qemu_cpu(accel => 'kvm', cpu => 'Skylake-Client'), 'Skylake-Client', 'CPU=');

# No kernel without the monitor gets what Penumbra does not give its guests.
like(Machine::file_read('iso/grub.cfg.in'), qr/^set equal=".*\bnopv\b.*"$/m, 'native kernels use nothing paravirtual');
for my $file (qw(iso/entries.in iso/run/run iso/report/compare)) {
    my @native = Machine::file_read($file) =~ /^ +linux (.*)$/mg;
    is_deeply([grep { !m{^(?:/vmlinuz|\\?\$kvm_kernel) \\?\$equal } } @native], [], "$file: all native kernels are made the guest's equal");
    cmp_ok(scalar @native, '>', 0, "$file: and there are some");
}

# Bochs 2.7 itself keeps 2048 MiB at most.
my $run = boot(name => 'much-memory', mem => 3100, grub => 'multiboot2 /penumbra.elf mem=none',
    script => ['expect in steps of 4K', 'quit']);
is($run->{end}, 'quit', 'a machine of 3100 MiB boots in Bochs');

my ($text, $status) = command("$Machine::TOP/iso/run/emulate", '--iso', "$Machine::BUILD/penumbra.iso", '--bochs-line', 'memory: guest=64, host=4096');
like($text, qr/^emulate: bochs did not open its serial port; it said:\n(?:  .*\n)*  .*out of range.*\n/m, 'Bochs: why it gave up');
is($status, 2, 'Bochs: the status');
($text) = command("$Machine::TOP/iso/run/emulate", '--emu', 'qemu', '--iso', "$Machine::BUILD/penumbra.iso", '--qemu-arg', '-nonsense');
like($text, qr/-nonsense: invalid option/, 'QEMU: why it gave up');
done_testing;
