#!/usr/bin/perl
# Every file of the monitor with more warnings than the build asks for, by gcc and clang; every header alone.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Check;

# Not here, with reason: -Wcast-align and -Wcast-qual, since device registers and strchr need such casts;
# -Wpadded, -Wswitch-enum and the like, which say nothing about mistakes.
my $warnings = '-Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wold-style-definition -Wshadow '
    . '-Wconversion -Wundef -Wpointer-arith -Wwrite-strings -Wvla -Wnested-externs -Wredundant-decls -Wformat=2';
my $gcc_only = '-Wlogical-op -Wduplicated-cond -Wduplicated-branches';
my $clang_flags = join ' ', grep { $_ ne '-fno-tree-loop-distribute-patterns' } split ' ', $ENV{CHECK_FLAGS};

sub includes {
    my ($file) = @_;
    my ($folder) = split m{/}, $file;
    return $ENV{ 'CHECK_INCLUDES_' . ($file eq 'hv/main.c' ? 'main' : $folder) } // die "no includes for $file";
}

my @files = sources(qr{^(arch|hv|ept|shadow)/[^/]*\.c$});
my @headers = sources(qr{^(arch|hv|ept|shadow)/.*\.h$});
# Twice: a header must stand alone and do no harm when it comes again.
sub alone { my ($header) = @_; "printf '#include \"$header\"\\n#include \"$header\"\\n' |" }

my %compiler = (gcc => "gcc $ENV{CHECK_FLAGS} $warnings $gcc_only", clang => "clang $clang_flags $warnings");
for my $name (qw(gcc clang)) {
    my $cc = $compiler{$name};
    rule "$name: no warnings", commands map { "$cc " . includes($_) . " -c -o /dev/null $_" } @files;
    rule "$name: each header compiles alone",
        commands map { alone($_) . "$cc -I. " . includes($_) . ' -fsyntax-only -x c -' } @headers;
}
rule_by 'clang-tidy-14', 'clang-tidy: nothing found (clang-tidy.yaml)', map {
    "clang-tidy-14 --quiet --config-file=tests/check/clang-tidy.yaml --warnings-as-errors='*' $_ -- -std=gnu11 -ffreestanding "
        . includes($_) . ' 2>/dev/null'
} grep { $_ ne 'arch/asm_offsets.c' } @files;
done;
