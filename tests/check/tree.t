#!/usr/bin/perl
# The shape of the tree: what lies where, how files begin, how long functions are.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Check;

my $FUNCTION_LINES = 60;
my @top = qw(Makefile README.md LICENSE .ci .clang-format .gitignore arch hv ept shadow guest-images iso tests);

my %top = map { $_ => 1 } @top;
rule 'nothing lies outside the fixed top level', grep { !$top{(split m{/})[0]} } sources('.');

my %folders = map { m{^((?:tests|iso)/[^/]+|[^./][^/]*)/} ? ($1 => 1) : () } sources('.');
rule 'each folder has a README.md', map { "$_/README.md" } grep { !-e "$_/README.md" } '.', sort keys %folders;

# First lines that are a comment, after a #! line.
sub has_head {
    my ($file, $mark) = @_;
    my @lines = lines_of($file);
    shift @lines if @lines && $lines[0] =~ /^#!/;
    return @lines && $lines[0] =~ /^\s*$mark/;
}
rule 'each C file and header starts with a comment', grep { !has_head($_, '//') } sources(qr/\.(c|h|def)$/);
rule 'each assembly file starts with a comment', grep { !has_head($_, ';') } sources(qr/\.(asm|inc)$/);
rule 'each script and makefile starts with a comment',
    grep { !has_head($_, '#') } grep { /\.(mk|pm)$|^Makefile$/ || first_line($_) =~ /^#!/ } sources('.');

# A function's body is between a brace in column 0 and the next one, as .clang-format lays it out.
sub long_functions {
    my ($file) = @_;
    my ($start, $name, @long) = (0, '');
    my $number = 0;
    my $before = '';
    for (lines_of($file)) {
        $number++;
        if (/^\{/) { ($start, $name) = ($number, $before) }
        elsif (/^\}/ && $start) {
            my $lines = $number - $start - 1;
            push @long, "$file:$start: $lines lines: $name" if $lines > $FUNCTION_LINES;
            $start = 0;
        }
        $before = $_;
    }
    return @long;
}
rule "no function has more than $FUNCTION_LINES lines", map { long_functions($_) } sources(qr/\.c$/);

# "TODO" and its kin are for the head, not for the tree.
rule 'no TODO, FIXME or XXX', map {
    my $file = $_;
    my @lines = lines_of($file);
    map { "$file:" . ($_ + 1) } grep { $lines[$_] =~ m{(//|#|;).*\b(TODO|FIXME|XXX)\b} } 0 .. $#lines;
} grep { !m{^tests/check/} } sources(qr/\.(c|h|asm|def|mk|pm)$/);

rule 'each header of the monitor has #pragma once',
    grep { !grep { /^#pragma once$/ } lines_of($_) } sources(qr/\.h$/);
rule 'each planted fault finds its text', commands 'tests/host/plant --texts';
done;
