# The functions of a kernel, from its System.map or what its own /proc/kallsyms says, and which of them an address is in. For the
# report, and for tests/run/exit-places.
package Report::Symbols;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(symbols_read symbol_of);

# Where Linux loads modules on x86-64, and the first address that is the kernel's (16 hexadecimal digits sort as numbers do).
use constant { MODULES => 'ffffffffc0000000', KERNEL => '8' };

# The text's functions as a list of [address, name], by address. What it has of a kernel that hides addresses is none.
sub symbols_read {
    my ($text) = @_;
    my @functions = map { /^([0-9a-f]{16}) [tTwW] ([\w.]+)/a && $1 gt KERNEL ? [$1, $2] : () } split /\n/, $text;
    return [sort { $a->[0] cmp $b->[0] } @functions];
}

# The last function that begins not behind the address.
sub function_before {
    my ($functions, $address) = @_;
    my ($low, $high) = (-1, scalar @$functions);
    while ($high - $low > 1) {
        my $middle = int(($low + $high) / 2);
        $functions->[$middle][0] le $address ? ($low = $middle) : ($high = $middle);
    }
    return $low < 0 ? undef : $functions->[$low];
}

# What an address, in hexadecimal, is part of.
sub symbol_of {
    my ($functions, $address) = @_;
    $address = sprintf '%016s', $address;
    return 'user mode' if $address lt KERNEL;
    my $found = function_before($functions, $address) // return 'no function of the kernel';
    return 'a module' if $address ge MODULES && $found->[0] lt MODULES;
    return $found->[1];
}

1;
