#!/usr/bin/perl
# The report of comparison runs (iso/report), without an emulator: on the log logs/short.log, and on what becomes of it when it
# is cut, damaged, put together otherwise, or comes from another machine.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../../iso";
use File::Path 'make_path';
use JSON::PP 'decode_json';
use Machine;
use Report::Log 'log_read';
use Report::Results 'report_make';
use Report::Statistics qw(median half_range differs best_of ratio_text count_text spread_text listed);
use Report::Table 'report_text';
use Test::More;

my $FOLDER = "$Machine::BUILD/run/report";
make_path($FOLDER);
my $LOG = Machine::file_read("$FindBin::RealBin/logs/short.log");
my ($NATIVE, $MONITORED) = $LOG =~ /\A(.*?)(\{"penumbra":"machine".*)\z/s;

# The table of a log or a list of logs, made in this process.
sub table {
    my ($log) = @_;
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my $read = log_read(ref $log ? @$log : $log);
    my $table = eval { report_text(report_make($read, exit_cost => 1300, title => 'T')) } // $@;
    is("@warnings", '', 'perl warns of nothing') if @warnings;
    return $table;
}

# The table that the program has written is the one in logs/.
sub golden_is {
    my ($name) = @_;
    my ($golden, $table) = ("$FindBin::RealBin/logs/$name.md", "$FOLDER/$name/table.md");
    ok(Machine::file_read($table) eq Machine::file_read($golden), 'table.md is as expected') or diag(qx(diff $golden $table));
}

# The program itself: (status, what it said).
sub program {
    my ($name, $log, @options) = @_;
    Machine::file_write("$FOLDER/$name.log", $log);
    my $status = Machine::run_quietly("$FOLDER/$name.said", "$Machine::TOP/iso/report", '--output', "$FOLDER/$name", @options,
        "$FOLDER/$name.log");
    return ($status, Machine::file_read("$FOLDER/$name.said"));
}

# The cells of a row in the first table after a heading.
sub cells {
    my ($table, $heading, $row) = @_;
    my ($part) = $table =~ /^#+ \Q$heading\E\n(.*?)(?=^#|\z)/ms or return "no heading $heading";
    my ($line) = $part =~ /^\| \Q$row\E +\|(.*)\|$/m or return "no row $row";
    return join '|', map { s/^ +| +$//gr } split /\|/, $line;
}
my $WHOLE = '95,033 (0.1%)|**1.01** (0.2%)|1.40 (0.1%)|2.45 (<0.1%)'; # the row of fork in the undamaged log
my $COST = 'The same with 1,300 cycles added for each exit';

subtest 'a comparison as Bochs left it' => sub {
    my ($status) = program('bochs', Machine::file_read("$FindBin::RealBin/logs/bochs.log"));
    is($status, 0, 'it ends well');
    golden_is('bochs');
};

subtest 'numbers' => sub {
    is(median(3, 1, 2), 2, 'median of an odd number');
    is(median(4, 1, 2, 3), 2.5, 'median of an even number');
    is(half_range(10, 4, 7), 3, 'half range');
    is(join(' ', map { ratio_text($_) } 1.018, 9.996, 12.34, 37, 99.96, 1052, 1234567, 0.5),
        '1.02 10.0 12.3 37.0 100 1,052 1,234,567 0.50', 'ratios');
    is(join(' ', map { count_text($_) } 0, 0.001, 0.25, 1, 37, 12.34, 1052.4, -2000),
        '0 <0.01 0.25 1 37 12.3 1,052 -2,000', 'counts');
    is(join(' ', map { spread_text($_) } 0, 0.01, 0.44, 3, 12.3), '0% <0.1% 0.4% 3% 12%', 'spreads');
    is(join('; ', listed(1), listed(1, 2), listed(1 .. 4)), '1; 1 and 2; 1, 2, 3 and 4', 'lists');
    my ($near, $far) = map { { median => $_, half_range => 5 } } 104.9, 105;
    my $base = { median => 100, half_range => 1 };
    ok(!differs($near, $base) && !differs($base, $near), 'a difference below the larger half range is none');
    ok(differs($far, $base) && differs($base, $far), 'one that is as large is one');
    ok(!differs({ median => 1, half_range => 0 }, { median => 1, half_range => 0 }), 'equal is no difference, even without spread');
    my $cases = Machine::file_read("$FindBin::RealBin/../host/within_spread.def");
    for my $case ($cases =~ /^SPREAD\((.*)\)/mg) { # those of the monitor's own table
        my ($low, $median, $high, $other_low, $other_median, $other_high, $none) = split /, /, $case;
        my $one = { median => $median, half_range => half_range($low, $median, $high) };
        my $other = { median => $other_median, half_range => half_range($other_low, $other_median, $other_high) };
        is(differs($one, $other) ? 'false' : 'true', $none, "no difference: $case");
    }
    is(best_of($base, $far), $base, 'the best');
    is(best_of($base, $near, $far), undef, 'none is best if another is as near');
    is(best_of($base), undef, 'one alone is not best');
};

subtest 'the whole report' => sub {
    my ($status, $said) = program('short', $LOG);
    is("$status $said", '0 ', 'the program says nothing');
    golden_is('short');
    my @lines = map { decode_json($_) } split /\n/, Machine::file_read("$FOLDER/short/results.jsonl");
    is($lines[0]{machine}{version}, '66d47b6', 'results.jsonl begins with the machine');
    my @states = map { "$_->{configuration} $_->{state}" } grep { $_->{report} eq 'configuration' } @lines;
    is_deeply(\@states, ['native complete', 'ept complete', 'ept,p2m.max=1g refused',
        'shadow complete', 'shadow,shadow=lazy complete'], 'configurations');
    my ($fork) = grep { join(' ', map { $_ // '' } @$_{qw(report configuration workload)}) eq 'result shadow fork' } @lines;
    is_deeply([@$fork{qw(rounds iterations repetitions median ratio within_spread)}, $fork->{gauges}{tables_peak}],
        [1, 30, 5, 133033.33, 1.3998597, JSON::PP::false, 310], 'a result');
    is_deeply([@$fork{qw(exits faults)}],
        [{ EXCEPTION_OR_NMI => 36, INVLPG => 1 }, { hidden => 30, true => 6, direct => 54 }], 'its shares');
    cmp_ok(abs $fork->{ratio_with_exit_cost} - (3991000 / 30 + 37 * 1300) / (2851000 / 30), '<', 1e-6, 'with the cost of exits');
    is(scalar(grep { defined $_->{error} } @lines), 1, 'a workload that failed');
};

# Each start tag of the text has its end.
sub well_formed {
    my ($svg) = @_;
    my @open;
    for (grep { !/^<[?!]/ && !m{/>$} } $svg =~ /(<(?:!--.*?--|!\[CDATA\[.*?\]\]|[^>]*)>)/gs) {
        if (m{^</(\S+)>}) { return 0 unless @open && pop @open eq $1 }
        elsif (/^<([^\s>]+)/) { push @open, $1 }
    }
    return $svg =~ /^<svg/m && !@open;
}

subtest 'plots' => sub {
    my %labels = (
        ratio => ['fork', 'script', 'shadow,shadow=lazy', 'ratio to native'], 'ratio-exit-cost' => ['with 1,300 for each exit'],
        exits => ['EPT_VIOLATION', 'CR_ACCESS', 'ept', '40,000', 'syscall'], faults => ['hidden', 'true', '38,800'],
        memory => ['Shadow tables', 'tables_used', 'shadow,shadow=lazy']);
    for my $plot (sort keys %labels) {
        my ($png, $svg) = map { Machine::file_read("$FOLDER/short/$plot.$_") } qw(png svg);
        my ($magic, $width, $height) = unpack 'a8 x8 N N', $png;
        ok($magic eq "\x89PNG\r\n\x1a\n" && $width > 500 && $height > 150 && length $png > 5000, "$plot.png is a picture");
        ok(well_formed($svg), "$plot.svg is well-formed");
        is(join(', ', grep { index($svg, $_) < 0 } @{ $labels{$plot} }), '', "$plot.svg has its names and numbers");
    }
    unlike(Machine::file_read("$FOLDER/short/faults.svg"), qr/>ept</, 'no panel for a configuration without such faults');
};

subtest 'where it ran' => sub {
    (my $time = $LOG) =~ s/"clock":"instructions"/"clock":"time"/;
    my $table = table($time);
    like($table, qr/^\* where: bare metal$/m, 'bare metal');
    like($table, qr/ native, cycles \|/, 'the clock counts cycles');
    unlike($table, qr/instructions|added for each exit/, 'not a word about instructions, and no second table');
    (my $nested = $time) =~ s/("version".*?"hypervisor":)""/$1"KVMKVMKVM"/;
    like(table($nested), qr/^\* where: nested: the monitor itself runs under KVMKVMKVM$/m, 'nested');
    (my $mixed = $LOG) =~ s/i7-7800X/i5-750/;
    like(table($mixed), qr/^\*\*The logs are from different processors\*\* \(.*i7-7800X.*i5-750/m, 'logs of two machines');
};

subtest 'marks' => sub {
    my $row = sub { return cells(table($_[0]), 'Ratio to native', 'syscall') };
    is($row->($LOG), '150 (0.2%)|1.00 (0.1%) ~|1.00 (0.1%) ~|3.00 (<0.1%)', 'within the spread');
    (my $equal = $LOG) =~ s/"cycles":\[(?:150100,150000|150200,150100),[^]]*\]/"cycles":[150100,150100]/g;
    (my $apart = $equal) =~ s/"cycles":\[150100,150100\]/"cycles":[149849,149849]/;
    is($row->($equal), '150 (0.2%)|1.00 (0%) ~|1.00 (0%) ~|3.00 (<0.1%)', 'equal: no difference');
    is($row->($apart), '150 (0.2%)|**1.00** (0%)|1.00 (0%) ~|3.00 (<0.1%)', 'just beyond it, and best');
};

subtest 'the cost of exits' => sub {
    is(cells(table($LOG), $COST, 'cpuid'), '80 (0%)|**18.8** (<0.1%)|19.5 (<0.1%)|19.5 (<0.1%)', 'the default');
    my ($status) = program('cost', $LOG, '--exit-cost', 80, '--title', 'Mine');
    my $table = Machine::file_read("$FOLDER/cost/table.md");
    is($status, 0, '--exit-cost');
    like($table, qr/\A# Mine\n/, '--title');
    is(cells($table, 'The same with 80 cycles added for each exit', 'cpuid'),
        '80 (0%)|**3.50** (<0.1%)|4.25 (<0.1%)|4.25 (<0.1%)', 'another');
    is((program('wrong', $LOG, '--exit-cost', -1))[0], 2, 'a cost below 0 is refused');
};

subtest 'the timer of limit=' => sub {
    my $table = table($LOG);
    unlike($table, qr/timer/i, 'none: not a word');
    (my $timed = $LOG) =~ s/"exits":5550,/"exits":7050,"exit.PREEMPTION_TIMER":1500,"cycles.PREEMPTION_TIMER":400,/;
    (my $timer = $timed) =~ s/"exits":7050,//;
    my $words = qr/^Exits of the timer that `limit=` sets are left out: [^\n]*\n\n/m;
    for ($timed, $timer) {
        my $other = table($_);
        like($other, $words, 'it is said that its exits are left out');
        is($other =~ s/$words//r, $table, 'and nothing else differs');
    }
};

subtest 'without one of both' => sub {
    my $table = table($MONITORED);
    like($table, qr/^\*\*The log has no native run\*\*: ratios are to the first configuration\.$/m, 'it says so');
    is(cells($table, 'Ratio to ept', 'fork'), '96,033 (0.2%)|**1.00** (0.2%)|1.39 (0.1%)|2.43 (<0.1%)', 'ratios to the first');
    is(cells($table, 'Ratio to ept', 'syscall'), '150 (0.1%)|1.00 (0.1%)|1.00 (0.1%) ~|3.00 (<0.1%)',
        'no mark for the base itself');
    program('alone', $NATIVE);
    my $alone = Machine::file_read("$FOLDER/alone/table.md");
    like($alone, qr/^\| fork +\| +95,033 \(0\.1%\) \|$/m, 'native alone');
    like($alone, qr/^\* processor: Intel.* 3\.50GHz, microcode 0x0\n\* where: not told: /m, 'of which not more is said than known');
    is(table([$MONITORED, $NATIVE]), table($LOG), 'two logs, in any order, are as good as one');
};

subtest 'page walks' => sub {
    like(table($LOG), qr/^The monitor had no performance counters for them\.$/m, 'none in an emulator');
    my $more = '"pmu_walk_cycles_load":15000,"pmu_walk_cycles_fetch":3000,"pmu_walk_cycles_ept":600,"pmu_walks_load":300';
    (my $walks = $LOG) =~ s/"exit.EPT_VIOLATION":6\}/"exit.EPT_VIOLATION":6,$more}/;
    my $table = table($walks);
    is(cells($table, 'Cycles of page walks', 'fork'), '120|0|0', 'loads and fetches together');
    is(cells($table, 'Cycles of walks of EPT tables', 'fork'), '4|0|0', 'of EPT tables alone');
    is(cells($table, 'Page walks: misses of all TLBs', 'fork'), '2|0|0', 'and how many');
};

subtest 'what befalls a configuration' => sub {
    my $last = qr/\{"penumbra":"summary","run":4,.*?"failed":/;
    (my $died = $LOG) =~ s/\{"bench":"mmap","error".*?($last)false,"end":"[^"]*/$1true,"end":"triple fault/s;
    my $table = table($died);
    like($table, qr/^\* `shadow,shadow=lazy`: its guest died: triple fault; what it finished \(3 workloads\) is reported$/m,
        'it dies');
    is(cells($table, 'Ratio to native', 'script'), '31,010,000 (0.1%)|**1.01** (0.1%)|1.10 (0.1%)|-', 'others are reported');
    is(cells($table, 'Ratio to native', 'fork'), $WHOLE, 'and what it had finished');
    (my $left = $died) =~ s/"failed":true,"end":"triple fault"/"failed":false,"end":"guest powered off"/;
    like(table($left), qr/^\* `shadow,shadow=lazy`: its guest ended \(guest powered off\) before bench did; /m, 'it ends early');
    my $cut = substr $LOG, 0, index($LOG, '{"bench":"fork"', index $LOG, '"run":3');
    $table = table($cut);
    like($table, qr/^\* `shadow`: the log has no end of it: cut off or damaged there; what it finished \(2 workloads\) is/m,
        'cut off');
    like($table, qr/^\* `shadow,shadow=lazy`: the log ends before it was begun$/m, 'never begun');
    is(cells($table, 'Ratio to native', 'fork'), '95,033 (0.1%)|1.01 (0.2%)|-', 'alone in its row: not called best');
};

subtest 'damage' => sub {
    (my $broken = $LOG) =~ s/"guest_faults":9000,"counters":\{"exits":6,/"guest_fa[   13.1] printk: garbage/;
    my $table = table($broken);
    like($table, qr/^\* lines that could not be read and were left out: 1$/m, 'a broken line is counted');
    is(cells($table, 'Ratio to native', 'fork'), '95,033 (0.1%)|-|**1.40** (0.1%)|2.45 (<0.1%)', 'and nothing else is lost');
    my $reset = substr($LOG, 0, index($LOG, '"median', index $LOG, '"run":1')) . $LOG;
    $table = table($reset);
    like($table, qr/^\* lines that could not be read and were left out: 1$/m, 'two lines in one: the first is counted');
    like($table, qr/^\* `ept`, round 1 of 2: the log has no end of it: .* \(0 workloads\)/m, 'the second is read');
    is(cells($table, 'Ratio to native', 'fork'), $WHOLE, 'what was run again is right');
    like($table, qr/^\* boots: 1 of each configuration, 2 natively$/m, 'a boot that measured nothing is not counted');
    (my $nameless = $LOG) =~ s/\{"penumbra":"begin","run":3[^\n]*\n//;
    is(cells(table($nameless), 'Ratio to native', 'fork'), $WHOLE, 'the summary names it too');
    (my $joined = $LOG) =~ s/\{"penumbra":"summary","run":3.*?"run":4[^\n]*\n//s;
    $table = table($joined);
    is(cells($table, 'Ratio to native', 'fork'), $WHOLE, 'an end and a beginning are lost');
    unlike($table, qr/^\* shadow,shadow=lazy: /m, 'parameters of another configuration are not taken for its own');
    (my $odd = $LOG) =~ s/"cycles":\[2880000,/"cycles":["x",/;
    like(table($odd), qr/could not be read and were left out: 1$/m, 'what is no number');
    (my $stray = $NATIVE) =~ s/\{"bench":"begin"[^\n]*\n//;
    like(table("$stray$MONITORED"), qr/^\* results that belong to no configuration and were left out: 6$/m,
        'results without a beginning');
};

# The log with a second round of all configurations behind the first, in which these texts stand for those.
my ($ROUND) = $MONITORED =~ /^(\{"penumbra":"begin".*?)(?=\{"penumbra":"result")/ms;

sub second_round {
    my (%instead) = @_;
    my $second = $ROUND =~ s/"run":(\d)/'"run":' . ($1 + 4) . ',"round":2'/ger;
    for my $text (sort keys %instead) { $second =~ s/\Q$text\E/$instead{$text}/ or die "no $text in the log\n" }
    return $LOG =~ s/(?=\{"penumbra":"result")/$second/r;
}

# Every repetition of ept's fork is 5 % faster in the second round, so that it has the bare machine's between its own.
my @FASTER = ('[2880000,2882000,2881000,2879000,2890000]' => '[2736000,2738000,2737000,2735000,2746000]');

subtest 'rounds in one log' => sub {
    my $log = second_round(@FASTER, '"exits":5550,"hidden_faults":4500' => '"exits":11100,"hidden_faults":1500',
        '"tables_used":230,"tables_peak":310' => '"tables_used":250,"tables_peak":300');
    program('rounds', $log);
    my $table = Machine::file_read("$FOLDER/rounds/table.md");
    is(cells($table, 'Ratio to native', 'fork'), '95,033 (0.1%)|**0.99** (2.8%) ~|1.40 (0.1%)|2.45 (<0.1%)',
        'what differs between rounds is in the spread: the difference says nothing');
    is(cells($table, 'Exits for one iteration', 'fork'), '0.04|55.5|162', 'a mean of the rounds\' exits');
    is(cells($table, 'Hidden faults: exited, and the guest never heard of them', 'fork'), '0|20|140', 'and faults');
    is(cells($table, 'Direct faults: the guest handled them without an exit', 'fork'), '60|60|54|40', 'and of the guest\'s');
    is(cells($table, 'Shadow tables (`tables_used`), KiB, and the most so far', 'fork'), '1,000 / 1,240|440 / 600',
        'the largest gauge');
    like($table, qr/^\* boots: 2 of each configuration, 1 natively$/m, 'how many rounds');
    like($table, qr/^The spread of `native` is that of one boot's repetitions; /m, 'which spread is of one round');
    my @befell = $table =~ /^(\* `[^`]*`.*: (?:the|workload) .*)$/mg;
    is_deeply(\@befell, ['* `ept,p2m.max=1g`: the monitor refused it: p2m.max=1g: the processor has no EPT pages of 1G',
        '* `shadow,shadow=lazy`: workload mmap failed: over its limit of 60 s'], 'what befell all rounds is said once');
    my @lines = map { decode_json($_) } split /\n/, Machine::file_read("$FOLDER/rounds/results.jsonl");
    my ($fork) = grep { $_->{report} eq 'result' && "$_->{configuration} $_->{workload}" eq 'ept fork' } @lines;
    is_deeply([@$fork{qw(rounds repetitions median lowest highest)}], [2, 10, 93750, 91166.667, 96333.333], 'a result');
    my @rounds = grep { $_->{report} eq 'configuration' && $_->{configuration} eq 'ept' } @lines;
    is_deeply([map { [@$_{qw(round state)}, $_->{summary}{run}] } @rounds], [[1, 'complete', 1], [2, 'complete', 5]], 'its rounds');
};

subtest 'rounds in several logs' => sub {
    my ($slow) = map { s/\[2850000,2853000,2849000,2851000,2855000\]/[2907000,2907000,2907000,2907000,2907000]/r } $NATIVE;
    my $table = table([$NATIVE, $MONITORED, $slow]);
    is(cells($table, 'Ratio to native', 'fork'), '96,033 (1%)|**1.00** (0.2%) ~|1.39 (0.1%)|2.43 (<0.1%)', 'natively');
    like($table, qr/^\* boots: 1 of each configuration, 2 natively$/m, 'how many');
    like($table, qr/^The spread of `ept`, `shadow` and `shadow,shadow=lazy` is that of one boot's/m, 'and which are not');
    is(table([$slow, $NATIVE, $MONITORED]), $table, 'the order does not matter');
    (my $faster = $MONITORED) =~ s/\Q$FASTER[0]\E/$FASTER[1]/;
    my $one = second_round(@FASTER);
    is(table([$LOG, $faster]), table($one), 'two boots of the monitor are as good as one');
    my $all = table([$NATIVE, $one, $MONITORED]);
    like($all, qr/^\* boots: 3 of each configuration, 2 natively$/m, 'and so are three in two');
    unlike($all, qr/one boot's repetitions/, 'no spread is of one boot');
};

subtest 'rounds that do not go well' => sub {
    my $summary = '"configuration":"shadow,shadow=lazy","mmu":"shadow","vpid":true,"failed":';
    my $table = table(second_round("${summary}false,\"end\":\"guest powered off" => "${summary}true,\"end\":\"triple fault",
        '[6990000,6992000,6991000,6989000,6995000]' => '[7190000,7192000,7191000,7189000,7195000]',
        '{"bench":"mmap","error":' => '{"lost":'));
    like($table, qr/^\* `shadow,shadow=lazy`, round 2 of 2: its guest died: triple fault; what it finished \(4 workloads\) is/m,
        'one died');
    is(cells($table, 'Ratio to native', 'fork'), '95,033 (0.1%)|**1.01** (0.2%)|1.40 (0.1%)|2.49 (1.5%)', 'it is in the sums');
    like($table, qr/^\* `shadow,shadow=lazy`, round 1 of 2: workload mmap failed: over its limit of 60 s$/m, 'a workload failed');
    $table = table(second_round('"iterations":2,"cycles":[1801000,' => '"error":"exit status 3","cycles":[1801000,'));
    is(cells($table, 'Ratio to native', 'mmap'), '900,050 (<0.1%)|**1.00** (<0.1%)|1.03 (<0.1%)|failed', 'in one or in all rounds');
    like($table, qr/^\* `ept`, round 2 of 2: workload mmap failed: exit status 3$/m, 'which is said');
    my $cut = second_round(@FASTER);
    $cut = substr $cut, 0, index $cut, '{"bench":"fork"', index $cut, '"run":7';
    $table = table($cut);
    like($table, qr/^\* `shadow`, round 2 of 2: the log has no end of it: .* \(2 workloads\) is reported$/m, 'one is cut off');
    like($table, qr/^\* `shadow,shadow=lazy`: measured in 1 of the 2 boots that others have$/m, 'one was not begun');
    like($table, qr/^\* boots: 1 to 2 of each configuration, 1 natively$/m, 'how many there are');
    is(cells($table, 'Ratio to native', 'fork'), '95,033 (0.1%)|**0.99** (2.8%) ~|1.40 (0.1%)|2.45 (<0.1%)', 'what there is is used');
    my $mmap = '{"bench":"mmap","iterations":2,"cycles":[3600100],"guest_faults":0,"counters":{},"gauges":{}}';
    $table = table(second_round('{"bench":"mmap","error":"over its limit of 60 s"}' => $mmap));
    is(cells($table, 'Ratio to native', 'mmap'), '900,050 (<0.1%)|**1.00** (<0.1%)|1.03 (<0.1%)|2.00 (0%)', 'measured in one');
    like($table, qr/^\* `shadow,shadow=lazy`, round 1 of 2: workload mmap failed/m, 'and failed in the other');
};

subtest 'rounds that do not fit together' => sub {
    my $table = table(second_round('{"bench":"fork","iterations":30,"cycles":[288' => '{"bench":"fork","iterations":60,"cycles":[288'));
    is(cells($table, 'Ratio to native', 'fork'), '95,033 (0.1%)|**0.51** (0.2%)|1.40 (0.1%)|2.45 (<0.1%)', 'the later iterations');
    like($table, qr/^\* `ept`, round 2 of 2: workload fork had 60 iterations, and 30 before: what was before is left out$/m, 'said');
    my $begin = '"configuration":"shadow","parameters":"mmu=shadow vpid=auto';
    my $words = qr/^\*\*Rounds of `shadow` had different parameters\*\*: `vpid=auto mem=512M` and `vpid=on mem=1G`\.$/m;
    like(table(second_round("$begin mem=512M" => $begin =~ s/auto/on mem=1G/r)), $words, 'other parameters');
    unlike(table(second_round($begin => "$begin compare=shadow compare.repeat=2")), qr/had different parameters/,
        'what else is compared does not matter');
    (my $isolated = $LOG) =~ s/console=ttyS0 quiet/$& pti=off/g;
    my @warnings = table([$LOG, $isolated]) =~ /^(\*\*.*)$/mg;
    is_deeply([grep { /Rounds/ } @warnings], ['**Rounds of `ept`, `shadow`, `shadow,shadow=lazy` and `native` had different command '
        . 'lines of the guest**: `nothing else` and `pti=off`.'], 'other words for the guest');
    my ($single) = map { s/^.*?"penumbra":"begin"[^\n]*\n//sr } $ROUND =~ s/\{"penumbra":"refused".*//sr;
    $single =~ s/"run":1,"configuration":"ept",//;
    $table = table([$NATIVE, $single, $MONITORED, $single]);
    is(cells($table, 'Ratio to native', 'script'), '31,010,000 (0.1%)|1.01 (0.1%)|1.01 (0.1%)|1.10 (0.1%)|2.29 (<0.1%)|1.01 (0.1%)',
        'runs whose parameters are not known are not put together');
    like($table, qr/\| ept \(2\) \| +ept \| .* \| ept \(3\) \|$/m, 'and have names of their own');
};

subtest 'nothing to report' => sub {
    for (['empty', ''], ['noise', "SeaBIOS\r\n[penumbra] error: Penumbra cannot run here.\r\n"],
        ['refused', "{\"penumbra\":\"refused\",\"run\":1,\"configuration\":\"ept\",\"reason\":\"no EPT\"}\r\n"]) {
        my ($name, $log) = @$_;
        is(join(' ', program($name, $log)), "1 report: there is no result in the log\n", $name);
    }
    my @command = ("$Machine::TOP/iso/report", '--output', "$FOLDER/none", "$FOLDER/no-such");
    my $status = Machine::run_quietly("$FOLDER/none.said", @command);
    like("$status " . Machine::file_read("$FOLDER/none.said"), qr/^1 report: .*no-such: No such file or directory\n$/, 'no log');
};

# Cut anywhere, the log gives a report or the one sentence, and perl warns of nothing.
subtest 'cut anywhere' => sub {
    my @bad;
    for (my $at = 0; $at < length $LOG; $at += 61) {
        my $table = table(substr $LOG, 0, $at);
        push @bad, "$at: $table" unless $table =~ /^# T\n|^report: there is no result in the log\n$/;
        $table = table(substr($LOG, 0, $at) . substr $LOG, ($at + 400) % length $LOG);
        push @bad, "hole at $at: $table" unless $table =~ /^# T\n/;
    }
    is("@bad", '', 'a table or the sentence');
};
done_testing;
