# Median, spread, and which differences say something; and numbers and lists as a person reads them. Pure functions:
# knows nothing of logs or workloads.
package Report::Statistics;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max min);
our @EXPORT_OK = qw(median half_range differs best_of ratio_text count_text spread_text grouped listed);

sub median {
    my (@sorted) = sort { $a <=> $b } @_;
    return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}

sub half_range { return (max(@_) - min(@_)) / 2 }

# Two measurements {median, half_range}: is one apart from the other by at least the larger of their half ranges?
sub differs {
    my ($one, $other) = @_;
    my $difference = abs $one->{median} - $other->{median};
    return $difference > 0 && $difference >= max($one->{half_range}, $other->{half_range});
}

# The one of at least two measurements whose median is smallest and that differs from all others; undef if none is that.
sub best_of {
    my ($best, @others) = sort { $a->{median} <=> $b->{median} } @_;
    return @others && !grep({ !differs($best, $_) } @others) ? $best : undef;
}

# 1052341 as 1,052,341.
sub grouped {
    my ($text) = @_;
    1 while $text =~ s/^(-?\d+)(\d{3})/$1,$2/;
    return $text;
}

# Three digits that say something: 1.02, 37.4, 1,052.
sub ratio_text {
    my ($n) = @_;
    my $digits = abs $n < 9.995 ? 2 : abs $n < 99.95 ? 1 : 0;
    return grouped(sprintf "%.${digits}f", $n);
}

# The same for what is counted: 37 and not 37.0, and nothing that happened is shown as 0.
sub count_text {
    my ($n) = @_;
    return '<0.01' if $n > 0 && $n < 0.005;
    return ratio_text($n) =~ s/\.0+$//r;
}

# Per cent.
sub spread_text {
    my ($percent) = @_;
    return '<0.1%' if $percent > 0 && $percent < 0.05;
    return ($percent < 9.95 ? sprintf('%.1f', $percent) =~ s/\.0$//r : grouped(sprintf '%.0f', $percent)) . '%';
}

# a, b and c.
sub listed {
    my (@all) = @_;
    my $last = pop @all;
    return join ' and ', @all ? join ', ', @all : (), $last;
}

1;
