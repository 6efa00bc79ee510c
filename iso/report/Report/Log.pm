# Reads serial logs of comparison runs: finds the lines of JSON among everything else, and sorts them into sections, one for
# each time that bench ran: natively, or under one configuration. A log may be cut or damaged anywhere, so no line is relied
# on: what is missing stays undefined. Which sections belong together is for Rounds.pm.
#
# Guest and monitor share the serial line, and a guest may write what it likes. So of each boot:
# * What the monitor says has its word, which it tells before the first guest runs, and which a guest cannot know. Lines that
#   lack it are left out and counted. Only the monitor's lines make a section, and say of which configuration.
# * After a native run has begun, no line of a monitor is believed, nor the native run where one comes: that may be a guest's
#   under a monitor whose beginning the log lacks.
# * Only the monitor's last line, after which no guest runs, makes room for another boot in the same log.
package Report::Log;
use strict;
use warnings;
use Exporter 'import';
use JSON::PP;
our @EXPORT_OK = qw(log_read count_valid);
use Report::Kvm 'kvm_line';
use Report::Turns qw(sections_by_mode modes_of);

my $JSON = JSON::PP->new;
use constant NATIVE => 'native';
my $ANNOUNCED = quotemeta q(a line with this word is the monitor's); # hv/main.c

sub is_named { return ref $_[0] eq 'HASH' && grep { defined && !ref } @{ $_[0] }{qw(penumbra bench)} }

# The objects that a line holds, 0 for one that is broken. A machine that is reset in the middle of a line leaves two in it.
sub line_read {
    my ($line) = @_;
    return map { my $object = eval { ($JSON->decode_prefix($_))[0] }; is_named($object) ? $object : 0 }
        grep { /^\{"/ } split /(?=\{"(?:penumbra|bench)":)/, $line;
}

# The serial line's text as {boots, sections, refusals, broken, stray, turns, refused, mixed, late, empty}. A boot, of the monitor,
# is {word, machine}. A section is {boot, configuration, begin, guest, workloads, guest_end, summary, refused}: its boot and objects
# of the log, workloads a list of them. A refusal is what a monitor told of a machine that it would not run on, before there was a
# word. Then counts: lines that cannot be read, results of no section, lines that claim to be the monitor's; logs of which nothing
# could be used, that begin in the middle, or that have no line of monitor or bench.
sub log_read {
    my (@texts) = @_;
    my $log = { boots => [], sections => [], refusals => [],
        map { $_ => 0 } qw(broken stray turns refused mixed late empty) };
    for my $text (@texts) {
        my $at = { sections => [] }; # where in this text: {boot or native, open, pending, sections}
        for my $line (split /[\r\n]+/, $text) {
            if ($line =~ /^\{"kvm":/) {
                kvm_take($log, $at, $line);
                next;
            }
            boot_open($log, $at, $1) if !$at->{native} && !$at->{kvm} && $line =~ /^\[penumbra ([0-9a-f]+)\] $ANNOUNCED/;
            for my $object (line_read($line)) {
                $at->{any} = 1;
                if ($object) { line_take($log, $at, $object) }
                else { $log->{broken}++ }
            }
        }
        text_end($log, $at);
    }
    return $log;
}

# A boot of the monitor begins; a word that comes when there is one already is a guest's invention.
sub boot_open {
    my ($log, $at, $word) = @_;
    return if $at->{boot};
    $at->{boot} = { word => $word };
    push @{ $log->{boots} }, $at->{boot};
}

# A comparison says what is to come.
sub planned { my ($boot) = @_; return ($boot->{machine} // {})->{configurations} }

# What is still open at the end of a text, or of a boot. Only a run without compare= has no section of the monitor's making: what
# else is pending belongs to nobody.
sub boot_end {
    my ($log, $at) = @_;
    my $pending = $at->{pending};
    if ($pending && $at->{boot} && !planned($at->{boot}) && !$at->{boot}{late}) { push @{ $at->{sections} }, $pending }
    elsif ($pending) { $log->{stray} += @{ $pending->{workloads} } }
    delete @$at{qw(boot open pending outcome)};
}

sub text_end {
    my ($log, $at) = @_;
    boot_end($log, $at);
    $log->{empty}++ unless $at->{any};
    push @{ $log->{sections} }, map { sections_by_mode($_) } grep { !($at->{mixed} && $_->{native}) } @{ $at->{sections} };
    $log->{mixed}++ if $at->{mixed};
}

sub line_take {
    my ($log, $at, $object) = @_;
    if (!defined $object->{penumbra}) { guest_line($log, $at, $object) }
    elsif ($at->{kvm}) { $log->{refused}++ }
    elsif ($at->{native}) { $at->{mixed} = 1 }
    else { monitor_line($log, $at, $object) }
}

sub section_new {
    my ($at, %known) = @_;
    push @{ $at->{sections} }, { boot => $at->{boot}, workloads => [], %known };
    return $at->{sections}[-1];
}

# Each line of the monitor, by its name: takes where we are and the line.
my %MONITOR = (
    machine => sub { $_[0]{boot}{machine} //= $_[1] },
    begin => sub { section_open($_[0], section_new($_[0], configuration => $_[1]{configuration}, begin => $_[1])) },
    refused => sub {
        section_new($_[0], configuration => $_[1]{configuration}, refused => $_[1]{reason} // '');
        section_open($_[0], undef);
    },
    summary => \&summary_take,
    outcome => \&outcome_take,
    result => \&result_take,
);

# What QR codes hold: all rounds of a configuration put together by the monitor, and of each workload the lowest, the middle and
# the highest repetition. What says why exits and faults are as many is not among it. On a serial line there is no outcome.
sub outcome_take {
    my ($at, $line) = @_;
    my %end = $line->{refused} ? (refused => $line->{end} // '') : (begin => $line, summary => $line, guest_end => {});
    $at->{outcome} = section_new($at, of_codes => 1, pooled => $at->{boot}{machine}{rounds} // 1,
        configuration => $line->{configuration}, %end);
}

sub result_take {
    my ($at, $line) = @_;
    my $open = $at->{outcome};
    return unless $open && $open->{configuration} eq ($line->{configuration} // '');
    my %line = (bench => $line->{workload}, iterations => $line->{iterations}, repetitions => $line->{repetitions},
        cycles => [@$line{qw(lowest median highest)}], counters => { exits => $line->{exits} });
    %line = (bench => $line->{workload}, error => 'its guest says so') unless $line->{repetitions};
    push @{ $open->{workloads} }, \%line if workload_valid(\%line);
}

sub section_open { my ($at, $section) = @_; $at->{open} = $section; delete $at->{pending} }

# A line of the machine that runs guests under KVM. The last one names no configuration: after it there may be another boot.
sub kvm_take {
    my ($log, $at, $text) = @_;
    $at->{any} = 1;
    return $log->{refused}++ if $at->{boot} || $at->{native};
    my $line = eval { $JSON->decode($text) };
    return $log->{broken}++ unless ref $line eq 'HASH';
    my $told = kvm_line($line);
    $at->{kvm} = $told;
    return section_open($at, undef) unless $told;
    my $open = $at->{open};
    my $same = $open && $told->{summary} && $open->{configuration} eq $told->{configuration};
    if ($same) { $open->{summary} = $told->{summary} }
    else { $open = section_new($at, %$told) }
    section_open($at, $told->{begin} ? $open : undef);
}

# The first line that has a word tells it. If that is neither of the two that come before all guests, the beginning of the
# log is missing, and the word may be a guest's.
sub monitor_line {
    my ($log, $at, $line) = @_;
    my $word = $line->{word};
    return push @{ $log->{refusals} }, $line if !$at->{boot} && defined $line->{refused} && ($word // '') eq '';
    if (!$at->{boot} && defined $word && !ref $word && $word =~ /^[0-9a-f]{12}$/) {
        boot_open($log, $at, $word);
        $at->{boot}{late} = $line->{penumbra} ne 'machine';
        $log->{late} += $at->{boot}{late};
    }
    return $log->{refused}++ unless $at->{boot} && ($word // '') eq $at->{boot}{word};
    return $log->{broken}++ unless configuration_valid($line->{configuration} // 'none');
    my $take = $MONITOR{ $line->{penumbra} };
    $take->($at, $line) if $take;
    my $alone = $line->{penumbra} eq 'summary' && !defined $line->{configuration}; # a run without compare=
    boot_end($log, $at) if $alone || $line->{penumbra} eq 'end';
}

# The summary names its run and configuration itself: where a line "begin" was lost, the section gets its right name here. What
# came after a second beginning of bench is of this run then; else the guest only said that it began again.
sub summary_take {
    my ($at, $line) = @_;
    my ($open, $pending) = @$at{qw(open pending)};
    my $same = $open && ($open->{begin}{run} // '') eq ($line->{run} // '');
    if ($same && $pending) { push @{ $open->{workloads} }, @{ $pending->{workloads} } }
    elsif (!$same) {
        $open = section_new($at, $pending ? %$pending : (), configuration => $line->{configuration});
    }
    $open->{guest_end} //= $pending->{guest_end} if $pending;
    $open->{summary} = $line;
    section_open($at, undef);
}

# bench in the monitor's guest belongs to the section that the monitor began. If that has one, or none was begun, the lines in
# between may be lost: what follows waits for a summary, which tells what it is of.
sub guest_begin {
    my ($log, $at, $line) = @_;
    $line->{command_line} =~ s/ *\bpenumbra\.round=\d+// if defined $line->{command_line}; # tells boots apart (compare)
    return $at->{open}{guest} = $line if $at->{kvm};
    my $native = !length($line->{monitor} // '');
    return native_begin($log, $at, $line) if $native || $at->{native};
    if ($at->{open} && !$at->{open}{guest}) { $at->{open}{guest} = $line }
    else { $at->{pending} = { boot => $at->{boot}, guest => $line, workloads => [] } }
}

# Under a monitor there is none, whatever a guest says; nor is there a monitor above a native one.
sub native_begin {
    my ($log, $at, $line) = @_;
    return $log->{refused}++ if $at->{boot} || length($line->{monitor} // '');
    $at->{native} = 1;
    $at->{open} = section_new($at, native => 1, configuration => NATIVE, guest => $line);
}

sub guest_line {
    my ($log, $at, $line) = @_;
    return guest_begin($log, $at, $line) if $line->{bench} eq 'begin';
    my $open = $at->{pending} // $at->{open};
    if (!$open) { $log->{stray} += $line->{bench} ne 'end' }
    elsif ($line->{bench} eq 'end') { $open->{guest_end} = $line }
    elsif (defined $line->{mode} && !is_turn($open, $line->{mode})) { $log->{turns}++ } # no result of its configuration
    elsif (workload_valid($line)) { push @{ $open->{workloads} }, $line }
    else { $log->{broken}++ }
}

# What the monitor wants measured by turns in this run: a guest can tell results of no other mode.
sub is_turn {
    my ($section, $mode) = @_;
    return grep { $_->{mode} eq $mode } modes_of($section);
}

# Names go into tables, into pictures' programs and onto screens.
sub name_valid { return $_[0] =~ /^[\w.+@-]{1,63}\z/a }

# As a monitor prints them; where a log lacks its beginning, they may be a guest's.
sub configuration_valid { return $_[0] =~ /^[\w.,=+-]{1,400}\z/a }

# Counts as bench and the monitor print them. A guest could print anything, and a number that is none, or has no end, or is below 0,
# would spoil rows and pictures of others.
sub count_valid { return defined $_[0] && !ref $_[0] && $_[0] =~ /^\d{1,18}\z/a }
sub above_zero { return count_valid($_[0]) && $_[0] > 0 }
sub counts_valid { my ($map) = @_; return ref $map eq 'HASH' && !grep { !name_valid($_) || !count_valid($map->{$_}) } keys %$map }

# What bench says of the workload itself, where it does.
sub about_valid {
    my ($line) = @_;
    return 0 if grep { defined $line->{$_} && $line->{$_} !~ /^[a-z][a-z ]{0,19}\z/a } qw(group operation);
    return !grep { defined $line->{$_} && !above_zero($line->{$_}) } qw(operations working_set page);
}

# Either an error, or cycles of at least one repetition and a number of iterations; counters that are there are counts.
sub workload_valid {
    my ($line) = @_;
    return 0 unless name_valid($line->{bench}) && about_valid($line);
    return !ref $line->{error} if defined $line->{error};
    my $cycles = $line->{cycles};
    return 0 unless ref $cycles eq 'ARRAY' && @$cycles && !grep { !above_zero($_) } @$cycles;
    return 0 if grep { !counts_valid($_) } grep { defined } @$line{qw(counters gauges)};
    return 0 if defined $line->{repetitions} && !above_zero($line->{repetitions});
    return above_zero($line->{iterations}) && count_valid($line->{guest_faults} // 0);
}

1;
