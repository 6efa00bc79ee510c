#!/usr/bin/perl
# Every file of the monitor with more warnings than the build asks for, by gcc and clang; every header alone. And of what gcc
# made of them, which files need each other.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Check;
use File::Basename 'dirname';
use File::Path 'make_path';
use Knots;

# Not here, with reason: -Wcast-align and -Wcast-qual, since device registers and strchr need such casts;
# -Wpadded, -Wswitch-enum and the like, which say nothing about mistakes.
my $warnings = '-Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wold-style-definition -Wshadow '
    . '-Wconversion -Wundef -Wpointer-arith -Wwrite-strings -Wvla -Wnested-externs -Wredundant-decls -Wformat=2';
my $gcc_only = '-Wlogical-op -Wduplicated-cond -Wduplicated-branches';
my $clang_flags = join ' ', grep { $_ ne '-fno-tree-loop-distribute-patterns' } split ' ', $ENV{CHECK_FLAGS};

my %includes = folder_table('CHECK_INCLUDES');
my %uses = folder_table('CHECK_USES');

sub includes {
    my ($file) = @_;
    my $like = $file eq 'hv/main.c' ? 'main' : $file =~ m{^hv/include/} ? 'ept' : folder_of($file);
    return $includes{$like} // die "no includes for $file";
}

my @files = sources(qr{^(arch|hv|ept|shadow)/.*\.c$});
my @headers = sources(qr{^(arch|hv|ept|shadow)/.*\.h$});
# Twice: a header must stand alone and do no harm when it comes again.
sub alone { my ($header) = @_; "printf '#include \"$header\"\\n#include \"$header\"\\n' |" }

my $OBJECTS = 'build/check/objects';
sub object { my ($file) = @_; "$OBJECTS/$file.o" }
my $SOURCE_OF = qr{^\Q$OBJECTS\E/(\S+)\.o$};
make_path(map { dirname(object($_)) } @files);
my @objects = map { object($_) } grep { $_ ne 'arch/asm_offsets.c' } @files;

my %compiler = (gcc => "gcc $ENV{CHECK_FLAGS} -fno-lto $warnings $gcc_only", clang => "clang $clang_flags $warnings");
my %output = (gcc => \&object, clang => sub { '/dev/null' });
for my $name (qw(gcc clang)) {
    my $cc = $compiler{$name};
    rule "$name: no warnings", commands map { "$cc " . includes($_) . " -c -o " . $output{$name}->($_) . " $_" } @files;
    rule "$name: each header compiles alone",
        commands map { alone($_) . "$cc -I. " . includes($_) . ' -fsyntax-only -x c -' } @headers;
}

# The circles of files that are left. No other may come, none of these may gain an arrow; one that has lost some is
# entered here with what it has now.
my @LEFT = (
    { arrows => 15, files => [qw(shadow/entries.c shadow/fill.c shadow/pool.c shadow/sync.c shadow/trace.c shadow/unpaged.c)] },
);

sub knot_problems {
    my %left = map { join(' ', @{ $_->{files} }) => $_->{arrows} } @LEFT;
    my @problems;
    for my $knot (knots(@objects)) {
        s{\Q$OBJECTS\E/(\S+)\.o\b}{$1}g for @{ $knot->{files} }, @{ $knot->{arrows} };
        my ($names, $arrows) = (join(' ', @{ $knot->{files} }), scalar @{ $knot->{arrows} });
        my $allowed = delete $left{$names} // 0;
        push @problems, "$names: $arrows arrows, $allowed are allowed", $arrows > $allowed ? @{ $knot->{arrows} } : () if $arrows != $allowed;
    }
    return @problems, map { "$_: this circle is gone: take it off the list" } sort keys %left;
}
rule 'no circle of files that need each other, but for those that are left', knot_problems();

# The layers as the linker sees them: a header may declare what a higher folder defines, and struct vm shows all of them.
sub may_use {
    my ($file, $of) = @_;
    my ($from, $to) = (folder_of($file), folder_of($of));
    return 1 if $to eq $from || $to eq 'arch' || $file eq 'hv/main.c';
    return grep { $_ eq $to } split ' ', $uses{$from};
}
rule 'each folder calls only what it may use (USES_* of the Makefile)', map {
    my ($file, $of, $symbol) = ($_->[0] =~ $SOURCE_OF, $_->[1] =~ $SOURCE_OF, $_->[2]);
    may_use($file, $of) ? () : "$file needs $symbol of $of";
} needs(@objects);

rule_by 'clang-tidy-14', 'clang-tidy: nothing found (clang-tidy.yaml)', map {
    "clang-tidy-14 --quiet --config-file=tests/check/clang-tidy.yaml --warnings-as-errors='*' $_ -- -std=gnu11 -ffreestanding "
        . includes($_) . ' 2>/dev/null'
} grep { $_ ne 'arch/asm_offsets.c' } @files;
done;
