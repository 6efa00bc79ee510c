# Text of a log in Markdown: shown as it is, whatever a guest has made of it. Knows nothing of reports.
package Report::Markdown;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(plain code);

# One line of printable ASCII.
sub line { return ($_[0] // '') =~ s/\s+/ /gar =~ s/[^\x20-\x7e]/?/gr }

# As text, also in a table: what could be mark-up or HTML is escaped.
sub plain { return line($_[0]) =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr =~ s/([\\`*\[\]|#~])/\\$1/gr }

# As code. A fence longer than any in the text; `|' would end a table's cell, but none of these stands in one.
sub code {
    my $text = line($_[0]);
    return '(not told)' unless length $text;
    my ($longest) = sort { length $b <=> length $a } $text =~ /(`+)/g, '';
    my $fence = '`' x (1 + length $longest);
    my $space = $text =~ /^`|`$/ ? ' ' : '';
    return "$fence$space$text$space$fence";
}

1;
