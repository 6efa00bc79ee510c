# Which objects need each other in a circle, by their symbols: what no reading of includes shows.
package Knots;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(knots needs);

# [object that needs, object that defines, symbol] for each symbol.
sub needs {
    my (@objects) = @_;
    my (%definer, @wanted);
    open my $nm, '-|', 'nm', '-A', '-g', @objects or die "nm: $!";
    for (<$nm>) {
        my ($object, $type, $symbol) = /^([^:]+):[0-9a-f ]* ([A-Za-z]) (\S+)$/ or next;
        if ($type eq 'U') { push @wanted, [$object, $symbol] }
        else              { $definer{$symbol} = $object }
    }
    close $nm or die "nm failed\n";
    return map { my ($object, $symbol) = @$_; $definer{$symbol} ? [$object, $definer{$symbol}, $symbol] : () } @wanted;
}

sub reached {
    my ($from, $arrows) = @_;
    my (%seen, @left);
    @left = ($from);
    while (defined(my $at = pop @left)) {
        push @left, grep { !$seen{$_}++ } keys %{ $arrows->{$at} // {} };
    }
    return \%seen;
}

# The knots that the objects form: each is a hash of {files}, sorted, and {arrows}, "a needs x, y of b", one for each pair.
sub knots {
    my (@objects) = @_;
    my (%arrows, @knots, %done);
    push @{ $arrows{ $_->[0] }{ $_->[1] } }, $_->[2] for grep { $_->[0] ne $_->[1] } needs(@objects);
    my %reached = map { $_ => reached($_, \%arrows) } @objects;
    for my $object (sort grep { $reached{$_}{$_} } @objects) {
        next if $done{$object};
        my @files = sort grep { $reached{$object}{$_} && $reached{$_}{$object} } @objects;
        $done{$_} = 1 for @files;
        my @inside;
        for my $from (@files) {
            push @inside, map { "$from needs " . join(', ', sort @{ $arrows{$from}{$_} }) . " of $_" }
                grep { $arrows{$from}{$_} } @files;
        }
        push @knots, { files => \@files, arrows => \@inside };
    }
    return @knots;
}

1;
