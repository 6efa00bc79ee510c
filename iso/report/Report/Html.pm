# A report's blocks (Block.pm) as one file of HTML: pictures are in it, nothing is fetched, and it can be read without its script,
# which only sorts tables. It is well-formed XML, too, so that any parser of that can check it. What it looks like is in page.css.
package Report::Html;
use strict;
use warnings;
use Digest::SHA 'sha256_base64';
use Exporter 'import';
use File::Basename 'dirname';
use Report::Block qw(PLAIN CODE STOP);
our @EXPORT_OK = 'html';

# Files of this folder that become part of the page. Neither holds "<" or "&", which XML would take for mark-up.
sub part {
    my ($name) = @_;
    open my $in, '<:raw', dirname(__FILE__) . "/$name" or die "report: $name: $!\n";
    local $/;
    return scalar <$in>;
}

my %ENTITY = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');
sub escaped { return $_[0] =~ s/([&<>"'])/$ENTITY{$1}/gr }

my $TOKEN = qr/\G(?:${\PLAIN}(?<plain>.*?)${\STOP} | [`](?<code>[^`]*)[`] | ${\CODE}(?<code>.*?)${\STOP} | (?<bold>\*\*)
    | (?<plain>.[^${\PLAIN}${\CODE}`*]*))/xs;

# Bold is ended by the end of the text at the latest.
sub text {
    my ($text, $html, $bold) = ($_[0], '', 0);
    while ($text =~ /$TOKEN/g) {
        if (defined $+{plain}) { $html .= escaped($+{plain}) }
        elsif (defined $+{code}) { $html .= '<code>' . escaped($+{code}) . '</code>' }
        else { $html .= ($bold = !$bold) ? '<strong>' : '</strong>' }
    }
    return $html . ($bold ? '</strong>' : '');
}

# A name that only this page knows, for whatever has one in the report.
sub id_of { my ($page, $name) = @_; return $page->{ids}{$name} //= 'n' . keys %{ $page->{ids} } }

sub cell {
    my ($page, $tag, $cell) = @_;
    my $of = ref $cell ? $cell : { text => $cell };
    my $html = text($of->{text});
    $html = '<a href="#' . id_of($page, $of->{to}) . "\">$html</a>" if defined $of->{to};
    my $id = defined $of->{name} && !$page->{named}{ $of->{name} }++ ? ' id="' . id_of($page, $of->{name}) . '"' : '';
    return "<$tag$id>$html</" . ($tag =~ /(\w+)/)[0] . '>';
}

sub table {
    my ($page, $block) = @_;
    my $names = join '', map { cell($page, 'th scope="col"', $_) } @{ $block->{names} };
    my @rows = map { my ($first, @rest) = @$_;
        '<tr>' . cell($page, 'th scope="row"', $first) . join('', map { cell($page, 'td', $_) } @rest) . '</tr>' } @{ $block->{rows} };
    return join "\n", '<div class="wide"><table>', "<thead><tr>$names</tr></thead>", '<tbody>', @rows, '</tbody>', '</table></div>';
}

# gnuplot's picture without what only a file of its own has, and with names that no other picture has.
sub picture {
    my ($page, $block) = @_;
    my ($file, $label) = ($block->{file}, text($block->{text}));
    my $svg = $page->{pictures}{$file} =~ s/\A.*?(?=<svg\b)//sr =~ s/<title>.*?<\/title>|<desc>.*?<\/desc>//gsr;
    $svg =~ s/(\bid=["']|\bhref=["']#|\burl\(#)/$1$file-/g;
    $svg =~ s/<rect [^>]*fill="#ffffff"\/>//; # the page's own background
    $svg =~ s/<svg\b/<svg role="img" aria-label="$label"/;
    return "<figure>\n$svg</figure>";
}

my %WRITE = (
    heading => sub {
        my ($page, $block) = @_;
        my ($level, $html) = ($block->{level}, text($block->{text}));
        return "<h$level>$html</h$level>" if $level != 2;
        push @{ $page->{contents} }, [my $id = id_of($page, $block), $html];
        return "<h2 id=\"$id\">$html</h2>";
    },
    paragraph => sub { '<p>' . text($_[1]{text}) . '</p>' },
    item => sub { '<li>' . text($_[1]{text}) . '</li>' },
    picture => \&picture,
    table => \&table,
    fold => sub {
        my ($page, $block) = @_;
        my $summary = '<summary>' . text($block->{text}) . '</summary>';
        return join "\n", '<details>', $summary, blocks($page, @{ $block->{blocks} }), '</details>';
    },
);

# Items that follow each other are one list.
sub blocks {
    my ($page, @blocks) = @_;
    my @lines;
    for my $i (0 .. $#blocks) {
        my ($before, $kind, $after) = map { $_ >= 0 && $_ < @blocks ? $blocks[$_]{kind} : '' } $i - 1, $i, $i + 1;
        push @lines, '<ul>' if $kind eq 'item' && $before ne 'item';
        push @lines, $WRITE{$kind}->($page, $blocks[$i]);
        push @lines, '</ul>' if $kind eq 'item' && $after ne 'item';
    }
    return @lines;
}

# Only this script runs, and nothing is loaded, whatever else should ever stand in the page.
sub policy {
    my ($script) = @_;
    return "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" . sha256_base64($script) . "='; base-uri 'none'; "
        . "form-action 'none'";
}

# The page of these blocks, of which the first is its title. $pictures has the text of each picture's SVG by its file.
sub html {
    my ($pictures, $title, @blocks) = @_;
    my $page = { pictures => $pictures, ids => {}, named => {}, contents => [] };
    my ($name, $style, $script) = (text($title->{text}), part('page.css'), part('page.js'));
    my @body = blocks($page, @blocks);
    my @contents = map { "<li><a href=\"#$_->[0]\">$_->[1]</a></li>" } @{ $page->{contents} };
    return join "\n", '<!DOCTYPE html>', '<html xmlns="http://www.w3.org/1999/xhtml" lang="en">', '<head>', '<meta charset="utf-8"/>',
        '<meta http-equiv="Content-Security-Policy" content="' . policy($script) . '"/>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>', "<title>$name</title>", "<style>\n$style</style>",
        '</head>', '<body>', "<h1>$name</h1>", '<nav>', '<ul>', @contents, '</ul>', '</nav>', @body, "<script>$script</script>", '</body>',
        "</html>\n";
}

1;
