# A report's blocks (Block.pm) as Markdown. Folds are left out: Markdown cannot hide anything.
package Report::Markdown;
use strict;
use warnings;
use Exporter 'import';
use List::Util 'max';
use Report::Block qw(PLAIN CODE STOP);
our @EXPORT_OK = 'markdown';

# What could be mark-up or HTML.
sub escaped { return $_[0] =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr =~ s/([\\`*\[\]|#~])/\\$1/gr }

# A fence longer than any in the text; `|' would end a table's cell, but none of these stands in one.
sub fenced {
    my ($text) = @_;
    my $fence = '`' x (1 + max(0, map { length } $text =~ /(`+)/g));
    my $space = $text =~ /^`|`$/ ? ' ' : '';
    return "$fence$space$text$space$fence";
}

sub text { return $_[0] =~ s/${\PLAIN}(.*?)${\STOP}/escaped($1)/ger =~ s/${\CODE}(.*?)${\STOP}/fenced($1)/ger }

# Rows as aligned columns, the first one to the left.
sub table {
    my ($block) = @_;
    my @rows = map { [map { text(ref ? $_->{text} : $_) } @$_] } $block->{names}, @{ $block->{rows} };
    my @widths = map { my $i = $_; max map { length $_->[$i] } @rows } 0 .. $#{ $rows[0] };
    my @lines = map { my $row = $_; join ' | ', map { sprintf $_ ? '%*s' : '%-*s', $widths[$_], $row->[$_] } 0 .. $#$row } @rows;
    my $rule = '|' . join('|', map { '-' x ($widths[$_] + 1) . ($_ ? ':' : '-') } 0 .. $#widths) . '|';
    my ($heading, @rest) = map { "| $_ |" } @lines;
    return join "\n", $heading, $rule, @rest;
}

my %WRITE = (
    heading => sub { ('#' x $_[0]{level}) . ' ' . text($_[0]{text}) },
    paragraph => sub { text($_[0]{text}) },
    item => sub { '* ' . text($_[0]{text}) },
    picture => sub { "![$_[0]{text}]($_[0]{file}.svg)" },
    table => \&table,
);

# Items that follow each other are one list.
sub markdown {
    my @blocks = grep { $WRITE{ $_->{kind} } } @_;
    my $in_list = sub { return $_[0] < $#blocks && $blocks[$_[0]]{kind} eq 'item' && $blocks[$_[0] + 1]{kind} eq 'item' };
    my $text = join '', map { $WRITE{ $blocks[$_]{kind} }->($blocks[$_]) . ($in_list->($_) ? "\n" : "\n\n") } 0 .. $#blocks;
    return $text =~ s/\n\n\z/\n/r;
}

1;
