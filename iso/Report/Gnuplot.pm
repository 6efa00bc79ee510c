# Two forms of a picture as a program for gnuplot, and running it: `bars`, a group of bars for each row, and `panels`, a row of
# bars in pieces for each of several panels. Both are horizontal, so that names are read without turning the head. Knows nothing
# of monitors (Plot.pm).
package Report::Gnuplot;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max min sum0);
use POSIX 'ceil';
our @EXPORT_OK = qw(bars panels draw colour);

# Told apart by the colour-blind too (Okabe and Ito), grey for the rest.
my @COLOURS = ('#0072B2', '#56B4E9', '#009E73', '#E69F00', '#D55E00', '#CC79A7', '#F0E442', '#555555');
sub colour { return $COLOURS[$_[0] % @COLOURS] }

sub quoted { return '"' . ($_[0] =~ s/(["\\])/\\$1/gr) . '"' }

# A block of data that the program holds itself.
sub block { my ($name, @rows) = @_; return ("\$$name << EOD", (map { join ' ', @$_ } @rows), 'EOD') }

# Names at the left, one for each row, the first at the top, with a grey band behind every other one.
sub rows_named {
    my (@names) = @_;
    my $tics = join ', ', map { quoted($names[$_]) . " $_" } 0 .. $#names;
    my @bands = map { sprintf 'set object %d rectangle from graph 0, first %.1f to graph 1, first %.1f fillcolor rgb "#f2f2f2" '
        . 'fillstyle solid noborder behind', $_ + 1, $_ - 0.5, $_ + 0.5 } grep { $_ % 2 } 0 .. $#names;
    return ("set yrange [@{[@names - 0.5]}:-0.5]", "set ytics ($tics) scale 0", @bands);
}

# Marks of a logarithmic axis that a person likes to read: decades, with more of them between if there are few.
sub log_tics {
    my ($low, $high) = @_;
    my $decades = log($high / $low) / log 10;
    my @steps = $decades < 1 ? (1, 1.1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9) : $decades < 3 ? (1, 2, 5) : (1);
    my $skip = $decades > 4 ? 2 : 1;
    my @tics = map { my $d = $_; map { $_ * 10**$d } @steps } grep { $_ % $skip == 0 } -4 .. 12;
    return 'set xtics (' . join(', ', map { quoted($_ >= 10000 ? sprintf '%.0e', $_ : $_) . " $_" }
            grep { $_ >= $low * 0.999 && $_ <= $high * 1.001 } map { 0 + sprintf '%.6g', $_ } @tics) . ')';
}

my @COMMON = (
    'set border 1 linecolor rgb "#888888"', 'set xtics nomirror', 'set grid xtics linecolor rgb "#cccccc"',
    'set style fill solid 1.0 noborder', 'set tics nomirror');

# The axis of `bars`: logarithmic if the values lie far apart and none is 0.
sub bars_axis {
    my ($picture, @values) = @_;
    my ($low, $high) = (min(@values, $picture->{from}), max(@values, $picture->{from}));
    return ("set xrange [$picture->{from}:" . ($high * 1.05 || 1) . ']') if $picture->{from} == 0;
    my $room = max(1.02, ($high / $low)**0.03);
    my $logarithmic = $high / $low > 3 ? 'set logscale x' : 'unset logscale x';
    return ($logarithmic, 'set xrange [' . $low / $room . ':' . $high * $room . ']', log_tics($low / $room, $high * $room));
}

# {title, axis, from (where bars begin), rows => [names], groups => [{name, of => {row => [value, lowest, highest]}}]}
sub bars {
    my ($picture) = @_;
    my ($rows, $groups) = @$picture{qw(rows groups)};
    my (@blocks, @plots, @values);
    for my $g (0 .. $#$groups) {
        my @boxes;
        for my $r (grep { $groups->[$g]{of}{ $rows->[$_] } } 0 .. $#$rows) {
            my ($value, @range) = @{ $groups->[$g]{of}{ $rows->[$r] } };
            my ($top, $bottom) = map { $r - 0.42 + 0.84 * $_ / @$groups } $g, $g + 0.85;
            push @boxes, [$value, ($top + $bottom) / 2, min($value, $picture->{from}), max($value, $picture->{from}), $top, $bottom, @range];
            push @values, $value, @range;
        }
        next unless @boxes;
        push @blocks, block("g$g", @boxes);
        push @plots, sprintf('$g%d using 1:2:3:4:5:6 with boxxyerror linecolor rgb "%s" title %s', $g, colour($g),
            quoted($groups->[$g]{name})), "\$g$g using 1:2:7:8 with xerrorbars pointtype 7 pointsize 0.25 linecolor rgb \"#222222\" notitle";
    }
    my @axis = bars_axis($picture, @values);
    return {
        width => 980, height => 110 + @$rows * (10 + 6 * @$groups),
        program => [
            @COMMON, @blocks, rows_named(@$rows), @axis, 'set title ' . quoted($picture->{title}), 'set xlabel ' . quoted($picture->{axis}),
            'set key outside right top vertical Left reverse samplen 1',
            $picture->{from} ? "set arrow 1 from $picture->{from}, graph 0 to $picture->{from}, graph 1 nohead linecolor rgb \"#444444\"" : (),
            'plot ' . join(", \\\n  ", @plots)],
    };
}

# One panel's bars: a block for each kind of piece, and one of the totals. On the logarithmic axis a bar's length shows the total,
# and its pieces divide that length as they divide the total.
sub panel_blocks {
    my ($picture, $p) = @_;
    my $of = $picture->{panels}[$p]{of};
    my (@pieces, @totals);
    for my $r (0 .. $#{ $picture->{rows} }) {
        my @parts = map { max($_, 0) } @{ $of->{ $picture->{rows}[$r] } // [] };
        my $total = sum0 @parts;
        push @totals, [$total > $picture->{low} ? $total : $picture->{low}, $r, quoted($picture->{show}->($total))] if @parts;
        next unless $total > $picture->{low};
        my ($before, $stretch) = (0, $total / $picture->{low});
        for my $k (grep { $parts[$_] } 0 .. $#parts) {
            my ($from, $to) = map { $picture->{low} * $stretch**($_ / $total) } $before, $before + $parts[$k];
            push @{ $pieces[$k] }, [$from, $r, $from, $to, $r - 0.36, $r + 0.36];
            $before += $parts[$k];
        }
    }
    return (\@pieces, \@totals);
}

sub panel_plot {
    my ($picture, $p) = @_;
    my ($pieces, $totals) = panel_blocks($picture, $p);
    my @kinds = grep { $pieces->[$_] } 0 .. $#{ $picture->{kinds} };
    my @plots = map { sprintf '$p%dk%d using 1:2:3:4:5:6 with boxxyerror linecolor rgb "%s" notitle', $p, $_, $picture->{kinds}[$_][1] }
        @kinds;
    push @plots, "\$t$p using 1:2:3 with labels left offset 0.4,0 font \",8\" notitle" if @$totals;
    push @plots, '-1 notitle' unless @plots;
    push @plots, map { sprintf 'keyentry with boxes fillcolor rgb "%s" title %s', $_->[1], quoted($_->[0]) } @{ $picture->{kinds} } if !$p;
    return (
        (map { block("p${p}k$_", @{ $pieces->[$_] }) } @kinds), block("t$p", @$totals),
        'set title ' . quoted($picture->{panels}[$p]{name}) . ' offset 0,-0.6', $p ? 'unset key' : (), 'plot ' . join(", \\\n  ", @plots));
}

# Where the panels lie, in pixels: four in a line at most.
use constant { ACROSS => 4, LEFT => 95, PANEL => 235, GAP => 14, HEAD => 84, BETWEEN => 62 };

sub panel_place {
    my ($p, $width, $height, $inner) = @_;
    my ($line, $column) = (int $p / ACROSS, $p % ACROSS);
    my ($left, $top) = (LEFT + $column * PANEL, HEAD + $line * ($inner + BETWEEN));
    my @sides = (
        [lmargin => $left / $width], [rmargin => ($left + PANEL - GAP) / $width],
        [tmargin => 1 - $top / $height], [bmargin => 1 - ($top + $inner) / $height]);
    return ((map { sprintf 'set %s at screen %.5f', @$_ } @sides), $column ? 'set format y ""' : 'set format y');
}

# {title, axis, low (where bars begin), show (a total as text), rows => [names], kinds => [[name, colour]],
# panels => [{name, of => {row => [a number for each kind]}}]}
sub panels {
    my ($picture) = @_;
    my @panels = @{ $picture->{panels} };
    my $inner = 16 * @{ $picture->{rows} };
    my $width = LEFT + PANEL * min(ACROSS, scalar @panels) + 10;
    $width = max($width, 700);
    my $height = HEAD + ceil(@panels / ACROSS) * ($inner + BETWEEN);
    my $high = max($picture->{low} * 10, map { sum0 @$_ } map { values %{ $_->{of} } } @panels);
    my @names = rows_named(@{ $picture->{rows} });
    return {
        width => $width, height => $height,
        program => [
            @COMMON, 'set multiplot', @names, 'set logscale x', "set xrange [$picture->{low}:" . $high * ($high / $picture->{low})**0.4 . ']',
            log_tics($picture->{low}, $high), 'set label 1 ' . quoted("$picture->{title}: $picture->{axis}") . ' at screen 0.01, screen '
                . (1 - 14 / $height), 'set key at screen 0.01, screen ' . (1 - 24 / $height) . ' left top horizontal Left reverse samplen 1',
            (map { (panel_place($_, $width, $height, $inner), panel_tics($picture, $_), panel_plot($picture, $_), 'unset label 1') } 0 .. $#panels),
            'unset multiplot'],
    };
}

# Names of rows only at the left of a line of panels.
sub panel_tics {
    my ($picture, $p) = @_;
    my @names = @{ $picture->{rows} };
    return 'set ytics (' . join(', ', map { quoted($p % ACROSS ? '' : $names[$_]) . " $_" } 0 .. $#names) . ') scale 0';
}

# Writes a picture as FILE.svg and FILE.png.
sub draw {
    my ($picture, $file) = @_;
    my $size = "size $picture->{width},$picture->{height}";
    my %terminal = (svg => "svg $size noenhanced font 'DejaVu Sans,11' background '#ffffff'",
        png => "pngcairo $size noenhanced font 'DejaVu Sans,9'");
    for my $kind (sort keys %terminal) {
        open my $gnuplot, '|-', 'gnuplot' or die "report: gnuplot: $! (`iso/setup compare` installs it)\n";
        print $gnuplot map { "$_\n" } "set terminal $terminal{$kind}", 'set output ' . quoted("$file.$kind"), @{ $picture->{program} };
        close $gnuplot or die "report: gnuplot failed for $file.$kind\n";
    }
}

1;
