#!/usr/bin/perl
# A row of counters.def without its count would be 0 for ever. Where a row needs code, one without it must not compile: rows
# are planted. Where a row makes a member of the owner's struct, something must count there.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Check;
use File::Path 'make_path';

my $TABLE = 'hv/include/hv/counters.def';
my $PLANTED = 'build/check/counters/hv';
my @rows = grep { /^COUNTER_\w+\(/ } lines_of($TABLE);

sub compiles {
    my ($file) = @_;
    my ($includes) = { folder_table('CHECK_INCLUDES') }->{ folder_of($file) };
    return system("gcc $ENV{CHECK_FLAGS} -Werror -Ibuild/check/counters $includes -fsyntax-only $file 2>/dev/null") == 0;
}

# The table as it is (@more empty), or with rows behind its own of owner HV.
sub table_write {
    my (@more) = @_;
    make_path($PLANTED);
    open my $out, '>', "$PLANTED/counters.def" or die "$PLANTED: $!\n";
    for (lines_of($TABLE)) {
        print $out "$_\n";
        print $out "$_\n" for /^COUNTER_HV\(monitor_memory/ ? @more : ();
    }
    close $out;
}

table_write();
rule 'hv/report/tally.c compiles with the table as it is', compiles('hv/report/tally.c') ? () : 'it does not';
table_write('COUNTER_HV(planted, "", PENUMBRA_COUNT, "a row that nobody counts")');
rule 'hv/report/tally.c does not compile with a row more', compiles('hv/report/tally.c') ? 'it does' : ();

my %FOLDERS = (CHURN => ['hv'], MMU => [qw(ept shadow)], EPT => ['ept'], SHADOW => ['shadow']);
my %text = map { my $folder = $_; $folder => join "\n", map { lines_of($_) } sources(qr{^$folder/(?!include/).*\.[ch]$}) } qw(hv ept shadow);
my @idle;
for (@rows) {
    my ($owner, $name) = /^COUNTER_(\w+)\((\w+),/;
    push @idle, map { "$_: $name" } grep { $text{$_} !~ /(?:\.|->)$name(?:\+\+| \+=| =[^=])|(?:\+\+|&)[\w>.-]*(?:\.|->)$name\b/ }
        @{ $FOLDERS{$owner} // [] };
}
rule 'every other counter is counted somewhere', @idle;
done;
