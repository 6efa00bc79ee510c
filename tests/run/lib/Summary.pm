# Reads the monitor's statistics: the table that Ctrl-A s and the end of a guest print, as many as there are in a text.
package Summary;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(summary_tables summary_difference);

# Each table as {counter => value, reasons => {reason => count}, cycles => {reason => cycles}}.
sub summary_tables {
    my ($text) = @_;
    my @tables;
    my $row = qr/    \w+ +\d+ +\d+ +\d+ 2\^\d+ [-.#1-9]+\n/;
    while ($text =~ /^  mmu=\w+ vpid=\w+\n((?:  \w+ +\d+[^\n]*\n)+)  exits by reason: [^\n]*\n(?:  \([^\n]*\n)?((?:$row)*)/mg) {
        my ($counters, $reasons) = ($1, $2);
        push @tables, {
            $counters =~ /^  (\w+) +(\d+)/mg,
            reasons => { $reasons =~ /^    (\w+) +(\d+)/mg },
            cycles => { $reasons =~ /^    (\w+) +\d+ +(\d+)/mg },
        };
    }
    return @tables;
}

# What happened between two tables: exits by reason, without those that are zero, and milliseconds.
sub summary_difference {
    my ($before, $after) = @_;
    my %reasons = map { $_ => $after->{reasons}{$_} - ($before->{reasons}{$_} // 0) } keys %{ $after->{reasons} };
    delete @reasons{ grep { !$reasons{$_} } keys %reasons };
    return { reasons => \%reasons, milliseconds => $after->{milliseconds} - $before->{milliseconds} };
}

1;
