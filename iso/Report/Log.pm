# Reads serial logs of comparison runs: finds the lines of JSON among everything else, and sorts them into sections, one for
# each time that bench ran: natively, or under one configuration. A log may be cut or damaged anywhere, so no line is relied
# on: what is missing stays undefined. Which sections belong together is for Rounds.pm.
package Report::Log;
use strict;
use warnings;
use Exporter 'import';
use JSON::PP;
use Scalar::Util 'looks_like_number';
our @EXPORT_OK = qw(log_read);

my $JSON = JSON::PP->new;
use constant NATIVE => 'native';

sub is_named { return ref $_[0] eq 'HASH' && grep { defined && !ref } @{ $_[0] }{qw(penumbra bench)} }

# The objects that a line holds, 0 for one that is broken. A machine that is reset in the middle of a line leaves two in it.
sub line_read {
    my ($line) = @_;
    return map { my $object = eval { ($JSON->decode_prefix($_))[0] }; is_named($object) ? $object : 0 }
        grep { /^\{"/ } split /(?=\{"(?:penumbra|bench)":)/, $line;
}

# The serial line's text as {machines, sections, broken, stray}. A section is {configuration, begin, guest, workloads,
# guest_end, summary, refused}: objects of the log, workloads a list of them.
sub log_read {
    my (@texts) = @_;
    my $log = { machines => [], sections => [], broken => 0, stray => 0 };
    for my $text (@texts) {
        my $open; # the section that lines belong to
        for my $object (map { line_read($_) } split /[\r\n]+/, $text) {
            if ($object) { $open = line_take($log, $open, $object) }
            else { $log->{broken}++ }
        }
    }
    return $log;
}

sub line_take {
    my ($log, $open, $object) = @_;
    return monitor_line($log, $open, $object) if defined $object->{penumbra};
    return guest_line($log, $open, $object);
}

sub section_new {
    my ($log, %known) = @_;
    push @{ $log->{sections} }, { workloads => [], %known };
    return $log->{sections}[-1];
}

# Each line of the monitor, by its name: takes the log, the open section and the line, gives the section open from then on.
my %MONITOR = (
    machine => sub { push @{ $_[0]{machines} }, $_[2]; return undef },
    begin => sub { return section_new($_[0], configuration => $_[2]{configuration}, begin => $_[2]) },
    refused => sub { section_new($_[0], configuration => $_[2]{configuration}, refused => $_[2]{reason} // ''); return undef },
    summary => \&summary_take,
);

sub monitor_line {
    my ($log, $open, $line) = @_;
    my $take = $MONITOR{ $line->{penumbra} } // return $open;
    return $take->($log, $open, $line);
}

# The summary names its configuration itself: where a line "begin" was lost, the section gets its right name here.
sub summary_take {
    my ($log, $open, $line) = @_;
    $open = section_new($log) if !$open || ($open->{configuration} // '') eq NATIVE;
    delete $open->{begin} if defined $line->{configuration} && $line->{configuration} ne ($open->{configuration} // '');
    $open->{configuration} = $line->{configuration} // $open->{configuration};
    $open->{summary} = $line;
    return undef;
}

# bench in the monitor's guest belongs to the section that the monitor began. If that has one, or none was begun, the lines in
# between are lost, and only a summary can tell which configuration this is.
sub guest_begin {
    my ($log, $open, $line) = @_;
    $line->{command_line} =~ s/ *\bpenumbra\.round=\d+// if defined $line->{command_line}; # tells boots apart (compare)
    return section_new($log, configuration => NATIVE, guest => $line) if !length($line->{monitor} // '');
    $open = section_new($log) if !$open || $open->{guest};
    $open->{guest} = $line;
    return $open;
}

sub guest_line {
    my ($log, $open, $line) = @_;
    return guest_begin($log, $open, $line) if $line->{bench} eq 'begin';
    if (!$open) { $log->{stray}++ }
    elsif ($line->{bench} eq 'end') { $open->{guest_end} = $line }
    elsif (workload_valid($line)) { push @{ $open->{workloads} }, $line }
    else { $log->{broken}++ }
    return $open;
}

# Either an error, or cycles of at least one repetition and a number of iterations; counters that are there are numbers.
sub workload_valid {
    my ($line) = @_;
    return 1 if defined $line->{error};
    my ($cycles, @maps) = ($line->{cycles}, grep { defined } @$line{qw(counters gauges)});
    return 0 unless ref $cycles eq 'ARRAY' && @$cycles && !grep { !looks_like_number($_) } @$cycles;
    return 0 if grep { ref ne 'HASH' || grep({ !looks_like_number($_) } values %$_) } @maps;
    return looks_like_number($line->{iterations}) && $line->{iterations} > 0 && looks_like_number($line->{guest_faults} // 0);
}

1;
