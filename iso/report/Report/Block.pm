# What a report is made of, in no form yet: blocks of text, tables and pictures. Markdown.pm and Html.pm give them one.
#
# A text is a sentence of ours, with `code` and **bold** as in Markdown. What a log says stands in it only by plain() and code(),
# between marks that are no printable characters, of which alone a log's texts are made: so nothing in a log is taken for mark-up,
# and each form escapes it in its own way.
package Report::Block;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(heading paragraph item table picture fold cell plain code PLAIN CODE STOP);

use constant { PLAIN => "\x01", CODE => "\x02", STOP => "\x03" };

# One line of printable ASCII.
sub line { return ($_[0] // '') =~ s/\s+/ /gar =~ s/[^\x20-\x7e]/?/gr }

# A log's text, as it is.
sub plain { return PLAIN . line($_[0]) . STOP }

sub code {
    my $text = line($_[0]);
    return length $text ? CODE . $text . STOP : '(not told)';
}

sub heading { my ($level, $text) = @_; return { kind => 'heading', level => $level, text => $text } }
sub paragraph { return { kind => 'paragraph', text => join "\n", @_ } }
sub item { return { kind => 'item', text => $_[0] } }
sub picture { my ($file, $text) = @_; return { kind => 'picture', file => $file, text => $text } }

# The first row names the columns; the first column names the rows. A cell is a text or what cell() makes.
sub table { my ($names, @rows) = @_; return { kind => 'table', names => $names, rows => \@rows } }

# A cell's text, with one of these: `to`, the name of the row in a fold() that it is made of, or `name`, by which it is such a row.
sub cell { my ($text, %more) = @_; return { text => $text, %more } }

# What only a form has that can hide it until it is asked for.
sub fold { my ($text, @blocks) = @_; return { kind => 'fold', text => $text, blocks => \@blocks } }

1;
