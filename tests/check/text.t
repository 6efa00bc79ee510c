#!/usr/bin/perl
# How the text is written: clang-format for C, shellcheck for shells, perl's own check; line ends, widths, characters.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Check;

rule_by 'clang-format-14', 'clang-format has nothing to change',
    map { "clang-format-14 --dry-run -Werror $_" } sources(qr/\.[ch]$/);

my @scripts = grep { first_line($_) =~ /^#!/ } sources('.');
rule 'shellcheck finds nothing', commands map { "shellcheck -x $_" } grep { first_line($_) =~ /sh$/ } @scripts;
my @perl = grep { first_line($_) =~ /perl/ } @scripts;
rule 'perl finds nothing', commands map { "perl -Itests/check -Iiso/run -Iiso/report -Itests/run/lib -wc $_ 2>&1" } @perl, sources(qr/\.pm$/);
rule 'scripts can be run', grep { !-x } @scripts;

# A sentence is found by grep if it is one string: no piece of it ends with a space, or the next begins with one.
my $LITERAL = qr/"(?:[^"\\]|\\.)*"/;

sub broken_sentences {
    my ($file) = @_;
    my @lines = lines_of($file);
    return map { "$file:" . ($_ + 1) } grep {
        my ($piece) = $lines[$_] =~ /^[^"]*(?:$LITERAL[^"]*)*($LITERAL)$/;
        my ($next) = $lines[ $_ + 1 ] =~ /^\s*($LITERAL)/;
        $piece && $next && $piece !~ /\\n"$/ && ($piece =~ / "$/ || $next =~ /^" /);
    } 0 .. $#lines - 1;
}
rule 'a sentence is one string', map { broken_sentences($_) } sources(qr{^(arch|hv|ept|shadow|guest-images)/.*\.[ch]$});

my (@space, @tab, @wide, @odd);
my %script = map { $_ => 1 } @scripts;
for my $file (grep { $script{$_} || /\.(c|h|def|asm|mk|pm|md|in|yaml)$|^Makefile$/ } sources('.')) {
    my $number = 0;
    for (lines_of($file)) {
        $number++;
        push @space, "$file:$number" if /[ \t\r]$/;
        push @tab, "$file:$number" if /\t/ && $file =~ /\.(c|h|def|asm|pm|t)$/;
        push @wide, "$file:$number: " . length if length > 132 && s/$LITERAL/""/gr =~ /.{133}/ && $file =~ /\.(c|h|def|asm|mk|pm)$/;
        push @odd, "$file:$number" if /[^\x00-\x7f]/;
    }
}
rule 'no space at the end of a line', @space;
rule 'no tabs but in makefiles', @tab;
rule 'no line of code over 132 characters, but for what a string has', @wide;
rule 'ASCII only', @odd;
done;
