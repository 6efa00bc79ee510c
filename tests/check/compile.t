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

# What else would fail unseen. The build that people measure has none of it.
my $VMCS_USER = 'hv/exits/exit.c'; # reads and writes it
sub vmcs_checks {
    my ($debug) = @_;
    my $object = "$OBJECTS/debug$debug.o";
    (my $flags = $ENV{CHECK_FLAGS}) =~ s/-DDEBUG_BUILD=\d/-DDEBUG_BUILD=$debug/ or die 'no DEBUG_BUILD';
    system("gcc $flags -fno-lto " . includes($VMCS_USER) . " -c -o $object $VMCS_USER") == 0 or die "$VMCS_USER: not compiled";
    return join ' ', sort map { /^(VMREAD|VMWRITE)$/ } qx(strings $object);
}
rule 'VMREAD and VMWRITE that fail are seen in a debug build, and in no other',
    vmcs_checks(1) eq 'VMREAD VMWRITE' ? () : 'DEBUG=1: a check is missing', vmcs_checks(0) ? 'a check without DEBUG=1' : ();

sub knot_problems {
    my @problems;
    for my $knot (knots(@objects)) {
        s{\Q$OBJECTS\E/(\S+)\.o\b}{$1}g for @{ $knot->{files} }, @{ $knot->{arrows} };
        push @problems, "@{ $knot->{files} }:", @{ $knot->{arrows} };
    }
    return @problems;
}
rule 'no circle of files that need each other', knot_problems();

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

# State is in struct vm, in struct vcpu or in the object that owns it. The variables of files that are left, by file: those of
# hv/main.c are the owners; `shown` and `kept` are the monitor's, not a guest's. A list that has become shorter is entered here.
my %STATE_LEFT = (
    'hv/main.c'          => 'comparison host params vm',
    'hv/policy/log.c'    => 'shown',
    'hv/vcpu/msr_keep.c' => 'kept',
);

# Names of the variables that a file defines and can change, sorted; one within a function has a number behind it.
sub variables {
    my ($file) = @_;
    my $object = object($file);
    my @lines = qx(nm $object);
    die "nm $object failed\n" if $?;
    return join ' ', sort map { /^[0-9a-f]+ [bBdDC] ([^.\s]+)/ ? $1 : () } @lines;
}

sub state_problems {
    my @problems;
    for my $file (grep { m{^(hv|ept|shadow)/} } @files) {
        my ($are, $may) = (variables($file), $STATE_LEFT{$file} // '');
        push @problems, "$file: has the variables '$are', the list says '$may'" if $are ne $may;
    }
    return @problems;
}
rule 'no state in a file of hv, ept or shadow, but what is left', state_problems();

rule_by 'clang-tidy-14', 'clang-tidy: nothing found (clang-tidy.yaml)', map {
    "clang-tidy-14 --quiet --config-file=tests/check/clang-tidy.yaml --warnings-as-errors='*' $_ -- -std=gnu11 -ffreestanding -DDEBUG_BUILD=0 "
        . includes($_) . ' 2>/dev/null'
} grep { $_ ne 'arch/asm_offsets.c' } @files;
done;
