# Whether the columns of a report are of equal machines: what bench told of each kernel, fact by fact. Returns blocks.
package Report::Equality;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(all max min uniq);
use Report::Block qw(code heading item paragraph);
use Report::Statistics 'listed';
our @EXPORT_OK = qw(inequalities kernels_differ);

# Two sizes of memory that differ by less are equal: a kernel counts out what it takes for itself.
use constant MEMORY_TOLERANCE => 1.02;

# Each fact: its name in bench's first line, what it is, and what makes the native one equal.
my @FACTS = (
    ['kernel', 'kernel', 'boot the same one'],
    ['processors', 'processors that the kernel uses', '`nr_cpus=1`: with more the kernel does not leave out its LOCK prefixes'],
    ['paging_levels', 'levels of page tables', '`no5lvl`'],
    ['memory_kib', 'memory in KiB', '`mem=`'],
    ['clocksource', 'clock source', 'a time stamp counter that the kernel trusts: `tsc=reliable`'],
    ['idle', 'idle driver', '`idle=halt`'],
);

# What is told of a column's machines, each value once.
sub told {
    my ($column, $of) = @_;
    return uniq map { my $value = $of->($_->{guest} // {}); defined $value && !ref $value ? $value : () } @{ $column->{rounds} };
}

# The values of a fact with the columns that told each: [value, name, ...], in the columns' order.
sub values_of {
    my ($columns, $of) = @_;
    my (@order, %names);
    for my $column (@$columns) {
        for my $value (told($column, $of)) {
            push @order, $value unless $names{$value};
            push @{ $names{$value} }, $column->{name};
        }
    }
    return map { [$_, @{ $names{$_} }] } @order;
}

sub alike {
    my ($name, @values) = @_;
    return 1 if @values < 2;
    # Its name until the kernel has measured it again.
    return uniq(map { s/^tsc-early\z/tsc/r } @values) == 1 if $name eq 'clocksource';
    return $name eq 'memory_kib' && (all { /^\d{1,18}\z/a } @values) && max(@values) <= MEMORY_TOLERANCE * min(@values);
}

# "1 (ept, trace); 8 (native)"
sub values_text {
    my (@values) = @_;
    return join '; ', map {
        my ($value, @names) = @$_;
        (length $value ? code($value) : 'none') . ' (' . listed(map { code($_) } @names) . ')'
    } @values;
}

sub mitigation_facts {
    my (@columns) = @_;
    my @guests = map { $_->{guest} // {} } map { @{ $_->{rounds} } } @columns;
    my @names = uniq sort map { ref $_->{mitigations} eq 'HASH' ? keys %{ $_->{mitigations} } : () } @guests;
    return map {
        my $name = $_;
        my $of = sub { my $all = $_[0]{mitigations}; return ref $all eq 'HASH' ? $all->{$name} // '' : undef };
        [$of, 'mitigation of ' . code($name), $name]
    } @names;
}

sub fact_line {
    my ($columns, $name, $what, $of, $remedy) = @_;
    my @values = values_of($columns, $of);
    return () if alike($name, map { $_->[0] } @values);
    return item("$what: " . values_text(@values) . ($remedy ? ". Natively equal: $remedy" : ''));
}

# Where one kernel pays for a fault of the processor that another leaves open. Isolated page tables are dear, whoever has none.
# Else mitigations differ by the nature of the thing: who leaves a fault open pays as little as who has none, or cannot know.
sub paid_for_otherwise {
    my ($columns) = @_;
    return map {
        my ($of, $what, $name) = @$_;
        my @texts = map { $_->[0] } values_of($columns, $of);
        my $open_and_paid = (grep { /^Vulnerable/ } @texts) && grep { /Mitigation/ } @texts;
        $name eq 'meltdown' || $open_and_paid ? fact_line($columns, '', $what, $of) : ()
    } mitigation_facts(@$columns);
}

sub columns_of { my ($report) = @_; return [$report->{native} // (), @{ $report->{shown} }] }

# What a reader must know before the ratios: () where every column that tells a fact tells the same.
sub inequalities {
    my ($report) = @_;
    my @lines = map {
        my ($name, $what, $remedy) = @$_;
        fact_line(columns_of($report), $name, $what, sub { $_[0]{$name} }, $report->{native} && $remedy)
    } @FACTS;
    push @lines, paid_for_otherwise(columns_of($report));
    return @lines ? (paragraph('**The columns are not of equal machines, so their ratios say less:**'), @lines) : ();
}

sub mitigations {
    my ($columns) = @_;
    my @lines = map { my ($of, $what) = @$_; fact_line($columns, '', $what, $of) } mitigation_facts(@$columns);
    return @lines ? (paragraph('Linux mitigates differently where it sees a hypervisor, or other features:'), @lines) : ();
}

# The processor's features (flags of /proc/cpuinfo) that some columns have and others lack, a line for each set of columns.
sub features {
    my ($columns) = @_;
    my @columns = grep { told($_, sub { $_[0]{flags} }) } @$columns;
    my %whose;
    for my $column (@columns) {
        push @{ $whose{$_} }, $column->{name} for uniq map { split } told($column, sub { $_[0]{flags} });
    }
    my %sets;
    for my $flag (sort grep { @{ $whose{$_} } < @columns } keys %whose) {
        push @{ $sets{ listed(map { code($_) } @{ $whose{$flag} }) } }, $flag;
    }
    return () unless %sets;
    return (paragraph('Features of the processor that not all kernels see:'),
        map { item("only $_: " . code(join ' ', @{ $sets{$_} })) } sort keys %sets);
}

# For who asks why a ratio is what it is.
sub kernels_differ {
    my ($report) = @_;
    my @lines = map { $_->(columns_of($report)) } \&mitigations, \&features;
    return @lines ? (heading(2, 'How the kernels differ'), @lines) : ();
}

1;
