#!/usr/bin/perl
# What READMEs and comments say about the tree: files and links that they name exist, the table of parameters is that of params.def,
# and prose has at most 100 columns.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Check;

my $PROSE_COLUMNS = 100;
my $SOURCE = qr/(?:c|h|def|asm|asl|inc|t|pm|mk|in|ld|sh|expected|svg|md)/;
# What the build or a run makes, and what is the C library's or Linux's.
my $ELSEWHERE = qr{^build/|^/|^(?:table|machine|layout|dsdt|version|bench_source|string|8250_port)\.};

my @files = sources('.');
my (%exists, %bare);
for my $file (@files) {
    $exists{$file} = 1;
    $bare{ (split m{/}, $file)[-1] } = 1;
}

# `load_*.c`, `test_X.c` and `micro-MODEL.t` stand for several files: a star, or a word of capitals.
sub stands_for_some {
    my ($name, @known) = @_;
    my $pattern = join '', map { /^(?:\*|(?!README)[A-Z]+(?![a-z]))$/ ? '[^/]+' : quotemeta } split /(\*|(?<![A-Za-z])[A-Z]+(?![a-z]))/, $name;
    return grep { /^$pattern$/ } @known;
}

# A name with a folder is below the top, or beside the file that names it; a bare one is a file's anywhere.
sub there_is {
    my ($name, $from) = @_;
    return stands_for_some($name, keys %bare) if $name !~ m{/};
    my ($folder) = $from =~ m{^(.*/)};
    my @places = ('', $folder // (), 'tests/run/', map { "$_/include/" } qw(arch hv ept shadow));
    return grep { my $path = "$_$name"; 1 while $path =~ s{[^/]+/\.\./}{}; stands_for_some($path, keys %exists) } @places;
}

sub missing_names {
    my ($file, $number, @names) = @_;
    return map { "$file:$number: $_" } grep { !/$ELSEWHERE/ && !there_is($_, $file) } @names;
}

my @readmes = sources(qr/README\.md$/);
rule 'files that a README names exist', map {
    my $file = $_;
    my @lines = lines_of($file);
    map { missing_names($file, $_ + 1, $lines[$_] =~ m{`([\w*./-]+\.$SOURCE)`}g) } 0 .. $#lines;
} @readmes;

sub anchors {
    my ($file) = @_;
    return map { /^#+ (.*)/ ? lc($1) =~ s/[^\w -]//gr =~ s/ /-/gr : () } lines_of($file);
}

sub broken_links {
    my ($file) = @_;
    my ($folder) = $file =~ m{^(.*/)};
    my @links = map { /\]\(([^)\s]+)\)/g } lines_of($file);
    return map { "$file: $_" } grep {
        my ($path, $anchor) = /^([^#]*)#?(.*)/;
        my $to = $path eq '' ? $file : ($folder // '') . $path;
        1 while $to =~ s{[^/]+/\.\./}{};
        !/^https?:/ && (!-e $to || ($anchor ne '' && !grep { $_ eq $anchor } anchors($to)));
    } @links;
}
# What begins with a folder of the top level is a path, whatever it ends with: `tests/run/count-exit mmap`.
my %folders = map { my $path = $_; map { $path =~ s{/[^/]+$}{} ? ($path => 1) : () } 1 .. $path =~ tr{/}{} } @files;
rule 'paths that a README names exist', map {
    my $file = $_;
    my @lines = lines_of($file);
    map {
        my $number = $_ + 1;
        map { "$file:$number: $_" } grep { my $path = s{/$}{}r; !$folders{$path} && !there_is($path, $file) }
            $lines[$_] =~ m{`(?:\.\./)*((?:arch|hv|ept|shadow|guest-images|iso|tests)/[\w*./-]*)}g;
    } 0 .. $#lines;
} @readmes;

rule 'links in a README lead somewhere', map { broken_links($_) } @readmes;

sub comment_of {
    my ($file, $line) = @_;
    return $line =~ m{(?:^|\s)//(.*)} ? $1 : '' if $file =~ /\.(?:c|h|def|inc)$/;
    return $line =~ /(?:^|\s);(.*)/ ? $1 : '' if $file =~ /\.asm$/;
    return $line =~ /(?:^|\s)#(.*)/ ? $1 : '';
}
my $NAME = qr{(?<![\w*/.<>{}\$-])([\w*.][\w*./-]*\.(?:c|h|def|asm|t|pm))\b};
rule 'files that a comment names exist', map {
    my $file = $_;
    my @lines = lines_of($file);
    map { missing_names($file, $_ + 1, comment_of($file, $lines[$_]) =~ /$NAME/g) } 0 .. $#lines;
} sources(qr/\.(?:c|h|def|asm|pm|mk|t)$/);

# The first three columns of the table of parameters, as params.def has them.
sub size_of {
    my ($name) = @_;
    my ($number, $unit) = map { /#define $name\s+\((\d+) \* ([MG])IB\)/ } lines_of('hv/memory/guest_map.h');
    return "$number$unit";
}

sub values_of {
    my ($kind, $lowest, $highest, @words) = @_;
    my $more = {
        PARAM_NUMBER => $highest =~ /~/ ? 'a number' : "$lowest to $highest",
        PARAM_SIZE => "$lowest to $highest",
        PARAM_PORT => "a port, $lowest to $highest",
        PARAM_LIST => 'a list',
    }->{$kind};
    return join ', ', (@words ? join ' ', map { "`$_`" } @words : ()), $more // ();
}

sub parameters_defined {
    my (@rows, %words);
    for (lines_of('hv/policy/params.def')) {
        push @rows, [$1, $2, $3, $4, $5, $6] if /^PARAM\((\w+), [\w ]+, "([^"]+)", \w+, (\w+), "([^"]+)", ([^,]+), ([^,]+), "/;
        push @{ $words{$1} }, $2 if /^WORD\((\w+), [^,]+, "([^"]+)"\)/;
    }
    push @{ $words{shadow} }, map { /^STRATEGY\(\w+, "([^"]+)"/ } lines_of('hv/include/hv/strategies.def');
    return map {
        my ($field, $name, $kind, $default, @bounds) = @$_;
        my @limits = map { /^GUEST/ ? size_of($_) : $_ } @bounds;
        "| `$name=` | " . values_of($kind, @limits, @{ $words{$field} // [] }) . " | `$default` |";
    } @rows;
}

sub parameters_told {
    my $in = 0;
    return map {
        $in = $1 eq 'Parameters' if /^## (.*)/;
        $in && /^(\| `[^|]+ \| [^|]+ \| `[^|]+` \|) \S/ ? $1 : ();
    } lines_of('hv/README.md');
}

sub differences {
    my ($is, $should) = @_;
    my %is = map { $_ => 1 } @$is;
    my %should = map { $_ => 1 } @$should;
    return ((map { "not in hv/README.md: $_" } grep { !$is{$_} } @$should),
        (map { "not in hv/policy/params.def: $_" } grep { !$should{$_} } @$is),
        @$should ? () : 'hv/policy/params.def has no rows');
}
rule 'the table of parameters in hv/README.md is that of params.def', differences([parameters_told()], [parameters_defined()]);

# Tables, code, headings and pictures have the width that they need; so has a word that cannot be broken.
sub wide_prose {
    my ($file) = @_;
    my @lines = lines_of($file);
    return map { "$file:" . ($_ + 1) . ': ' . length $lines[$_] }
        grep { length $lines[$_] > $PROSE_COLUMNS && $lines[$_] !~ /^(?:\||#+ |!\[|    )/ } 0 .. $#lines;
}
rule "prose has at most $PROSE_COLUMNS columns", map { wide_prose($_) } @readmes;
done;
