#!/usr/bin/perl
# Tables of the monitor's whose rows need something elsewhere. Where a row needs code, one without it must not compile: rows are
# planted. A row of counters.def that makes a member of its owner's struct would be 0 for ever if nothing counted there.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Check;
use File::Path 'make_path';

my $TABLES = 'hv/include/hv';
my $PLANTED = 'build/check/planted';

# Whether $file compiles while $table has these rows behind its own that begins with $after. @flags: more for the compiler.
sub compiles_with {
    my ($file, $table, $after, $rows, @flags) = @_;
    my ($includes) = { folder_table('CHECK_INCLUDES') }->{ folder_of($file) };
    make_path("$PLANTED/hv");
    open my $out, '>', "$PLANTED/hv/$table" or die "$PLANTED: $!\n";
    print $out map { /^\Q$after\E/ ? "$_\n$rows\n" : "$_\n" } lines_of("$TABLES/$table");
    close $out;
    my $status = system "gcc $ENV{CHECK_FLAGS} -Werror -I$PLANTED @flags $includes -fsyntax-only $file 2>/dev/null";
    unlink "$PLANTED/hv/$table";
    return $status == 0;
}

my @tally = ('hv/report/tally.c', 'counters.def', 'COUNTER_HV(monitor_memory');
rule 'hv/report/tally.c compiles with the counters as they are', compiles_with(@tally, '') ? () : 'it does not';
rule 'hv/report/tally.c does not compile with a row more',
    compiles_with(@tally, 'COUNTER_HV(planted, "", PENUMBRA_COUNT, "a row that nobody counts")') ? 'it does' : ();

my @init = ('shadow/init.c', 'strategies.def', 'STRATEGY(ADAPTIVE', 'STRATEGY(PLANTED, "planted", false)');
rule 'shadow/init.c compiles with a strategy more', compiles_with(@init, '-DPLANTED=.eager=true') ? () : 'it does not';
rule 'shadow/init.c does not compile with one that has no flags', compiles_with(@init) ? 'it does' : ();

my @rows = grep { /^COUNTER_\w+\(/ } lines_of("$TABLES/counters.def");
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
