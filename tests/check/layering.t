#!/usr/bin/perl
# Who may include whom. The compiler's -I already keeps most of it; this names the rest, and says it in one place.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Check;

my %sees_all_of = (arch => [qw(arch)], hv => [qw(arch hv)], ept => [qw(arch ept)], shadow => [qw(arch shadow)]);
my %includes = folder_table('CHECK_INCLUDES');
my %hv_headers = (    # what of hv a back end may see
    ept    => qr/^(kept|mmu|p2m|vcpu|log|trace)\.h$|^counters\.def$/,
    shadow => qr/^(kept|mmu|p2m|p2m_change|vcpu|log|trace|walk)\.h$|^(counters|strategies)\.def$/,
);
my @compiler = qw(stdarg.h stdbool.h stddef.h stdint.h);    # and string.h for lib.h, whose functions lib.c has

# A private header lies beside the file that includes it, or in a layer below, where the compiler finds it by -I. A path
# would get around that; there are two: struct vm is the sum of the layers from hv/vcpu on, which see it all the same.
sub private_is_seen {
    my ($file, $name) = @_;
    my ($folder) = $file =~ m{^(.*)/};
    return -e "hv/$name" if $file eq 'hv/vm.h';
    return $includes{ folder_of($file) } =~ m{-Ihv/vcpu\b} if $name eq '../vm.h';
    return 1 if "$folder $name" =~ m{^(?:hv/guest dsdt|hv version)\.h$};    # the build makes them
    return $name !~ m{/} && grep { -e "$_/$name" } $folder, $includes{ folder_of($file) } =~ /-I(\S+)/g;
}

my (@angle, @quote, @back_end);
for my $file (sources(qr{^(arch|hv|ept|shadow)/.*\.[chd]})) {
    my ($folder) = split m{/}, $file;
    my $main = $file eq 'hv/main.c';
    my $number = 0;
    for (lines_of($file)) {
        $number++;
        if (/^\s*#\s*include\s+<([^>]+)>/) {
            my $name = $1;
            next if (grep { $_ eq $name } @compiler) || "$file $name" eq 'arch/include/arch/lib.h string.h';
            my ($of, $header) = $name =~ m{^([^/]+)/(.*)$} ? ($1, $2) : ('', $name);
            if ($of =~ /^(ept|shadow)$/ && $of ne $folder) {
                push @back_end, "$file:$number: $name" unless $main;
                next;
            }
            next if grep { $_ eq $of } @{ $sees_all_of{$folder} };
            next if $of eq 'hv' && $hv_headers{$folder} && $header =~ $hv_headers{$folder};
            push @angle, "$file:$number: <$name>";
        }
        elsif (/^\s*#\s*include\s+"([^"]+)"/) {
            my $name = $1;
            push @quote, "$file:$number: $name" if !private_is_seen($file, $name);
        }
        push @back_end, "$file:$number: $_"
            if !$main && $folder !~ /^(ept|shadow)$/ && /\b(ept|shadow)_ops\b/;
    }
}
rule 'each folder includes only what it may', @angle;
rule 'private headers lie beside the file that includes them, or in a layer below', @quote;
rule 'only hv/main.c names the back ends', @back_end;

my %named;
push @{ $named{ s{.*/}{}r } }, $_ for sources(qr{^hv/[^/]*/?[^/]*\.(?:h|def)$});
rule 'no two headers of hv have one name', map { "@$_" } grep { @$_ > 1 } values %named;

# The public headers are those that another folder or another public header uses: any other one is private.
my %users;
for my $file (sources(qr{\.[ch]$})) {
    my ($folder) = split m{/}, $file;
    $folder .= '/include' if $file =~ m{^\w+/include/};
    /^\s*#\s*include\s+<((?:arch|hv|ept|shadow)\/[^>]+)>/ and $users{$1}{$folder} = 1 for lines_of($file);
}
my @unused = grep {
    my ($folder, $name) = m{^(\w+)/include/(.*)$};
    !grep { $_ ne $folder } keys %{ $users{$name} };
} sources(qr{^(arch|hv|ept|shadow)/include/.*\.h$});
rule 'each public header has a user in another folder', @unused;

# A handler says by its verdict what becomes of RIP. The dispatcher moves it; the first value is of the VMCS's set-up.
my $READ = qr/vmcs_read\((?:[^()]|\([^()]*\))*\)/;
rule 'only the dispatcher moves RIP', map {
    my $file = $_;
    map { "$file: $_" } grep { s{//.*}{}r =~ s/$READ//gr =~ /\bGUEST_RIP\b/ } lines_of($file);
} grep { !m{(?:^|/)(?:exit|vmcs_setup)\.c$} } sources(qr{^(hv|ept|shadow)/.*\.[ch]$});

# A guest of the tests runs bare too: it takes names for integers and memcpy from the monitor, its interface for guests, and no
# more.
rule 'micro-guests include only types, lib and vmcall of the monitor', map {
    my $file = $_;
    map { "$file: $_" } grep { m{^\s*#\s*include\s+[<"](arch|hv|ept|shadow)/(?!types\.h|lib\.h|vmcall\.h)} } lines_of($file);
} sources(qr{^tests/guest/.*\.[ch]$});
done;
