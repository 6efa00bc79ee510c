# Three forms of a picture as a program for gnuplot, and running it: `bars`, a group of bars for each row, and `panels`, a row of
# bars in pieces for each of several panels, both horizontal, so that names are read without turning the head; and `lines`, over an
# axis of sizes. Knows nothing of monitors (Plot.pm).
package Report::Gnuplot;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max min sum0);
use POSIX 'ceil';
use Report::Statistics 'grouped';
our @EXPORT_OK = qw(bars panels lines draw colour);

# Told apart by the colour-blind too (Okabe and Ito), grey for the rest.
my @COLOURS = ('#0072B2', '#56B4E9', '#009E73', '#E69F00', '#D55E00', '#CC79A7', '#F0E442', '#555555');
sub colour { return $COLOURS[$_[0] % @COLOURS] }

# In single quotes gnuplot takes all as it is; in double quotes it would run what stands in backquotes as a command.
sub quoted { return "'" . ($_[0] =~ s/[^\x20-\x7e]/?/gr =~ s/'/''/gr) . "'" }

# In a block of data quotes are double, and its lines are not commands.
sub quoted_datum { return '"' . ($_[0] =~ s/[^\w.,<>+-]/?/gar) . '"' }

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
    my @steps = $decades < 0.4 ? (1, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
        : $decades < 1 ? (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8) : $decades < 3 ? (1, 2, 5) : (1);
    my $skip = $decades > 4 ? 2 : 1;
    my @tics = map { my $d = $_; map { $_ * 10**$d } @steps } grep { $_ % $skip == 0 } -4 .. 12;
    return 'set xtics (' . join(', ', map { quoted(grouped($_)) . " $_" }
            grep { $_ >= $low * 0.999 && $_ <= $high * 1.001 } map { 0 + sprintf '%.6g', $_ } @tics) . ')';
}

my @COMMON = (
    'set border 1 linecolor rgb "#888888"', 'set tics nomirror textcolor rgb "black"', 'set grid xtics linecolor rgb "#d0d0d0"',
    'set style fill solid 1.0 noborder');

# The axis of `bars`: logarithmic if the values lie far apart and none is 0.
sub bars_axis {
    my ($picture, @values) = @_;
    my ($low, $high) = (min(@values, $picture->{from}), max(@values, $picture->{from}));
    return ("set xrange [$picture->{from}:" . ($high * 1.05 || 1) . ']') if $picture->{from} == 0;
    my $room = max(1.02, ($high / $low)**0.03);
    my $logarithmic = $high / $low > 3 ? 'set logscale x' : 'unset logscale x';
    return ($logarithmic, 'set xrange [' . $low / $room . ':' . $high * $room . ']', log_tics($low / $room, $high * $room));
}

# {title, axis, from (where bars begin), rows => [names],
# groups => [{name, colour, of => {row => [value, lowest, highest]}}]}
sub bars {
    my ($picture) = @_;
    my ($rows, $groups) = @$picture{qw(rows groups)};
    my @boxes = map { [bars_boxes($picture, $_)] } 0 .. $#$groups;
    my @with = grep { @{ $boxes[$_] } } 0 .. $#$groups;
    my @values = map { @$_[0, 6, 7] } map { @$_ } @boxes;
    my $from = "set arrow 1 from $picture->{from}, graph 0 to $picture->{from}, graph 1 nohead linecolor rgb \"#444444\"";
    return {
        width => 980, height => 110 + @$rows * (8 + 5 * @$groups),
        program => [
            @COMMON, (map { block("g$_", @{ $boxes[$_] }) } @with), rows_named(@$rows), bars_axis($picture, @values),
            'set title ' . quoted($picture->{title}), 'set xlabel ' . quoted($picture->{axis}), $from,
            'set key outside right top vertical Left reverse samplen 1',
            'plot ' . join(", \\\n  ", map { bars_plot($groups->[$_], $_) } @with)],
    };
}

# The bars of one group: what gnuplot's boxxyerror takes, then lowest and highest.
sub bars_boxes {
    my ($picture, $g) = @_;
    my ($rows, $groups) = @$picture{qw(rows groups)};
    my @boxes;
    for my $r (grep { $groups->[$g]{of}{ $rows->[$_] } } 0 .. $#$rows) {
        my ($value, @range) = @{ $groups->[$g]{of}{ $rows->[$r] } };
        my ($top, $bottom) = map { $r - 0.42 + 0.84 * $_ / @$groups } $g, $g + 0.85;
        my ($left, $right) = $value < $picture->{from} ? ($value, $picture->{from}) : ($picture->{from}, $value);
        push @boxes, [$value, ($top + $bottom) / 2, $left, $right, $top, $bottom, @range];
    }
    return @boxes;
}

sub bars_plot {
    my ($group, $g) = @_;
    return (
        "\$g$g using 1:2:3:4:5:6 with boxxyerror linecolor rgb \"$group->{colour}\" title " . quoted($group->{name}),
        "\$g$g using 1:2:7:8 with xerrorbars pointtype 0 linecolor rgb \"#222222\" notitle");
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
        push @totals, [$total > $picture->{low} ? $total : $picture->{low}, $r, quoted_datum($picture->{show}->($total))] if @parts;
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
    my $box = '$p%dk%d using 1:2:3:4:5:6 with boxxyerror linecolor rgb "%s" notitle';
    my @plots = map { sprintf $box, $p, $_, $picture->{kinds}[$_][1] } @kinds;
    push @plots, "\$t$p using 1:2:3 with labels left offset 0.4,0 font \",8\" notitle" if @$totals;
    push @plots, '-1 notitle' unless @plots; # an empty panel
    return (
        (map { block("p${p}k$_", @{ $pieces->[$_] }) } @kinds), block("t$p", @$totals),
        'set title ' . quoted($picture->{panels}[$p]{name}) . ' offset 0,-0.6', 'plot ' . join(", \\\n  ", @plots));
}

# Where the panels lie, in pixels: four in a line at most.
use constant { ACROSS => 4, PANEL => 235, GAP => 14, BETWEEN => 58, LINE => 18, LETTER => 7.5 };
use constant LEGEND => 1000; # the first number of its objects; the bands behind rows have those before

# Squares of colour with names, in lines of this width in pixels: [x, y of the line, name, colour], and how many lines.
sub legend_places {
    my ($width, @kinds) = @_;
    my ($x, $line, @places) = (10, 0);
    for (@kinds) {
        my ($name, $colour) = @$_;
        my $needs = 30 + LETTER * length $name;
        ($x, $line) = (10, $line + 1) if $x + $needs > $width && $x > 10;
        push @places, [$x, $line, $name, $colour];
        $x += $needs;
    }
    return ($line + 1, @places);
}

# The title and, below it, the legend.
sub head {
    my ($picture, $width, $height, @places) = @_;
    my $at = sub { my ($x, $y) = @_; return sprintf 'screen %.5f, screen %.5f', $x / $width, 1 - $y / $height };
    my @said = ('set label ' . quoted("$picture->{title}: $picture->{axis}") . ' at ' . $at->(10, 14));
    for my $i (0 .. $#places) {
        my ($x, $line, $name, $colour) = @{ $places[$i] };
        my $y = 34 + LINE * $line;
        my $square = 'from ' . $at->($x, $y + 5) . ' to ' . $at->($x + 11, $y - 5);
        push @said, 'set label ' . quoted($name) . ' at ' . $at->($x + 16, $y),
            'set object ' . ($i + LEGEND) . " rectangle $square fillcolor rgb \"$colour\" fillstyle solid noborder";
    }
    return @said;
}

# They are drawn once, not with each panel.
sub head_off {
    my ($count) = @_;
    return ('unset label', map { 'unset object ' . ($_ + LEGEND) } 0 .. $count - 1);
}

sub panel_place {
    my ($p, $on) = @_;
    my ($line, $column) = (int $p / ACROSS, $p % ACROSS);
    my ($left, $top) = ($on->{left} + $column * PANEL, $on->{top} + $line * ($on->{inner} + BETWEEN));
    my @sides = (
        [lmargin => $left / $on->{width}], [rmargin => ($left + PANEL - GAP) / $on->{width}],
        [tmargin => 1 - $top / $on->{height}], [bmargin => 1 - ($top + $on->{inner}) / $on->{height}]);
    return map { sprintf 'set %s at screen %.5f', @$_ } @sides;
}

# The picture's size, and where in it the first panel is and how high all are; then the legend's places.
sub panels_layout {
    my ($picture) = @_;
    my ($rows, $count) = ($picture->{rows}, scalar @{ $picture->{panels} });
    my %on = (left => 20 + LETTER * max(map { length } @$rows), inner => 16 * @$rows);
    $on{width} = max(760, $on{left} + PANEL * min(ACROSS, $count) + 10);
    my ($lines, @places) = legend_places($on{width}, @{ $picture->{kinds} });
    $on{top} = 56 + LINE * $lines;
    $on{height} = $on{top} + ceil($count / ACROSS) * ($on{inner} + BETWEEN) - 24;
    return (\%on, @places);
}

# {title, axis, low (where bars begin), show (a total as text), rows => [names], kinds => [[name, colour]],
# panels => [{name, of => {row => [a number for each kind]}}]}
sub panels {
    my ($picture) = @_;
    my ($low, @panels) = ($picture->{low}, @{ $picture->{panels} });
    my ($on, @places) = panels_layout($picture);
    my $high = max($low * 10, map { sum0 @$_ } map { values %{ $_->{of} } } @panels);
    my $range = "set xrange [$low:" . $high * ($high / $low)**0.4 . ']'; # room for the number beside a bar
    my @drawn;
    for my $p (0 .. $#panels) {
        push @drawn, panel_place($p, $on), panel_tics($picture, $p), panel_plot($picture, $p);
        push @drawn, head_off(scalar @places) unless $p;
    }
    return {
        width => $on->{width}, height => $on->{height},
        program => [
            @COMMON, 'set multiplot', 'unset key', rows_named(@{ $picture->{rows} }), 'set logscale x', $range,
            log_tics($low, $high), head($picture, @$on{qw(width height)}, @places), @drawn, 'unset multiplot'],
    };
}

# Names of rows only at the left of a line of panels.
sub panel_tics {
    my ($picture, $p) = @_;
    my @names = @{ $picture->{rows} };
    return 'set ytics (' . join(', ', map { quoted($p % ACROSS ? '' : $names[$_]) . " $_" } 0 .. $#names) . ') scale 0';
}

# {title, x, y (the axes), size (a number of the x axis as text),
# lines => [{name, colour, dash, points => [[x, y, lowest, highest]]}]}. The x axis is logarithmic, marked by powers of four.
sub lines {
    my ($picture) = @_;
    my @lines = @{ $picture->{lines} };
    my @points = map { @{ $_->{points} } } @lines;
    my ($low, $high) = (min(map { $_->[0] } @points), max(map { $_->[0] } @points));
    my @tics = grep { $_ >= $low && $_ <= $high } map { 4**$_ } 6 .. 24;
    my $tics = join ', ', map { quoted($picture->{size}->($_)) . " $_" } @tics ? @tics : $low;
    my @plots = map {
        my ($line, $style) = ($lines[$_], "linecolor rgb \"$lines[$_]{colour}\"");
        ("\$l$_ using 1:2 with lines $style linewidth 1.5 dashtype $line->{dash} title " . quoted($line->{name}),
            "\$l$_ using 1:2:3:4 with yerrorbars $style pointtype 0 notitle")
    } 0 .. $#lines;
    return {
        width => 980, height => 480,
        program => [
            @COMMON, (map { block("l$_", @{ $lines[$_]{points} }) } 0 .. $#lines),
            'set logscale x', 'set xrange [' . $low / 1.2 . ':' . $high * 1.2 . ']', "set xtics ($tics)",
            'set yrange [0:' . (1.1 * max(map { $_->[3] } @points) || 1) . ']', 'set border 3',
            'set grid xtics ytics linecolor rgb "#d0d0d0"',
            'set title ' . quoted($picture->{title}), 'set xlabel ' . quoted($picture->{x}), 'set ylabel ' . quoted($picture->{y}),
            'set key outside right top vertical Left reverse samplen 3', 'plot ' . join(", \\\n  ", @plots)],
    };
}

# Writes a picture as FILE.svg and FILE.png.
sub draw {
    my ($picture, $file) = @_;
    my $size = "size $picture->{width},$picture->{height}";
    my %terminal = (svg => "svg $size noenhanced font 'DejaVu Sans,11' background '#ffffff'",
        png => "pngcairo $size noenhanced font 'DejaVu Sans,9'");
    for my $kind (sort keys %terminal) {
        open my $gnuplot, '|-', 'gnuplot' or die "report: gnuplot: $! (`iso/setup compare` installs it)\n";
        my $output = 'set output ' . quoted("$file.$kind");
        print $gnuplot map { "$_\n" } "set terminal $terminal{$kind}", $output, @{ $picture->{program} };
        close $gnuplot or die "report: gnuplot failed for $file.$kind\n";
    }
}

1;
