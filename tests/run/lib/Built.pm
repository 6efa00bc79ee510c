# A build folder of a test's own, in which make takes the guest's initramfs from what is built already: other settings there leave
# what was built for all as it is.
package Built;
use strict;
use warnings;
use Exporter 'import';
use File::Path 'make_path';
use Machine;
our @EXPORT = qw(built_copy compare_make);

# Nothing of the make that runs the tests.
delete @ENV{qw(MAKEFLAGS MAKELEVEL KERNEL INITRD GUEST_KERNEL GUEST_INITRD GUEST_COMPARE BUILD PROG PACKAGES MODULES)};

# The parts of the guest, with the dates that make goes by.
sub built_copy {
    my ($built) = @_;
    make_path("$built/guest/packages");
    my @parts = map { "$Machine::BUILD/guest/$_" } qw(bench busybox codes initrd.gz kernel penctl tcc-tree vmlinuz);
    return !system('cp', '-a', "$Machine::BUILD/values", $built) && !system('cp', '-a', @parts, "$built/guest")
        && !system('cp', '-a', "$Machine::BUILD/guest/packages/tcc", "$built/guest/packages");
}

# Makes the initramfs of comparisons with these words for make: (its file, status, what make said).
sub compare_make {
    my ($built, @words) = @_;
    my $file = "$built/guest/compare.lz4";
    my $status = Machine::run_quietly("$built/said", 'make', '-C', $Machine::TOP, 'SETUP_DONE=yes', "BUILD=$built", $file, @words);
    return ($file, $status, Machine::file_read("$built/said"));
}

1;
