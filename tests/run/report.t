#!/usr/bin/perl
# The report of comparison runs (iso/report/report), without an emulator: on logs/native.log and logs/monitored.log, and on what becomes
# of them when they are cut, damaged, put together otherwise, come from another machine, or a guest has written into them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../../iso/report";
use Digest::SHA 'sha256_base64';
use File::Path 'make_path';
use JSON::PP 'decode_json';
use Machine;
use Report::Codes 'codes_unpack';
use Report::Gnuplot ();
use Report::Log 'log_read';
use Report::Results 'report_make';
use Report::Symbols qw(symbols_read symbol_of);
use Report::Statistics qw(median half_range differs best_of ratio_text count_text spread_text listed);
use Report::Markdown 'markdown';
use Report::Table 'report_blocks';
use Test::More;

my $FOLDER = "$Machine::BUILD/run/report";
make_path($FOLDER);
my ($NATIVE, $MONITORED) = map { Machine::file_read("$FindBin::RealBin/logs/$_.log") } qw(native monitored);
my $NEXT = "\f\n"; # behind it begins another file
my $LOG = "$NATIVE$NEXT$MONITORED";
my ($WORD_LINE) = $MONITORED =~ /^(\[penumbra .*)$/m;

# The table of a log or a list of logs, made in this process.
sub table {
    my ($log, %options) = @_;
    $log = [map { split /$NEXT/ } ref $log ? @$log : $log];
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my $read = log_read(@$log);
    my $table = eval { markdown(report_blocks(report_make($read, exit_cost => 1300, title => 'T', %options))) } // $@;
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
    my @texts = split /$NEXT/, $log;
    @texts = '' unless @texts;
    my @files = map { "$FOLDER/$name-$_.log" } 0 .. $#texts;
    Machine::file_write($files[$_], $texts[$_]) for 0 .. $#texts;
    my $status = Machine::run_quietly("$FOLDER/$name.said", "$Machine::TOP/iso/report/report", '--output', "$FOLDER/$name", @options,
        @files);
    return ($status, Machine::file_read("$FOLDER/$name.said"));
}

# The cells of a row in the first table after a heading.
sub cells {
    my ($table, $heading, $row) = @_;
    my ($part) = $table =~ /^#+ \Q$heading\E\n(.*?)(?=^#|\z)/ms or return "no heading $heading";
    my ($line) = $part =~ /^\| \Q$row\E +\|(.*)\|$/m or return "no row $row";
    return join '|', map { s/^ +| +$//gr } split /\|/, $line;
}
my $WHOLE = '183,041 (0.2%)|**1.01** (0.2%)|1.35 (0.2%)|4.37 (0.1%)'; # the row of fork in the undamaged log
my $COST = 'The same with 1,300 cycles added for each exit';

subtest 'a comparison as Bochs left it' => sub {
    my ($status) = program('bochs', join $NEXT, map { Machine::file_read($_) } sort glob "$FindBin::RealBin/logs/bochs-*.log");
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
    is($lines[0]{machine}{signature}, '0x50654', 'results.jsonl begins with the machine');
    my ($names, @rows) = split /\n/, Machine::file_read("$FOLDER/short/results.csv");
    my %fork;
    @fork{ split /,/, $names } = split /,/, (grep { /^adaptive,fork,/ } @rows)[0];
    my ($same) = grep { $_->{report} eq 'result' && $_->{configuration} eq 'adaptive' && $_->{workload} eq 'fork' } @lines;
    is_deeply([@fork{qw(median ratio all_exits hidden_faults)}], [@$same{qw(median ratio all_exits)}, $same->{faults}{hidden}],
        'results.csv has the same as results.jsonl');
    is(scalar(@rows), scalar(grep { $_->{report} eq 'result' } @lines), 'a row for each');
    my @states = map { "$_->{configuration} $_->{state}" } grep { $_->{report} eq 'configuration' } @lines;
    is_deeply(\@states, ['native complete', 'ept complete', 'ept,audit=on refused', 'adaptive complete', 'lazy complete'],
        'configurations');
    my ($fork) = grep { join(' ', map { $_ // '' } @$_{qw(report configuration workload)}) eq 'result adaptive fork' } @lines;
    is_deeply([@$fork{qw(rounds iterations repetitions median ratio within_spread)}, $fork->{gauges}{tables_peak}],
        [1, 30, 3, 246650.7, 1.3475142, JSON::PP::false, 96], 'a result');
    is_deeply([@$fork{qw(exits faults)}],
        [{ EXCEPTION_OR_NMI => 38.266667, CR_ACCESS => 1.0111111 }, { hidden => 6, true => 8, direct => 0 }], 'its shares');
    cmp_ok(abs $fork->{ratio_with_exit_cost} - (7399521 / 30 + 3535 / 90 * 1300) / (5491238 / 30), '<', 1e-6,
        'with the cost of exits');
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
        ratio => ['fork', 'exec', 'adaptive', 'ratio to native'], 'ratio-exit-cost' => ['with 1,300 for each exit'],
        exits => ['CPUID', 'CR_ACCESS', 'ept', '1,052', 'mmap'], faults => ['hidden', 'true', '2,187'],
        memory => ['Shadow tables', 'tables_used', 'lazy']);
    for my $plot (sort keys %labels) {
        my ($png, $svg) = map { Machine::file_read("$FOLDER/short/$plot.$_") } qw(png svg);
        my ($magic, $width, $height) = unpack 'a8 x8 N N', $png;
        ok($magic eq "\x89PNG\r\n\x1a\n" && $width > 500 && $height > 150 && length $png > 5000, "$plot.png is a picture");
        ok(well_formed($svg), "$plot.svg is well-formed");
        is(join(', ', grep { index($svg, $_) < 0 } @{ $labels{$plot} }), '', "$plot.svg has its names and numbers");
    }
    unlike(Machine::file_read("$FOLDER/short/faults.svg"), qr/>ept</, 'no panel for a configuration without such faults');
};

# What xmllint finds of an XPath expression in a page, as text.
sub found {
    my ($page, $what) = @_;
    open my $xmllint, '-|', 'xmllint', '--nonet', '--xpath', $what, $page or die "xmllint: $!\n";
    local $/;
    return (<$xmllint> // '') =~ s/\s+\z//r;
}

# The texts of all cells of tables that are not folded, in their order: of a page, and of Markdown.
sub cells_of_page {
    my ($page) = @_;
    my %text = ('&lt;' => '<', '&gt;' => '>', '&quot;' => '"', '&#39;' => "'", '&amp;' => '&');
    my ($tables) = map { s/<details>.*?<\/details>//gsr } Machine::file_read($page);
    return map { s/<[^>]*>//gr =~ s/(&#?\w+;)/$text{$1}/gr } $tables =~ /<t[hd]\b[^>]*>(.*?)<\/t[hd]>/gs;
}

sub cells_of_markdown {
    my ($file) = @_;
    my @rows = grep { !/^-/ } Machine::file_read($file) =~ /^\|(.*)\|$/mg;
    return map { map { s/^ +| +$//gr =~ s/\*\*|`//gr } split /\|/, $_ } @rows;
}

subtest 'the page' => sub {
    for my $name (qw(short bochs)) {
        my $page = "$FOLDER/$name/report.html";
        is(Machine::run_quietly("$FOLDER/page.said", 'xmllint', '--noout', '--nonet', $page), 0, "$name: well-formed")
            or diag(Machine::file_read("$FOLDER/page.said"));
        is(join('|', cells_of_page($page)), join('|', cells_of_markdown("$FOLDER/$name/table.md")), "$name: the tables of table.md");
        my @pictures = glob "$FOLDER/$name/*.svg";
        is(found($page, 'count(//*[local-name()="svg"])'), scalar @pictures, "$name: its pictures");
        my @ids = Machine::file_read($page) =~ /\bid=["']([^"']*)/g;
        my %times;
        $times{$_}++ for @ids;
        is(join(' ', grep { $times{$_} > 1 } sort keys %times), '', "$name: each name is there once");
        is(join(' ', grep { !$times{$_} } Machine::file_read($page) =~ /\bhref=["']#([^"']*)/g), '', "$name: and each that a link leads to");
        is(join(' ', Machine::file_read($page) =~ /(?:\bsrc=|\bhref=["'][^#]|url\([^#]|\@import)[^>]*/g), '', "$name: nothing is fetched");
        my ($script) = Machine::file_read($page) =~ /<script>(.*?)<\/script>/s;
        like(Machine::file_read($page), qr/script-src 'sha256-\Q@{[sha256_base64($script)]}\E='/, "$name: its script alone may run");
    }
    my $page = "$FOLDER/short/report.html";
    is(found($page, 'count(//*[local-name()="details"])'), 6, 'a fold for each workload');
    my ($row) = Machine::file_read($page) =~ /<td><a href="#(\w+)">1\.35 \(0\.2%\)<\/a>/;
    is(found($page, "string(//*[\@id='$row']/../*[4])"), '7,373,201 7,400,287 7,399,521', 'a number leads to its repetitions')
        or diag(found($page, "string(//*[\@id='$row']/..)"));
};

subtest 'hostile names in the page' => sub {
    my $evil = q(</style><script>alert(1)</script><img src=x onerror="alert(2)">&quot;'`**|&#x41; ]]> --> \u0001\u0000\u00e4);
    my $in_json = $evil =~ s/"/\\"/gr;
    (my $log = $LOG) =~ s/("(?:kernel|command_line|clocksource|processor|version|end|error|reason)":")/$1$in_json/g;
    $log =~ s/"configurations":\["ept"/"configurations":["$in_json","ept"/;
    my ($status, $said) = program('names', $log, '--title', $evil);
    is("$status $said", '0 ', 'a report is made');
    my $page = "$FOLDER/names/report.html";
    is(Machine::run_quietly("$FOLDER/page.said", 'xmllint', '--noout', '--nonet', $page), 0, 'well-formed')
        or diag(Machine::file_read("$FOLDER/page.said"));
    is(found($page, 'count(//*[local-name()="script" or local-name()="style"])'), 2, 'no script and no style more');
    is(found($page, 'count(//*[local-name()="img" or @onerror or @src])'), 0, 'and no element of the names\'');
    is(found($page, 'string(//*[local-name()="h1"])'), $evil,
        'they are shown as they are');
    is(join('|', cells_of_page($page)), join('|', cells_of_page("$FOLDER/short/report.html")), 'no table has changed');
    unlike(Machine::file_read("$FOLDER/names/table.md") =~ s/(`+).*?\1//gr, qr/<(?:script|img|\/style)/, 'nor is there HTML in table.md');
};

subtest 'where it ran' => sub {
    (my $time = $LOG) =~ s/"clock":"instructions"/"clock":"time"/;
    my $table = table($time);
    like($table, qr/^\* where: bare metal$/m, 'bare metal');
    like($table, qr/ native, cycles \|/, 'the clock counts cycles');
    unlike($table, qr/instructions|added for each exit/, 'not a word about instructions, and no second table');
    (my $nested = $time) =~ s/("version".*?"hypervisor":)""/$1"KVMKVMKVM"/;
    like(table($nested), qr/^\* where: nested: the monitor itself runs under KVMKVMKVM$/m, 'nested');
    like(table($nested), qr/^\*\*A hypervisor is below the monitor\.\*\* .*says little/m, 'what VPIDs change says little there');
    unlike($table, qr/A hypervisor is below/, 'and nothing of it on bare metal');
    unlike(table($nested), qr/by themselves/, 'of an exit that was not measured nothing is said');
    (my $mixed = $LOG) =~ s/i7-7800X/i5-750/;
    like(table($mixed), qr/^\*\*The logs are from different processors\*\* \(.*i7-7800X.*i5-750/m, 'logs of two machines');
};

# The logs as a machine would leave them whose exits take so many cycles by themselves.
sub with_exits_of {
    my ($cycles) = @_;
    my ($log, @natives) = map { Machine::file_read($_) } sort glob "$FindBin::RealBin/logs/bochs-*.log";
    $log =~ s/"clock":"instructions"/"clock":"time","empty_exit_cycles":$cycles/;
    $log =~ s/("counters":\{"exits":)(\d+)/qq($1$2,"switch_cycles":) . $2 * $cycles/ge;
    return join $NEXT, $log, @natives;
}

subtest 'what an exit costs' => sub {
    my $table = table(with_exits_of(1234));
    like($table, qr/^\* an exit and the entry after it, by themselves: 1,234 cycles, measured at boot$/m, 'as it was measured');
    unlike($table, qr/1,300|added for each exit/, 'nothing is assumed');
    my $heading = 'Cycles of exits for one iteration: by themselves + in the monitor';
    like(cells($table, $heading, 'fork'), qr/^0\|.*\|48,441 \+ 55,620\z/, 'its part and the monitor\'s; none where there are no exits');
    unlike(table(with_exits_of(0)), qr/Cycles of exits/, 'a machine that measured none has no such table');
    my ($status) = program('measured', with_exits_of(1234));
    my @lines = map { decode_json($_) } split /\n/, Machine::file_read("$FOLDER/measured/results.jsonl");
    is("$status $lines[0]{exit_cost}", '0 1234', 'results.jsonl has it');
    is(scalar(grep { exists $_->{ratio_with_exit_cost} } @lines), 0, 'and adds nothing to times that have it');
    for my $none (0, '"x"', -5, '"<b>"') {
        $table = table(with_exits_of(1234) =~ s/"empty_exit_cycles":\K1234/$none/r);
        unlike($table, qr/an exit and the entry/, "$none is no cost");
    }
    $table = table(with_exits_of(1234) =~ s/"clock":"time"/"clock":"instructions"/r);
    like($table, qr/^## \Q$COST\E$/m, 'where the clock counts instructions, it is assumed');
};

subtest 'KVM beside it' => sub {
    my $kvm = Machine::file_read("$FindBin::RealBin/logs/kvm.log");
    my ($status) = program('kvm', join $NEXT, (map { Machine::file_read("$FindBin::RealBin/logs/kvm-$_.log") } qw(native monitored)), $kvm);
    is($status, 0, 'it ends well');
    golden_is('kvm');
    my $with = sub { return table("$LOG$NEXT" . $_[0]) };
    my $heading = qr/^\| workload \| +native, instructions \| +ept \| +adaptive \| +lazy \| +kvm,ept \| +kvm,shadow \|$/m;
    like($with->($kvm), $heading, 'its columns beside those of other logs');
    my ($before, $line) = $kvm =~ /\A(.*?)(^\{"kvm":"end","configuration":"kvm,ept".*?\n)/ms;
    like($with->($before), qr/^\* `kvm,ept`: the log has no end of it/m, 'a log that is cut');
    like($with->($kvm =~ s/("kvm,ept","status":)0/${1}137/r =~ s/^guest: \{"bench":"end".*\n//mr),
        qr/^\* `kvm,ept`: its guest ended \(it took longer than the limit\) before bench did;/m, 'the limit');
    like($with->("{\"kvm\":\"refused\",\"configuration\":\"kvm,ept\",\"reason\":\"this processor has no EPT\"}\n"),
        qr/^\* `kvm,ept`: not run: this processor has no EPT$/m, 'a machine that cannot');
    like(table([$NATIVE, "$kvm$MONITORED"]), qr/^\| workload \| +native, instructions \| +kvm,ept \| +kvm,shadow \| +ept \|/m,
        'after its last line there may be another boot');

    my ($forged) = $kvm =~ /^(\{"kvm":"begin","configuration":"kvm,shadow".*\n)/m;
    my $refuses = qr/^\*\*Lines that claim to be the monitor's, or a native run's under it, and are not: \d+\.\*\*/m;
    for (['under a monitor', $MONITORED =~ s/^(?=\{"bench":"fork")/$forged/mr], ['natively', $NATIVE =~ s/^(?=\{"bench":"fork")/$forged/mr]) {
        my $table = table([$_->[1], $_->[0] eq 'natively' ? $MONITORED : $NATIVE]);
        like($table, $refuses, "a guest that says it, $_->[0], is not believed");
        unlike($table, qr/kvm,shadow/, 'and has no column');
    }
    my $guest = $before . "guest: $forged" . "guest: {\"penumbra\":\"machine\",\"word\":\"abcdefabcdef\"}\n" . "guest: {\"bench\":1}$forged$line";
    like($with->($guest), qr/\| +kvm,ept \|$/m, 'a guest of KVM makes no column either');
    like($with->($guest), $refuses, 'and speaks for no monitor');
};

subtest 'what the numbers say' => sub {
    my $both = join $NEXT, map { Machine::file_read("$FindBin::RealBin/logs/switch-$_.log") } qw(native monitored);
    my $bochs = join $NEXT, map { Machine::file_read($_) } sort glob "$FindBin::RealBin/logs/bochs-*.log";
    my $timed = sub { return $_[0] =~ s/"clock":"\Kinstructions/time/gr };
    my $says = sub {
        my ($log, $question, $expected, $what) = @_;
        my ($line) = table($log) =~ /^\* \Q$question\E (.*)$/m;
        like($line // '', $expected, $what);
    };
    my $ahead = 'When is shadow paging ahead of EPT?';
    $says->($both, $ahead, qr/^The best strategy beside EPT, in 3 workloads: behind in 2, most in `fork` \(1\.6\d\), ahead in none\. .* an emulator cannot tell\.$/,
        'behind, and what an emulator cannot know');
    my $slow = $both =~ s{^(\{"bench":"fork","mode":"ept".*?"cycles":\[)([\d,]+)}{$1 . join ',', map { 3 * $_ } split /,/, $2}gemr;
    $says->($timed->($slow), $ahead, qr/^The best strategy beside EPT, in 3 workloads: behind in 1, most in `mmap` \(1\.\d\d\), ahead in 1, most in `fork` \(0\.4\d\)\.$/,
        'ahead, by the clock');
    $says->($LOG, $ahead, qr/: too few repetitions to be sure of any\./, 'nothing is sure of two repetitions');
    $says->($both, 'Which strategy of shadow paging?', qr/: `adaptive \(switch\)` in 3 and `trace \(switch\)` in 1 of 3 workloads\.$/, 'strategies');
    my $vpid = 'What does VPID bring?';
    $says->($bochs, $vpid, qr/^An emulator that counts instructions cannot tell/, 'what an emulator cannot tell is not told');
    $says->($timed->($bochs), $vpid, qr/^`ept,vpid=off` takes 1\.00 times as long as `ept` in the geometric mean of 4 workloads; surely/, 'a processor can');
    $says->($both, $vpid, qr/^This comparison does not tell: it lacks a column\.$/, 'without the column nothing is said');
    $says->($timed->($bochs), 'What does EPT cost?', qr/ This machine has counted no page walks\.$/, 'no counters');
    my $walks = $timed->($bochs) =~ s/(\{"bench":"script".*?"counters":\{)/$1"pmu_walk_cycles_load":50000000,/gr;
    $says->($walks, 'What does EPT cost?', qr/ Under `ept` page walks take up to \d[\d.]*% of the time \(`script`\)\./, 'page walks');
    $says->($both, 'What does page-table isolation cost?', qr/^It is off here, .* without `APPEND=pti=off`\.$/, 'isolation is off');
    $says->($both =~ s/ pti=off//gr, 'What does page-table isolation cost?', qr/^It is as the kernel chooses here, .* with `APPEND=pti=off`\.$/, 'and on');
};

# The log, in which each kernel tells these facts: a text of JSON of the native one, and one of each configuration's.
sub with_facts {
    my ($native, @guests) = @_;
    (my $log = $LOG) =~ s/("bench":"begin","monitor":"(\w*)".*?)(?=,"repetitions")/"$1," . ($2 ? shift @guests : $native)/ge;
    return $log;
}

subtest 'equal machines, and others' => sub {
    my $alike = qq("processors":1,"paging_levels":4,"idle":"none","flags":"fpu pcid","mitigations":{"mds":"Not affected"});
    my $table = table(with_facts(($alike) x 4));
    unlike($table, qr/not of equal machines|How the kernels differ/, 'of equal ones nothing is said');
    unlike(table($LOG), qr/not of equal machines|How the kernels differ/, 'nor where nothing is told');

    my $native = $alike =~ s/"processors":1/"processors":8/r;
    my $shout = qr/^\Q**The columns are not of equal machines, so their ratios say less:**\E\n\n/m;
    $table = table(with_facts($native, ($alike) x 3));
    like($table, qr/$shout\* processors that the kernel uses: `8` \(`native`\); `1` \(`ept`, `adaptive` and `lazy`\)\. Natively equal: `nr_cpus=1`/,
        'the native kernel has more processors');
    like($table, qr/ of equal machines.*^## Ratio to native/ms, 'before the ratios');

    my $memory = sub { return table($LOG =~ s/"memory_kib":223696/"memory_kib":$_[0]/r) };
    unlike($memory->(228_239), qr/equal machines/, 'memory that is nearly as much');
    like($memory->(230_000), qr/$shout\* memory in KiB: `230000` \(`native`\)/, 'and that is not');

    my $clock = sub { return table($LOG =~ s/"clocksource":"\Ktsc(?=")/$_[0]/r) };
    unlike($clock->('tsc-early'), qr/equal machines/, 'a time stamp counter that is to be measured again');
    like($clock->('hpet'), qr/$shout\* clock source: `hpet` \(`native`\); `tsc`/, 'and that is another clock');

    my $mds = sub { $alike =~ s/Not affected/$_[0]/r };
    my $other = $mds->('Mitigation: Clear CPU buffers') =~ s/fpu pcid/fpu/r;
    $table = table(with_facts($alike, $alike, $other, $alike));
    unlike($table, qr/equal machines/, 'features and mitigations are no shout');
    like($table, qr/^\* mitigation of `mds`: `Not affected` \(`native`, `ept` and `lazy`\); `Mitigation: Clear CPU buffers` \(`adaptive`\)$/m, 'mitigations');
    my ($open, $paid) = map { $mds->($_) } 'Vulnerable: no microcode', 'Mitigation: Clear CPU buffers';
    unlike(table(with_facts($alike, $alike, $open, $alike)), qr/equal machines/, 'nor is a fault that one leaves open and no other pays for');
    $table = table(with_facts($paid, $paid, $open, $alike));
    like($table, qr/$shout\* mitigation of `mds`: `Mitigation: Clear CPU buffers` \(`native` and `ept`\); `Vulnerable: no microcode` \(`adaptive`\); `Not affected` \(`lazy`\)$/m,
        'but where one kernel leaves open what another pays for');
    unlike(table(with_facts(($mds->('Vulnerable')) x 4)), qr/equal machines/, 'and not where all do');
    my $meltdown = sub { $alike =~ s/"mds":"Not affected"/"meltdown":"$_[0]"/r };
    like(table(with_facts($meltdown->('Not affected'), ($meltdown->('Mitigation: PTI')) x 3)), qr/$shout\* mitigation of `meltdown`/,
        'and where one isolates its page tables');
    $table = table(with_facts($alike, $alike, $other, $alike));
    like($table, qr/^\* only `native`, `ept` and `lazy`: `pcid`$/m, 'features');

    my $odd = '"processors":[1],"paging_levels":{},"idle":null,"flags":7,"mitigations":["x"]';
    unlike(table(with_facts(($odd) x 4)), qr/equal machines/, 'what is no fact is left out');
    like(table(with_facts($alike, $alike =~ s/none/|`<b>/r, $alike, $alike)), qr/``\|`<b>`` \(`ept`\)/, 'text is shown as it is');
};

# The log with the workload alu in the place of syscall: for each kernel the cycles of an iteration, and its counters.
sub with_alu {
    my (@kernels) = @_;
    (my $log = $LOG) =~ s/^\{"bench":"syscall".*/my ($c, $counters) = @{ shift @kernels }; qq({"bench":"alu","iterations":100,)
        . qq("cycles":[@{[join ',', map { $c * 100 + $_ } -50, 0, 50]}],"guest_faults":0,"counters":$counters})/gem;
    return $log;
}

subtest 'one frequency, and others' => sub {
    my ($base, $turbo) = map { qq({"aperf":$_,"mperf":10000}) } 9990, 13100;
    my $table = table(with_alu(([1000, $base]) x 4));
    unlike($table, qr/which only computes|did not run at one frequency|did not count|system-management/, 'all is well');
    is(cells($table, "The core's frequency, in percent of the time stamp counter's", 'alu'), join('|', ('99.9') x 4), 'the table');
    unlike(table($LOG), qr/The core's frequency|did not count/, 'nobody counted');

    $table = table(with_alu([1000, $base], [1000, $base], [1310, $turbo], [1003, $base]));
    like($table, qr/^\*\*`alu`, which only computes, is 1\.31 under `adaptive` and not 1\.00: /m, 'alu is not 1.00');
    unlike($table, qr/ under `(?:ept|lazy)` and not/, 'and where it is');
    like($table, qr/^\*\*The core did not run at one frequency\*\*.*: 100 % \(`native`\), 100 % \(`ept`\), 131 % \(`adaptive`\) and 100 %/m,
        'two frequencies');
    like($table, qr/at one frequency.*^## Ratio to native/ms, 'before the ratios');

    like(table(with_alu([1000, '{}'], ([1000, $base]) x 3)), qr/^\*\*The native kernel did not count the core's frequency\*\*/m,
        'not known natively');
    my $governed = sub { return table(with_facts(qq("governor":"$_[0]"), ('"governor":""') x 3)) };
    like($governed->('schedutil'), qr/^\*\*Natively the frequency was left to a governor\*\*, `schedutil`:/m, 'a governor');
    unlike($governed->($_), qr/left to a governor/, "no governor: '$_'") for 'performance', '';

    my $smi = $base =~ s/\}/,"smis":2}/r;
    $table = table(with_alu([1000, $base], [1000, $smi], [1000, $base], [1000, $base]));
    like($table, qr/^\* `ept`: system-management interrupts came during `alu`, and firmware's time is in their numbers$/m, 'SMIs');
    like(cells($table, 'Ratio to native', 'alu'), qr/^[^|!]*\|[^|!]*!\|[^|!]*\|[^|!]*$/, 'the cell has its mark');
    like($table, qr/^`!`: a system-management interrupt came/m, 'which is explained');
};

# The log in which each of these workloads' lines, one a kernel, has these cycles for an iteration: five, of which the third is the middle.
sub with_cycles {
    my ($log, $workload, @kernels) = @_;
    $log =~ s/^(\{"bench":"\Q$workload\E",)"iterations":\d+,"cycles":\[[^]]*\](.*)/$1 . '"iterations":1,"cycles":[' . join(',', @{ shift @kernels }) . "]$2"/gem;
    return $log =~ s/"clock":"instructions"/"clock":"time"/r;
}

subtest 'which mode is fastest' => sub {
    my $row = sub { return cells(table(with_cycles($LOG, 'fork', @_)), 'Which mode is fastest', 'fork') };
    my ($one, $same, $far) = ([990, 995, 1000, 1005, 1010], [991, 994, 1001, 1006, 1009], [1500, 1510, 1520, 1530, 1540]);
    is($row->($one, $one, $same, $far), '**ept**|adaptive|lazy|1.52|1.50 to 1.55|1.000|0.985 to 1.015', 'one is as fast, one is not');
    is($row->($one, $far, $far, $one), '**lazy**|-|ept|1.52|1.50 to 1.55|1.000|0.985 to 1.015', 'the next, of two');
    is($row->($far, $one, $same, $same), 'no difference|all|-|-|-|0.658|0.647 to 0.669', 'none is');
    is($row->($one, [1000], [2000, 2000], $far), '**ept**|-|lazy|1.52|too few|1.000|too few', 'and too few to tell');
    my $table = table(with_cycles($LOG, 'fork', $one, $one, $same, $far));
    unlike($table, qr/cycles added for each exit\.$/m, 'where the clock is time nothing is added');
    like(table($LOG), qr/^## Which mode is fastest\n\nWith 1,300 cycles added for each exit\.\n/m, 'else it is said');
    is(cells(table($LOG), 'Which mode is fastest', 'cpuid'), '**ept**|-|adaptive|1.000|too few|190|too few', 'and done');
    unlike(table($NATIVE), qr/Which mode is fastest/, 'of one nothing is said');
    my $log = with_cycles($LOG, 'fork', $one, $one, $same, $far);
    my ($native, $monitored) = split /$NEXT/, $log;
    my $slower = (split /$NEXT/, with_cycles($LOG, 'fork', $one, $one, [map { $_ + 10 } @$same], $far))[1];
    is(cells(table([$native, ($slower) x 4]), 'Which mode is fastest', 'fork'), '**ept**|-|adaptive|1.011|1.011 to 1.011|1.000|0.990 to 1.010',
        'of four boots their medians count');
    like(cells(table([$native, ($monitored) x 3]), 'Which mode is fastest', 'fork'), qr/^\*\*ept\*\*\|adaptive\|lazy/, 'of three the repetitions');
    is_deeply(Report::Results::values_of({ boots => [[1, 2, 3]], cycles => [1, 2, 3], iterations => 1, repetitions => 9 }), [],
        'three values of nine repetitions, as QR codes have them, are no sample');
    program('fastest', $log);
    my ($line) = grep { $_->{report} eq 'fastest' && $_->{workload} eq 'fork' } map { decode_json($_) } split /\n/,
        Machine::file_read("$FOLDER/fastest/results.jsonl");
    is_deeply($line, { report => 'fastest', workload => 'fork', name => 'ept', median => 1000, alike => ['adaptive'], next => 'lazy',
        behind => { ratio => 1.52, low => 1.4950495, high => 1.5454545 }, base => { ratio => 1, low => 0.98514851, high => 1.0150754 } }, 'results.jsonl has it')
        or diag(explain $line);
    (my $hostile = $log) =~ s/"exits":3536,.*?"exit\.PREEMPTION_TIMER":1\}/"exits":0,"exit.PREEMPTION_TIMER":99999999999999999}/;
    isnt($hostile, $log, 'a guest that tells of more exits of the timer than of all');
    like(table($hostile =~ s/"clock":"time"/"clock":"instructions"/r), qr/^# T\n/, 'spoils nothing');
};

subtest 'marks' => sub {
    my $row = sub { return cells(table($_[0]), 'Ratio to native', 'pipe2') };
    is($row->($LOG), '13,405 (1.2%)|1.02 (1.2%)|**1.00** (1.3%) ~|failed', 'within the spread');
    (my $equal = $LOG) =~ s/"cycles":\[(?:6642817|6531203),[^]]*\]/"cycles":[6702383,6702383]/g; # as natively
    (my $apart = $equal) =~ s/"cycles":\[6702383,6702383\]/"cycles":[6624111,6624111]/; # 78,272, half of the range: 78,271
    is($row->($equal), '13,405 (1.2%)|1.00 (0%) ~|1.00 (0%) ~|failed', 'equal: no difference');
    is($row->($apart), '13,405 (1.2%)|**0.99** (0%)|1.00 (0%) ~|failed', 'just beyond it, and best');
};

subtest 'the cost of exits' => sub {
    is(cells(table($LOG), $COST, 'cpuid'), '8 (2.4%)|190 (<0.1%)|190 (<0.1%)|190 (0.1%)', 'the default');
    my ($status) = program('cost', $LOG, '--exit-cost', 80, '--title', 'Mine');
    my $table = Machine::file_read("$FOLDER/cost/table.md");
    is($status, 0, '--exit-cost');
    like($table, qr/\A# Mine\n/, '--title');
    is(cells($table, 'The same with 80 cycles added for each exit', 'cpuid'),
        '8 (2.4%)|37.5 (<0.1%)|37.5 (0.1%)|37.5 (0.3%)', 'another');
    is((program('wrong', $LOG, '--exit-cost', -1))[0], 2, 'a cost below 0 is refused');
};

subtest 'the timer of limit=' => sub {
    (my $none = $LOG) =~ s/"exits":(\d+)(,[^}]*)?,"exit.PREEMPTION_TIMER":1/'"exits":' . ($1 - 1) . ($2 \/\/ '')/ge;
    (my $only = $LOG) =~ s/"exits":1,"exit.PREEMPTION_TIMER":1/"exit.PREEMPTION_TIMER":1/g;
    my $table = table($none);
    unlike($table, qr/timer/i, 'none: not a word');
    my $words = qr/^Exits of the timer that `limit=` sets are left out: [^\n]*\n\n/m;
    for ($LOG, $only) {
        my $other = table($_);
        like($other, $words, 'it is said that its exits are left out');
        is($other =~ s/$words//r, $table, 'and nothing else differs');
    }
};

subtest 'without one of both' => sub {
    my $table = table($MONITORED);
    like($table, qr/^\*\*The log has no native run\*\*: ratios are to the first configuration\.$/m, 'it says so');
    is(cells($table, 'Ratio to ept', 'fork'), '185,346 (0.2%)|**1.00** (0.2%)|1.33 (0.2%)|4.32 (0.1%)', 'ratios to the first');
    is(cells($table, 'Ratio to ept', 'cpuid'), '220 (<0.1%)|1.00 (<0.1%)|1.00 (0.2%) ~|1.00 (0.4%) ~',
        'no mark for the base itself');
    program('alone', $NATIVE);
    my $alone = Machine::file_read("$FOLDER/alone/table.md");
    like($alone, qr/^\| fork +\| +183,041 \(0\.2%\) \|$/m, 'native alone');
    like($alone, qr/^\* processor: Intel.* 3\.50GHz, microcode \n\* where: not told: /m, 'of which not more is said than known');
    is(table([$MONITORED, $NATIVE]), table($LOG), 'two logs, in any order, are as good as one');
};

# System.map as Debian's, and lines that are none of a function.
my $MAP = <<'END';
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81001000 t do_one.constprop.0
ffffffff81001000 d no_code
ffffffff81002000 W clear_page
0000000000000000 T hidden
END

subtest 'functions of a kernel' => sub {
    my $functions = symbols_read($MAP);
    my %in = (
        ffffffff81000000 => '_stext', ffffffff81000fff => '_stext', ffffffff81001000 => 'do_one.constprop.0',
        ffffffff81fffff0 => 'clear_page', ffffffff80ffffff => 'no function of the kernel', '8000000000000000' => 'no function of the kernel',
        '7fffffffffff' => 'user mode', a000 => 'user mode', 0 => 'user mode', ffffffffc0000010 => 'a module');
    is(symbol_of($functions, $_), $in{$_}, "address $_") for sort keys %in;
    is(symbol_of(symbols_read("${MAP}ffffffffc0000000 t of_a_module\t[m]\n"), 'ffffffffc0000010'), 'of_a_module', 'a module that is told');
    is(symbol_of(symbols_read(''), 'ffffffff81000000'), 'no function of the kernel', 'an empty map');
};

# A log whose monitor has counted places under `adaptive`, or another configuration of another log.
sub profiled {
    my (%of) = (log => $LOG, configuration => 'adaptive', @_);
    my $place = sub { my ($at, $reason, $count, $cycles) = @_; qq({"at":"$at","reason":"$reason","count":$count,"cycles":$cycles}) };
    my $sums = sub { join ',', map { qq("$_->[0]":{"places":3,"count":$_->[1],"cycles":$_->[2]}) } @_ };
    my @rip = (['ffffffff81001004', 'CR_ACCESS', 50, 5000], ['ffffffff81001024', 'INVLPG', 10, 10000], ['401000', 'CPUID', 25, 1000],
        ['ffffffff81002000', 'CPUID', 1, 7]);
    my $rip = $of{rip} // join ',', map { $place->(@$_) } @rip;
    my $told = '"exit_reasons":{"CPUID":{"count":26,"cycles":1007,"lowest":7,"highest":1200,"log2":{}},"INVLPG":{"count":10,'
        . '"cycles":10000,"log2":{}}},"places":{"rip":{"rows":9,"most":[' . $rip . '],' . $sums->(['others', 10, 100], ['elsewhere', 4, 8])
        . '},"root":{"rows":9,"most":[' . $place->('1234000', 'CPUID', 100, 16115) . '],' . $sums->(['others', 0, 0], ['elsewhere', 0, 0]) . '}}';
    return $of{log} =~ s/("penumbra":"summary".*"configuration":"$of{configuration}".*)\}$/$1,$told}/mr;
}

sub rows_of {
    my ($table, $heading) = @_;
    my ($part) = $table =~ /^#+ \Q$heading\E\n(.*?)(?=^#|\z)/ms or return "no heading $heading";
    return map { s/^\| +| +\|$//gr =~ s/ +\| +/|/gr } grep { !/^\|[-:|]+\|$/ } $part =~ /^(\|.*)$/mg;
}

subtest 'which code causes the exits' => sub {
    my $code = 'Exits of adaptive, by code of the guest';
    my @head = 'code|exits|share|cycles of one|reasons';
    my @rest = ('places for which `profile=` had no row: give it more|4|4.0%|2|-', 'places with fewer exits|10|10.0%|10|-');
    my $table = table(profiled(), symbols => symbols_read($MAP));
    is_deeply([rows_of($table, $code)], [@head, '`do_one.constprop.0`|60|60.0%|250|CR_ACCESS 50, INVLPG 10',
        '`user mode`|25|25.0%|40|CPUID 25', '`clear_page`|1|1.0%|7|CPUID 1', @rest], 'by function');
    is_deeply([rows_of($table, 'Exits of adaptive, by root of the guest\'s page tables')],
        ['root|exits|share|cycles of one|reasons', '`0x1234000`|100|100.0%|161|CPUID 100'], 'by root');
    is_deeply([rows_of($table, 'Lowest and highest cycles of an exit')], ['reason|adaptive', 'CPUID|7 to 1,200'], 'lowest and highest');
    unlike($table, qr/Exits of (?:ept|lazy), by code/, 'of no configuration that was not asked');
    unlike(table($LOG), qr/Which code causes/, 'nothing where nothing was counted');
    $table = table(profiled());
    like(join("\n", rows_of($table, $code)), qr/^`0xffffffff81001004`\|50\|50\.0%/m, 'without a map: addresses');
    like($table, qr/in `SYMBOLS=` addresses are functions\.$/m, 'and how to have names');
    $table = table(profiled() =~ s/ nokaslr//gr, symbols => symbols_read($MAP));
    like($table, qr/no names, since the guest's kernel chose them at random: give it `nokaslr`/, 'addresses at random have no names');
    like(join("\n", rows_of($table, $code)), qr/^`0xffffffff81001004`/m, 'but themselves');
    my $many = join ',', map { sprintf '{"at":"%x","reason":"CPUID","count":%d,"cycles":0}', 4096 + $_, 100 - $_ } 0 .. 29;
    my @many = rows_of(table(profiled(rip => $many)), $code);
    is(scalar(@many), 1 + 20 + 2, 'at most twenty');
    is($many[-1], 'places with fewer exits|765|29.7%|0.13|-', 'and the others in one row');
    my $twice = table(profiled() . $NEXT . profiled() =~ s/.*\Q$NEXT\E//sr, symbols => symbols_read($MAP));
    is((rows_of($twice, $code))[1], '`do_one.constprop.0`|120|60.0%|250|CR_ACCESS 100, INVLPG 20', 'rounds are added up');
    for ('{"at":"<b>","reason":"CPUID","count":9,"cycles":9}', '{"at":"1","reason":"a|b","count":9,"cycles":9}', '7', '[]',
        '{"at":{},"reason":"CPUID","count":9,"cycles":9}') {
        is_deeply([rows_of(table(profiled(rip => $_)), $code)], [@head, map { s/4\.0%/28.6%/r =~ s/10\.0%/71.4%/r } @rest], "no place: $_");
    }
    my $turns = table(profiled(log => Machine::file_read("$FindBin::RealBin/logs/switch-monitored.log"), configuration => 'switch'));
    is_deeply([$turns =~ /^### (Exits of .*, by code)/mg], ['Exits of switch, by code'], 'a boot of several modes is told once');
    my ($status, $said) = program('places', profiled(), '--symbols', "$FOLDER/no-map");
    is("$status $said", "1 report: $FOLDER/no-map: No such file or directory\n", 'a map that is not there');
    Machine::file_write("$FOLDER/map", $MAP);
    is(join(' ', program('places', profiled(), '--symbols', "$FOLDER/map")), '0 ', 'the program reads one');
    like(Machine::file_read("$FOLDER/places/table.md"), qr/^\| `do_one/m, 'and uses it');
};

subtest 'page walks' => sub {
    like(table($LOG), qr/^The monitor had no performance counters for them\.$/m, 'none in an emulator');
    my $more = '"pmu_walk_cycles_load":15000,"pmu_walk_cycles_fetch":3000,"pmu_walk_cycles_ept":600,"pmu_walks_load":300';
    (my $walks = $LOG) =~ s/("fork",.*?"counters":\{"exits":1,"exit.PREEMPTION_TIMER":1)\}/$1,$more}/;
    my $table = table($walks);
    is(cells($table, 'Cycles of page walks', 'fork'), '200|0|0', 'loads and fetches together');
    is(cells($table, 'Cycles of walks of EPT tables', 'fork'), '6.67|0|0', 'of EPT tables alone');
    is(cells($table, 'Page walks: misses of all TLBs', 'fork'), '3.33|0|0', 'and how many');
};

subtest 'what befalls a configuration' => sub {
    my $last = qr/\{"penumbra":"summary","word":"\w+","run":4,.*?"failed":/;
    (my $died = $LOG) =~ s/\{"bench":"mmap"(?:(?!\{"bench":"mmap").)*\{"bench":"pipe2","error".*?($last)false,"end":"[^"]*/$1true,"end":"triple fault/s;
    my $table = table($died);
    like($table, qr/^\* `lazy`: its guest died: triple fault; what it finished \(4 workloads\) is reported$/m,
        'it dies');
    is(cells($table, 'Ratio to native', 'mmap'), '4,558,805 (0.1%)|**1.02** (0.1%)|1.28 (<0.1%)|-', 'others are reported');
    is(cells($table, 'Ratio to native', 'fork'), $WHOLE, 'and what it had finished');
    (my $broken = $died) =~ s/"end":"triple fault"/"end":"hardware: machine check","machine_check":true/;
    $table = table($broken);
    like($table, qr/^\* `lazy`: the machine failed: hardware: machine check$/m, 'the machine fails');
    is(cells($table, 'Ratio to native', 'fork'), $WHOLE =~ s/[^|]*$/-/r, 'what it had measured counts for nothing');
    (my $left = $died) =~ s/"failed":true,"end":"triple fault"/"failed":false,"end":"guest powered off"/;
    like(table($left), qr/^\* `lazy`: its guest ended \(guest powered off\) before bench did; /m, 'it ends early');
    my $cut = substr $LOG, 0, index($LOG, '{"bench":"fork"', index $LOG, '"run":3');
    $table = table($cut);
    like($table, qr/^\* `adaptive`: the log has no end of it: cut off or damaged there; what it finished \(2 workloads\) is/m,
        'cut off');
    like($table, qr/^\* `lazy`: the log ends before it was begun$/m, 'never begun');
    is(cells($table, 'Ratio to native', 'fork'), '183,041 (0.2%)|1.01 (0.2%)|-', 'alone in its row: not called best');
};

subtest 'damage' => sub {
    (my $broken = $LOG) =~ s/"guest_faults":720,"counters":\{"exits":1,/"guest_fa[   13.1] printk: garbage/;
    my $table = table($broken);
    like($table, qr/^\* lines that could not be read and were left out: 1$/m, 'a broken line is counted');
    is(cells($table, 'Ratio to native', 'fork'), '183,041 (0.2%)|-|**1.35** (0.2%)|4.37 (0.1%)', 'and nothing else is lost');
    my $reset = substr($MONITORED, 0, index($MONITORED, '"guest_faults', index $MONITORED, '"run":1'));
    is(table("$reset$LOG") =~ /left out: 1$/m, 1, 'two lines in one: the first is counted');
    $table = table("$reset$NEXT$LOG");
    like($table, qr/^\* lines that could not be read and were left out: 1$/m, 'a line that is cut off is counted');
    like($table, qr/^\* `ept`, round 1 of 2: the log has no end of it: .* \(0 workloads\)/m, 'the second is read');
    is(cells($table, 'Ratio to native', 'fork'), $WHOLE, 'what was run again is right');
    like($table, qr/^\* boots: 1 of each configuration, 1 natively$/m, 'a boot that measured nothing is not counted');
    (my $nameless = $LOG) =~ s/\{"penumbra":"begin","word":"\w+","run":3[^\n]*\n//;
    is(cells(table($nameless), 'Ratio to native', 'fork'), $WHOLE, 'the summary names it too');
    (my $joined = $LOG) =~ s/\{"penumbra":"summary","word":"\w+","run":3.*?"run":4[^\n]*\n//s;
    $table = table($joined);
    is(cells($table, 'Ratio to native', 'fork'), $WHOLE, 'an end and a beginning are lost');
    unlike($table, qr/^\* lazy: /m, 'parameters of another configuration are not taken for its own');
    (my $odd = $LOG) =~ s/"cycles":\[5550874,/"cycles":["x",/;
    like(table($odd), qr/could not be read and were left out: 1$/m, 'what is no number');
    (my $stray = $NATIVE) =~ s/\{"bench":"begin"[^\n]*\n//;
    like(table("$stray$MONITORED"), qr/^\* results that belong to no configuration and were left out: 6$/m,
        'results without a beginning');
};

# The log with a second round of all configurations behind the first, in which these texts stand for those.
my ($ROUND) = $MONITORED =~ /^(\{"penumbra":"begin".*?)(?=\{"penumbra":"result")/ms;

sub second_round {
    my (%instead) = @_;
    my $second = $ROUND =~ s/"run":(\d),"round":1/'"run":' . ($1 + 4) . ',"round":2'/ger;
    for my $text (sort keys %instead) { $second =~ s/\Q$text\E/$instead{$text}/ or die "no $text in the log\n" }
    return $LOG =~ s/"rounds":1/"rounds":2/r =~ s/(?=\{"penumbra":"result")/$second/r;
}

# Every repetition of ept's fork is 5 % faster in the second round, so that it has the bare machine's between its own.
my @FASTER = ('[5550874,5567903,5560388]' => '[5273330,5289508,5282369]');

subtest 'rounds in one log' => sub {
    my $log = second_round(@FASTER, '"exits":3536,"hidden_faults":540' => '"exits":7072,"hidden_faults":180',
        '"tables_used":87,"tables_peak":96' => '"tables_used":90,"tables_peak":95');
    program('rounds', $log);
    my $table = Machine::file_read("$FOLDER/rounds/table.md");
    is(cells($table, 'Ratio to native', 'fork'), '183,041 (0.2%)|**0.99** (2.7%) ~|1.35 (0.2%)|4.37 (0.1%)',
        'what differs between rounds is in the spread: the difference says nothing');
    is(cells($table, 'Exits for one iteration', 'fork'), '0|58.9|222', 'a mean of the rounds\' exits');
    is(cells($table, 'Hidden faults: exited, and the guest never heard of them', 'fork'), '0|4|205', 'and faults');
    is(cells($table, 'Direct faults: the guest handled them without an exit', 'fork'), '8|8|0|0', 'and of the guest\'s');
    is(cells($table, 'Shadow tables (`tables_used`), KiB, and the most so far', 'fork'), '360 / 384|124 / 132',
        'the largest gauge');
    like($table, qr/^\* boots: 2 of each configuration, 1 natively$/m, 'how many rounds');
    like($table, qr/^The spread of `native` is that of one boot's repetitions; /m, 'which spread is of one round');
    my @befell = $table =~ /^(\* `[^`]*`.*: (?:the|workload) .*)$/mg;
    is_deeply(\@befell, ['* `ept,audit=on`: the monitor refused it: audit= checks shadow tables, and mmu=ept has none: '
        . 'use mmu=shadow, or audit=off.', '* `lazy`: workload pipe2 failed: over its limit of 3 s'], 'what befell all rounds is said once');
    my @lines = map { decode_json($_) } split /\n/, Machine::file_read("$FOLDER/rounds/results.jsonl");
    my ($fork) = grep { $_->{report} eq 'result' && "$_->{configuration} $_->{workload}" eq 'ept fork' } @lines;
    is_deeply([@$fork{qw(rounds repetitions median lowest highest)}], [2, 6, 180673.03, 175777.67, 185596.77], 'a result');
    my @rounds = grep { $_->{report} eq 'configuration' && $_->{configuration} eq 'ept' } @lines;
    is_deeply([map { [@$_{qw(round state)}, $_->{summary}{run}] } @rounds], [[1, 'complete', 1], [2, 'complete', 5]], 'its rounds');
};

subtest 'rounds in several logs' => sub {
    my ($slow) = map { s/\[5483259,5491238,5500637\]/[5593000,5593000,5593000]/r } $NATIVE;
    my $table = table([$NATIVE, $MONITORED, $slow]);
    is(cells($table, 'Ratio to native', 'fork'), '184,894 (1%)|**1.00** (0.2%) ~|1.33 (0.2%)|4.33 (0.1%)', 'natively');
    like($table, qr/^\* boots: 1 of each configuration, 2 natively$/m, 'how many');
    like($table, qr/^The spread of `ept`, `adaptive` and `lazy` is that of one boot's/m, 'and which are not');
    is(table([$slow, $NATIVE, $MONITORED]), $table, 'the order does not matter');
    (my $faster = $MONITORED) =~ s/\Q$FASTER[0]\E/$FASTER[1]/;
    my $one = second_round(@FASTER);
    is(table([$LOG, $faster]), table($one), 'two boots of the monitor are as good as one');
    my $all = table([$NATIVE, $one, $MONITORED]);
    like($all, qr/^\* boots: 3 of each configuration, 2 natively$/m, 'and so are three in two');
    unlike($all, qr/one boot's repetitions/, 'no spread is of one boot');
};

subtest 'rounds that do not go well' => sub {
    my $summary = '"configuration":"lazy","mmu":"shadow","vpid":true,"failed":';
    my $table = table(second_round("${summary}false,\"end\":\"guest powered off" => "${summary}true,\"end\":\"triple fault",
        '[24056076,23986392,23993461]' => '[24777758,24705984,24713265]',
        '{"bench":"pipe2","error":' => '{"lost":'));
    like($table, qr/^\* `lazy`, round 2 of 2: its guest died: triple fault; what it finished \(5 workloads\) is/m,
        'one died');
    is(cells($table, 'Ratio to native', 'fork'), '183,041 (0.2%)|**1.01** (0.2%)|1.35 (0.2%)|4.44 (1.6%)', 'it is in the sums');
    like($table, qr/^\* `lazy`, round 1 of 2: workload pipe2 failed: over its limit of 3 s$/m, 'a workload failed');
    $table = table(second_round('"iterations":2,"cycles":[9266325,' => '"error":"exit status 3","cycles":[9266325,'));
    is(cells($table, 'Ratio to native', 'mmap'), '4,558,805 (0.1%)|**1.02** (0.1%)|1.28 (<0.1%)|1.80 (0.2%)',
        'in one round');
    like($table, qr/^\* `ept`, round 2 of 2: workload mmap failed: exit status 3$/m, 'which is said');
    my $cut = second_round(@FASTER);
    $cut = substr $cut, 0, index $cut, '{"bench":"fork"', index $cut, '"run":7';
    $table = table($cut);
    like($table, qr/^\* `adaptive`, round 2 of 2: the log has no end of it: .* \(2 workloads\) is reported$/m, 'one is cut off');
    like($table, qr/^\* `lazy`: measured in 1 of the 2 boots that others have$/m, 'one was not begun');
    like($table, qr/^\* `lazy`: the log ends before all of its rounds were begun: 1 of 2 are missing$/m, 'as the first line told');
    like($table, qr/^\* boots: 1 to 2 of each configuration, 1 natively$/m, 'how many there are');
    is(cells($table, 'Ratio to native', 'fork'), '183,041 (0.2%)|**0.99** (2.7%) ~|1.35 (0.2%)|4.37 (0.1%)', 'what there is is used');
    my $pipe = '{"bench":"pipe2","iterations":500,"cycles":[13405000],"guest_faults":0,"counters":{},"gauges":{}}';
    $table = table(second_round('{"bench":"pipe2","error":"over its limit of 3 s"}' => $pipe));
    is(cells($table, 'Ratio to native', 'pipe2'), '13,405 (1.2%)|1.02 (1.2%)|**1.00** (1.3%) ~|2.00 (0%)', 'measured in one');
    like($table, qr/^\* `lazy`, round 1 of 2: workload pipe2 failed/m, 'and failed in the other');
};

# A machine whose clock is time, at 2 GHz, on which a made-up sweep was measured: an access takes 1 ns in the cache, and more where
# the working set has outgrown it and, in pages of 4K, the TLB. $WALK is what the walk takes natively and under each configuration.
my %WALK = (native => 5, ept => 12, adaptive => 5, lazy => 5);

sub swept_lines {
    my ($walk) = @_;
    my @lines;
    for my $page (4096, 2 << 20) {
        for my $power (map { 2**$_ } 12 .. 30) {
            my $ns = 1 + ($power > 1 << 22 ? 30 : 0) + ($power / $page > 1536 ? $walk : 0);
            my $name = sprintf 'sweep@%s%s', $power >= 1 << 30 ? '1G' : $power >= 1 << 20 ? ($power >> 20) . 'M' : ($power >> 10) . 'K', $page > 4096 ? '@2M' : '';
            push @lines, "{\"bench\":\"$name\",\"iterations\":1000,\"cycles\":[" . join(',', map { 2000 * $ns + $_ } 0, 2, 4) . ']'
                . ",\"guest_faults\":0,\"group\":\"sweep\",\"working_set\":$power,\"page\":$page}" if $power >= $page;
        }
    }
    push @lines, '{"bench":"sweep@2G","error":"needs 2312 MiB of free memory, there are 1000","group":"sweep","working_set":2147483648,"page":4096}';
    my $join = '{"bench":"hashjoin@64M","iterations":2,"cycles":[' . 32_000_000 * $walk . ',' . 32_000_040 * $walk
        . '],"guest_faults":0,"group":"walks","operation":"tuple","operations":2000000,"working_set":67108864,"page":4096}';
    return join "\n", @lines, $join, '';
}

sub swept {
    my ($native, $monitored) = ($NATIVE, $MONITORED);
    $native =~ s/^(?=\{"bench":"end")/swept_lines($WALK{native})/me;
    my @names = qw(ept adaptive lazy);
    $monitored =~ s/^(?=\{"bench":"end")/swept_lines($WALK{ shift @names })/gme;
    return join $NEXT, $native, $monitored =~ s/"clock":"instructions"/"clock":"time"/r =~ s/"tsc_khz":\K\d+/2000000/r;
}

subtest 'operations, groups, and a sweep of synthetic data' => sub {
    my ($status, $said) = program('swept', swept(), '--title', 'Synthetic data: no machine was measured');
    is("$status $said", '0 ', 'the program says nothing');
    my $table = Machine::file_read("$FOLDER/swept/table.md");
    is(cells($table, 'What one operation takes', 'hashjoin@64M'), 'tuple|20|48|20|20', 'nanoseconds of an operation');
    is(cells($table, 'What one operation takes', 'fork'), 'iteration|91,521|92,673|123,325|399,891', 'an iteration is one, where nothing is told');
    like($table, qr/^The median, in ns\.$/m, 'which is said');
    is(cells($table, 'Which mode is fastest', 'hashjoin@64M') =~ s/\|.*//r, 'walks', 'the group');
    my ($sweep) = $table =~ /^## An access by its working set\n(.*?)(?=^## )/ms;
    is(scalar(() = $sweep =~ /^\| \d+[KMG] /mg), 30, 'a row for each point');
    like($sweep, qr/^\| 512M +\| +4K \| +36 \| +43 \| +36 \| +36 \|$/m, 'one in small pages');
    like($sweep, qr/^\| 512M +\| +2M \| +31 \| +31 \| +31 \| +31 \|$/m, 'one in large pages');
    like($sweep, qr/^\| 2G +\| +4K \| +failed \|/m, 'one that did not fit');
    unlike($sweep, qr/flat/, 'a clock that is time can tell');
    unlike($table =~ s/\Q$sweep\E//r, qr/^\| sweep/m, 'the points are in no other table');
    my $svg = Machine::file_read("$FOLDER/swept/sweep.svg");
    like($svg, qr/\Q$_\E/, "the picture has $_") for 'Synthetic data', 'native, 4K', 'lazy, 2M', 'ns for one access', '64M', 'working set';
    ok(well_formed($svg), 'and is well formed');
    my @lines = map { decode_json($_) } split /\n/, Machine::file_read("$FOLDER/swept/results.jsonl");
    my ($point) = grep { ($_->{workload} // '') eq 'sweep@512M' && $_->{configuration} eq 'ept' } @lines;
    is_deeply([@$point{qw(group working_set page median)}], ['sweep', 512 << 20, 4096, 86.002], 'the lines have the points');
    like(table(swept() =~ s/"clock":"time"/"clock":"instructions"/r), qr/^\*\*It is flat here: an emulator that counts instructions has neither TLB nor caches\.\*\*$/m, 'one that counts instructions cannot');
    my $alone = swept() =~ s/^\{"bench":"(?!begin|end|sweep).*\n//mgr;
    is((program('sweep-alone', $alone =~ s/("bench":"sweep\@4K".*)\}$/$1,"gauges":{"tables_used":9}}/mgr))[0], 0, 'a sweep without any other workload');
    for my $bad ('"group":"<b>"', '"group":["walks"]', '"operations":0', '"operations":-1', '"page":"x"', '"working_set":1e30', '"operation":"a|b"') {
        my ($key) = $bad =~ /^("\w+":)/;
        my $odd = swept() =~ s/^(\{"bench":"hashjoin.*?)\Q$key\E(?:"\w+"|\d+)/$1$bad/mr;
        like(table($odd), qr/lines that could not be read and were left out: 1$/m, "a line with $bad is none");
    }
};

subtest 'rounds that do not fit together' => sub {
    my $table = table(second_round('{"bench":"fork","iterations":30,"cycles":[555' => '{"bench":"fork","iterations":60,"cycles":[555'));
    is(cells($table, 'Ratio to native', 'fork'), '183,041 (0.2%)|**0.51** (0.2%)|1.35 (0.2%)|4.37 (0.1%)', 'the later iterations');
    like($table, qr/^\* `ept`, round 2 of 2: workload fork had 60 iterations, and 30 before: what was before is left out$/m, 'said');
    my $begin = '"configuration":"adaptive","parameters":"mmu=shadow vpid=on';
    my $words = qr/^\*\*Rounds of `adaptive` had different parameters\*\*: `vpid=on mem=256M` and `vpid=off mem=1G`\.$/m;
    like(table(second_round("$begin mem=256M" => $begin =~ s/on$/off mem=1G/r)), $words, 'other parameters');
    my $in_vain = '"without_effect":[{"asked":"page=1g","instead":"page=2m","by":"machine","why":"too | large"},'
        . '{"asked":"root=inplace","by":"configuration","why":"a reason"}],';
    $table = table(second_round($begin => $begin =~ s/"parameters":"/$in_vain$&page=2m /r));
    like($table, qr/^\* `adaptive`, round 2 of 2: this machine cannot do `page=1g` \(too \\\| large\); in effect was `page=2m`$/m, 'in vain here');
    unlike($table, qr/cannot do `root/, 'what would be so on every machine');
    $table = table($LOG =~ s/$begin/$begin =~ s{"parameters":"}{$in_vain$&}r/er);
    like($table, qr/^\* `root=inplace` \(a reason\): `adaptive`$/m, 'stands with the parameters');
    for my $odd ('7', '[7]', '[{"by":"machine"}]', '[{"by":"configuration","why":[]}]', '{}') {
        like(table($LOG =~ s/$begin/"configuration":"adaptive","without_effect":$odd,"parameters":"mmu=shadow vpid=on/r), qr/^# T$/m, "odd: $odd");
    }
    unlike(table(second_round($begin => "$begin compare=adaptive compare.repeat=2")), qr/had different parameters/,
        'what else is compared does not matter');
    (my $isolated = $LOG) =~ s/console=ttyS0 reboot=acpi/$& nosmep/g;
    my @warnings = table([$LOG, $isolated]) =~ /^(\*\*.*)$/mg;
    is_deeply([grep { /Rounds/ } @warnings], ['**Rounds of `ept`, `adaptive`, `lazy` and `native` had different command '
        . 'lines of the guest**: `nothing else` and `nosmep`.'], 'other words for the guest');
    my ($single) = map { s/^.*?"penumbra":"begin"[^\n]*\n//sr } $ROUND =~ s/\{"penumbra":"refused".*//sr;
    $single =~ s/"run":1,"round":1,"configuration":"ept",//;
    $single = "$WORD_LINE\n$single";
    $table = table([$NATIVE, $single, $MONITORED, $single]);
    is(cells($table, 'Ratio to native', 'mmap'), '4,558,805 (0.1%)|1.02 (0.1%)|1.02 (0.1%)|1.28 (<0.1%)|1.80 (0.2%)|1.02 (0.1%)',
        'runs whose parameters are not known are not put together');
    like($table, qr/\| ept \(2\) \| +ept \| .* \| ept \(3\) \|$/m, 'and have names of their own');
};

# The log with these lines of a guest's in the run of ept, behind its workload exec.
sub with_lines {
    my ($log, @lines) = @_;
    my $at = index $log, '{"bench":"mmap"', index $log, '"configuration":"ept"';
    return substr($log, 0, $at) . join('', map { "$_\n" } @lines) . substr $log, $at;
}

# Of the first table, without the heading and the rows' first cell, these columns (native is 0).
sub columns_of {
    my ($table, @columns) = @_;
    my ($part) = $table =~ /^## Ratio to native\n\n[^\n]*\n[^\n]*\n((?:\|[^\n]*\n)+)/m or return 'no table';
    return join "\n", map { join '|', ((split /\|/)[map { $_ + 2 } @columns]) } split /\n/, $part;
}

my $WORD = ($WORD_LINE =~ /(\w+)\]/)[0];
my $FORGED_NATIVE = '{"bench":"begin","monitor":"","kernel":"6.1"}';
my $FORK = '{"bench":"fork","iterations":30,"cycles":[30,30],"guest_faults":0}';
my $REFUSED = qr/^\*\*Lines that claim to be the monitor's, or a native run's under it, and are not: (\d+)\.\*\*/m;

subtest 'by turns in several modes' => sub {
    my ($turn, $refused) = map { '{"bench":' . $_ . '}' } '"fork","mode":"trace","positions":[0],"iterations":30,"cycles":[30]',
        '"refused","mode":"lazy","error":"no"';
    my $table = table(with_lines($LOG, $turn, $refused));
    like($table, qr/^\* results by turns in modes that the monitor did not want measured \(`bench -m`\), left out: 2$/m, 'it is said');
    is(cells($table, 'Ratio to native', 'fork'), $WHOLE, 'and none is taken for one of the configuration');
};

# logs/switch-*.log: three modes, each by a boot of its own and by turns.
my ($BOOTED, $SWITCHED) = map { Machine::file_read("$FindBin::RealBin/logs/switch-$_.log") } qw(native monitored);
my $BOTH = "$BOOTED$NEXT$SWITCHED";

sub both_with { my ($from, $to) = @_; my $log = $BOTH; (ref $to ? $log =~ s/$from/$to->()/e : $log =~ s/$from/$to/) or die "nothing like $from"; return table($log) }

subtest 'the same modes by boot and by switch' => sub {
    my ($status) = program('switch', $BOTH);
    is($status, 0, 'it ends well');
    golden_is('switch');
    my $agreement = 'The same mode by switch and by boot';
    my $table = table($BOTH);
    is(cells($table, $agreement, 'mmap'), '1.000 (0.995 to 1.000)|1.000 (0.998 to 1.001)|1.001 (1.000 to 1.002)', 'they agree');
    unlike($table, qr/is not the same by switch/, 'and nobody shouts');
    like($table, qr/^\*\*By switch and by boot agree\.\*\* More than 5 % apart: none of 9 measurements/m, 'in a sentence');
    my @lines = grep { $_->{report} eq 'agreement' } map { decode_json($_) } split /\n/, Machine::file_read("$FOLDER/switch/results.jsonl");
    is(scalar(@lines), 9, 'results.jsonl has them');
    is(join(' ', sort map { $_->{configuration} } grep { $_->{without_pcid} } @lines), 'ept ept ept', 'and whose boot had PCID');
    my $slower = sub { my ($begin, $cycles, $end) = @_; return $begin . join(',', map { $_ * 2 } split /,/, $cycles) . $end };
    my $double = sub { my ($mode) = @_; my $log = $BOTH;
        $log =~ s/(\{"bench":"mmap","mode":"$mode",[^\[]*\[[\d,]*\],[^\[]*\[)([\d,]+)(\])/$slower->($1, $2, $3)/e or die; return table($log) };
    like($double->('trace'), qr/^\*\*trace is not the same by switch and by boot\*\*, by more than 5 %, for mmap\.\n\n/m, 'one that is not is told');
    like($double->('trace'), qr/^\*\*By switch and by boot do not agree everywhere\.\*\* More than 5 % apart: 1 of 9 .*\n.*The farthest apart is mmap under trace: by switch it takes 2\.00 of/m,
        'and counted');
    like($double->('ept'), qr/^\*\*ept is not .* for mmap\.\nA known reason: its boot has PCID/m, 'with the reason that is known');
    like(cells($double->('ept'), $agreement, 'mmap'), qr/^2\.00 \(1\.99 to 2\.00\) !\|/, 'and marked');
};

subtest 'what is by turns is compared in pairs' => sub {
    my $fastest = 'Which mode is fastest';
    my $whole = cells(table($BOTH), $fastest, 'fork');
    like($whole, qr/^\*\*ept \(switch\)\*\*\|-\|adaptive \(switch\)\|1\.62\|1\.61 to 1\.62\|/, 'and with no boot of its own');
    my $drift = $BOTH; # each round twice as long as the one before
    $drift =~ s/(\{"bench":"fork","mode":"[^\[]*\[[\d,]*\],[^\[]*\[)([\d,]+)/my ($b, $n) = ($1, 0); $b . join ',', map { $_ * 2 ** $n++ } split m|,|, $2/ge;
    unlike(cells(table($drift), $fastest, 'fork'), qr/no difference/, 'a drift of all modes cancels');
    my $slower_by = sub { my ($factor) = @_; my $log = $BOTH;
        my ($cycles) = $log =~ /"pipe2","mode":"ept".*?"cycles":\[([\d,]+)/ or die;
        $log =~ s/("pipe2","mode":"(?:adaptive|trace)".*?"cycles":\[)[\d,]+/$1 . join ',', map { int $_ * $factor } split m|,|, $cycles/ge; return $log };
    like(cells(table($slower_by->(1.003)), $fastest, 'pipe2'), qr/^no difference\|all\|/, 'what is sure and less than 0.5 % is no difference');
    like(cells(table($slower_by->(1.02)), $fastest, 'pipe2'), qr/^\*\*ept \(switch\)\*\*\|-\|/, 'and what is more is one');
    my $seldom = both_with(qr/("mode":"adaptive","positions":\[\d,\d,\d)[^]]*(.*?"cycles":\[\d+,\d+,\d+)[^]]*/, sub { "$1$2" });
    like(cells($seldom, $fastest, 'fork'), qr/^\*\*ept \(switch\)\*\*\|-\|adaptive \(switch\)\|1\.\d+\|1\.\d+ to 1\.\d+\|/, 'a mode of three rounds apart from the others');
    my $single = $SWITCHED =~ s/^\{"penumbra":"begin","word":"\w+","run":[123],.*?(?=^\{"penumbra":"begin")//smgr;
    my $alone = table("$BOOTED$NEXT$single");
    unlike($alone, qr/The same mode by switch/, 'without a boot there is nothing to agree with');
    is(cells($alone, $fastest, 'fork'), $whole, 'and what is fastest is the same');
    like($alone, qr/^\* `ept`: the log ends before it was begun$/m, 'what was to be booted is missed');
    unlike($alone, qr/^\* `switch`: the log ends/m, 'what was switched is not');
};

subtest 'by turns, what a log lacks or a guest invents' => sub {
    like(both_with(qr/(?<="bench":"mmap","mode":)"trace"/, q("mine")) , qr/did not want measured \(`bench -m`\), left out: 1$/m, 'no mode of a guest\'s own');
    my $cut = $BOTH =~ s/^\{"bench":"mmap","mode":"adaptive".*//msr;
    like(table($cut), qr/^\* `trace \(switch\)`: the log has no end of it: cut off or damaged there; what it finished \(2 workloads\) is reported$/m, 'a cut log');
    like(cells(table($cut), 'Ratio to native', 'mmap'), qr/\|-\|-$/, 'what it lacks is not there');
    my $no = both_with(qr/(?=\{"bench":"fork","mode":"ept")/, qq({"bench":"refused","mode":"lazy","error":"no"}\n));
    like($no, qr/left out: 1$/m, 'a refusal of a mode that was not asked for');
    my $refused = $BOTH =~ s/^\{"bench":"\w+","mode":"trace".*\n//mgr;
    $refused =~ s/(?=\{"bench":"fork","mode":"ept")/{"bench":"refused","mode":"trace","error":"no memory"}\n/;
    like(table($refused), qr/^\* `trace \(switch\)`: the monitor refused it: its guest was told: no memory$/m, 'and of one that was');
};

# logs/auto-*.log: a configuration with mmu=auto beside EPT.
my $AUTO = join $NEXT, map { Machine::file_read("$FindBin::RealBin/logs/auto-$_.log") } qw(native monitored);

subtest 'what mmu=auto chose' => sub {
    my $chose = 'What `mmu=auto` chose';
    my $told = qr/^## \Q$chose\E\n\n(\* `auto`.*)\n/m;
    my ($line) = table($AUTO) =~ $told;
    is($line, '* `auto`: 18.52 s under EPT, 5.22 s under shadow paging, 2 changes of the guest\'s mode; at the last change whose effect was seen, '
        . 'the new mode was predicted to cost 37.3 % of the guest\'s own work, and cost 29.5 %', 'the account of the run');
    is(cells(table($AUTO), $chose, $_->[0]), $_->[1], "of $_->[0]")
        for ['alu', '0 % shadow paging, 0 changes'], ['walks', '95 % shadow paging, 1 change'], ['maps', '0 % shadow paging, 0 changes'];
    my $more = sub { my ($counts) = @_; return (table($AUTO =~ s/("penumbra":"summary".*"auto_ept")/$counts,$1/r) =~ $told)[0] };
    like($more->('"auto_root_changes":1,"auto_visits":2000'), qr/ 2 changes of the guest's mode; 1 change of a root's mode, and 2,000 visits to roots of the other mode; at /, 'by root');
    unlike($more->('"auto_root_changes":0,"auto_visits":0'), qr/root/, 'and nothing of it where it was not');
    like($more->('"auto_effects":0'), qr/ 2 changes of the guest's mode; no change's effect was seen$/, 'no effect of 0 %');
    unlike(table($LOG), qr/mmu=auto/, 'and not a word where nothing was chosen');
    my ($two) = table([$AUTO, $AUTO =~ s/.*$NEXT//sr =~ s/("penumbra":"summary".*"auto_ept":)\d+/${1}1230/r]) =~ /^(\* `auto`, round 2 of 2: .*?),/m;
    is($two, '* `auto`, round 2 of 2: 1.23 s under EPT', 'rounds that differ, each');
    (my $odd = $AUTO) =~ s/("penumbra":"summary".*"auto_seen":)\d+/$1"<b>"/;
    unlike(table($odd), $told, 'a number that is none is not told');
};

subtest 'a guest that speaks for others' => sub {
    my $right = table($LOG);
    unlike($right, $REFUSED, 'of a log without such lines nothing is said');
    my @column = map { '{"penumbra":"' . $_ . '","run":9,"configuration":"mine","end":"guest powered off"}' } qw(begin summary);
    my @guessed = map { s/"run"/"word":"0123456789ab","run"/r } @column;
    my @machine = map { s/configuration":"mine/configurations":["mine"],"version":"mine/r } map { s/begin|summary/machine/r } @column[0, 0];
    my @end = ('{"penumbra":"end","configurations":4,"refused":1,"failed":0}', '[penumbra] ' . $WORD_LINE =~ s/.*\] //r,
        '[penumbra 0123456789ab] a line with this word is the monitor\'s, one without it a guest\'s');
    for (['the native baseline', 1, $FORGED_NATIVE, $FORK], ['a column', 2, $column[0], $FORK, $column[1]],
        ['a column with a word', 2, $guessed[0], $FORK, $guessed[1]], ['another monitor', 1, $machine[0], $FORK],
        ['the end of the monitor', 2, @end, $FORGED_NATIVE, $FORK],
        ['its own summary', 1, '{"penumbra":"summary","run":1,"round":1,"configuration":"ept","end":"triple fault","failed":true}', $FORK]) {
        my ($name, $count, @lines) = @$_;
        my $table = table(with_lines($LOG, @lines));
        is(($table =~ $REFUSED)[0], $count, "$name: it is said how many lines are refused");
        is(columns_of($table, 0, 2, 3), columns_of($right, 0, 2, 3), "$name: no other column has changed");
        is(($table =~ /^## What did not go.*?\n(?=## )/ms)[0], ($right =~ /^## What did not go.*?\n(?=## )/ms)[0],
            "$name: nothing else befell");
        unlike($table, qr/mine|unnamed/, "$name: there is no column more");
    }
    is(columns_of(table(with_lines($LOG, '{"bench":"begin","monitor":"PenumbraVMM"}', $FORK)), 0, 2, 3), columns_of($right, 0, 2, 3),
        'its bench begins again: that is its own run');
    my $replayed = table(with_lines($LOG, "{\"penumbra\":\"begin\",\"word\":\"$WORD\",\"configuration\":\"mine\"}"));
    like($replayed, qr/mine/, 'only the word makes the difference');
};

subtest 'a native guest that speaks for a monitor' => sub {
    (my $native = $NATIVE) =~ s/(?=\{"bench":"end")/$MONITORED/;
    my $mixed = qr/^\*\*Logs in which a monitor's lines follow a native run: 1\.\*\*/m;
    is(table($native), "report: there is no result in the log\n", 'nothing of its log is used');
    my $table = table([$native, $MONITORED]);
    like($table, $mixed, 'which is said');
    like($table, qr/^\* boots: 1 of each configuration$/m, 'and what is in other logs is');
    like(table(["$MONITORED$NATIVE", $NATIVE]), qr/^\* boots: 1 of each configuration, 2 natively$/m,
        'behind the last line of a monitor a native run is one');
    like(table(["$MONITORED$NATIVE$MONITORED"]), $mixed, 'and has what follows');
    (my $begins = $MONITORED) =~ s/^.*?(?=\{"bench":"fork")//s;
    like(table([$NATIVE, "$FORGED_NATIVE\n$FORK\n$begins"]), $mixed, 'a monitored guest, of a log that begins in the middle');
};

subtest 'a log that begins in the middle' => sub {
    my $late = qr/^\*\*Logs whose beginning is missing: 1\.\*\*/m;
    (my $begins = $MONITORED) =~ s/^.*?(?=\{"bench":"fork")//s;
    my $table = table([$NATIVE, $begins]);
    like($table, $late, 'that is said');
    is(cells($table, 'Ratio to native', 'fork'), '183,041 (0.2%)|-|**1.35** (0.2%)|4.37 (0.1%)', 'what can be told is told');
    (my $damaged = $MONITORED) =~ s/\{"penumbra":"machine"/{"penum/;
    unlike(table([$NATIVE, $damaged]), $late, 'the other line that tells the word is there');
    (my $silent = $damaged) =~ s/^\[penumbra .*\n//m;
    like(table([$NATIVE, $silent]), $late, 'neither is');
    my @lines = map { "{\"penumbra\":\"$_\",\"word\":\"0123456789ab\",\"configuration\":\"mine\"}\n" } qw(machine begin summary);
    like(table([$NATIVE, $lines[0] . $lines[1] . "$FORK\n" . $lines[2] . $begins]), $REFUSED, 'a guest was first');
};

subtest 'counters that a guest made up' => sub {
    my ($log, @natives) = map { Machine::file_read($_) } sort glob "$FindBin::RealBin/logs/bochs-*.log";
    unlike(table([$log, @natives]), qr/its guest told of/, 'none');
    my $at = index $log, '"exits":', index $log, '{"bench":"fork"', index $log, '"round":2,"configuration":"adaptive"';
    substr($log, $at, length '"exits":') = '"exits":10000';
    like(table([$log, @natives]), qr/^\* `adaptive`, round 2 of 3: its guest told of \S+ exits in its workloads, the monitor counted /m,
        'more than there were');
};

subtest 'roots whose places were refused' => sub {
    my $log = Machine::file_read("$FindBin::RealBin/logs/bochs-monitored.log");
    my $said = qr/^\* `(\S+)`: (\S+) loads of its guest's roots exited/m;
    unlike(table([$log]), $said, 'none');
    for ([63, undef], [12345, '12,345']) {
        my ($count, $words) = @$_;
        (my $changed = $log) =~ s/"places_refused":\K0/$count/g;
        my @found = table([$changed]) =~ $said;
        is($found[1], $words, "$count of them");
    }
};

# What a person sees while it runs (iso/report/follow).
sub followed {
    my ($name, @lines) = @_;
    Machine::file_write("$FOLDER/followed", join '', map { "$_\r\n" } @lines);
    return qx($Machine::TOP/iso/report/follow $name <$FOLDER/followed);
}

subtest 'progress' => sub {
    my ($machine) = $MONITORED =~ /^(\{"penumbra":"machine".*)/m;
    my $refusal = '[penumbra] error: Penumbra cannot run here. No VT-x.';
    my @forged = ('[penumbra] comparison: 4 of 4, forged', '[penumbra 0123456789ab] comparison: 4 of 4, forged',
        '{"penumbra":"machine","word":"0123456789ab"}', $refusal);
    is(followed('monitored', $machine, @forged, "[penumbra $WORD] comparison: 1 of 4, ept: \e[2Jx", '{"bench":"end"}'),
        "compare: 1 of 4, ept: ?[2Jx\ncompare: monitored: workloads have ended\n", 'only the monitor tells how far it is');
    is(followed('native-1', @forged, '{"bench":"begin"}'), "compare: native-1: workloads begin\n", 'and a native guest nothing of it');
    is(followed('monitored', $refusal, $machine), "compare: Penumbra cannot run here. No VT-x.\n", 'before all guests it can refuse');
};

# What a guest can name, and what it can put into a sentence.
subtest 'text of a guest' => sub {
    my $ran = "$FOLDER/ran";
    unlink $ran;
    my @names = map { "{\"bench\":\"$_\",\"iterations\":30,\"cycles\":[30,30],\"guest_faults\":0}" } "`touch $ran`", 'a|b', '<b>', '\u001b[2J',
        'x' x 64, '';
    my $key = '{"bench":"mine","iterations":1,"cycles":[9,9],"counters":{"exits":5,"exit.`touch ' . $ran . '`":5}}';
    my ($status) = program('hostile', with_lines($LOG, @names, $key));
    ok($status == 0 && !-e $ran, 'no name is a command for gnuplot');
    is(Report::Gnuplot::quoted(q(`a` "b" 'c' \d)), q('`a` "b" ''c'' \d'), 'nor would another text be one');
    my $table = Machine::file_read("$FOLDER/hostile/table.md");
    like($table, qr/^\* lines that could not be read and were left out: 7$/m, 'names that can be none are refused');
    my $error = '{"bench":"mine","error":"<b>x</b>|`y`\u001b]0;z\u0007 **w** [l](u)"}';
    my $kernel = with_lines($LOG, $error) =~ s/"kernel":"/"kernel":"`|<i>/gr;
    $table = table($kernel);
    my $text = '* `ept`: workload mine failed: &lt;b&gt;x&lt;/b&gt;\|\`y\`?\]0;z? \*\*w\*\* \[l\](u)';
    ok(index($table, "\n$text\n") >= 0, 'an error is text') or diag($table =~ /(.*mine failed.*)/);
    like($table, qr/^\* guest kernel: `` `\|<i>6\.1/m, 'a kernel\'s name is code');
    unlike($table, qr/[^\n\x20-\x7e]/, 'and nothing is a control character');
};

# A line with such a number is left out, and costs no other configuration its row or its picture.
subtest 'numbers of a guest' => sub {
    my $of = sub { my ($what) = @_; return '{"bench":"fork","iterations":1,"cycles":[5],"guest_faults":0}' =~ s/"$what->[0]":[^,]*[\]\d]/"$what->[0]":$what->[1]/r };
    my @odd = map { $of->($_) } (map { [cycles => "[$_]"] } qw(0 -5 1.5 1e400 "nan" "inf" null {} "0x10" " 5")),
        (map { [iterations => $_] } qw(0 1e-320 1e400 "inf" true [])), map { [guest_faults => $_] } qw(-1 1e400 "nan");
    push @odd, map { my $map = $_; map { '{"bench":"fork","iterations":1,"cycles":[5],"' . $map . '":{"exits":' . $_ . '}}' } qw(-1 1e400 "nan" []) }
        qw(counters gauges);
    my ($status) = program('numbers', with_lines($LOG, @odd), '--title', 'T');
    is($status, 0, 'there is a report with its pictures');
    my $table = Machine::file_read("$FOLDER/numbers/table.md");
    like($table, qr/^\* lines that could not be read and were left out: @{[scalar @odd]}$/m, 'all are left out, and counted');
    is(columns_of($table, 0, 2, 3), columns_of(table($LOG), 0, 2, 3), 'the others are as without them');
};

# Such a log may be a guest's from its first line on.
subtest 'a monitor\'s text where the beginning is missing' => sub {
    my @late = map { /(.*)/ } '{"penumbra":"begin","word":"0123456789ab","run":1,"round":1,"configuration":"<b>`x`|"}',
        '{"penumbra":"machine","word":"0123456789ab","version":"<b>","memory_mib":"<i>","rounds":1,"configurations":["ept"]}',
        '{"penumbra":"begin","word":"0123456789ab","run":1,"round":1,"configuration":"ept","parameters":"<b>"}',
        '{"bench":"begin","monitor":"PenumbraVMM"}', '{"bench":"fork","iterations":1,"cycles":[5]}';
    my $table = table(join "\n", @late, '');
    unlike($table =~ s/`[^`]*`//gr, qr/<[bi]>/, 'is text as a guest\'s is');
    like($table, qr/^\* lines that could not be read and were left out: 1$/m, 'and a configuration has a name of a configuration');
};

subtest 'nothing to report' => sub {
    for (['empty', ''], ['noise', "SeaBIOS\r\n[penumbra] error: Penumbra cannot run here.\r\n"],
        ['refused', "{\"penumbra\":\"refused\",\"run\":1,\"configuration\":\"ept\",\"reason\":\"no EPT\"}\r\n"]) {
        my ($name, $log) = @$_;
        is(join(' ', program($name, $log)), "1 report: there is no result in the log\n", $name);
    }
    like(table("$NATIVE$NEXT\x1f\x8b\x08 packed"), qr/^\* logs without any line of JSON, .*: 1$/m, 'one of several logs has nothing: it is said');
    unlike(table($LOG), qr/logs without/, 'and else it is not');
    my @command = ("$Machine::TOP/iso/report/report", '--output', "$FOLDER/none", "$FOLDER/no-such");
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
        push @bad, "hole at $at: $table" unless $table =~ /^# T\n|^report: there is no result in the log\n$/;
    }
    is("@bad", '', 'a table or the sentence');
};

# What the monitor's QR codes hold (hv/compare.c, compare_json), and the texts of the codes, as the encoder makes them.
sub handed_out {
    my %line = (penumbra => 'machine', word => '0123456789ab', version => 'v', processor => 'P', clock => 'time', rounds => 3,
        configurations => ['ept', 'trace', 'lazy']);
    my @lines = {%line};
    my @ends = (['ept', 0, 0, 'guest powered off'], ['trace', 1, 0, 'no such thing'], ['lazy', 0, 1, 'guest triple fault']);
    for (@ends) {
        my ($name, $refused, $failed, $end) = @$_;
        push @lines, { penumbra => 'outcome', word => $line{word}, configuration => $name, parameters => 'mmu=ept vpid=off',
            without_effect => [{ asked => 'a=1', instead => 'a=0', by => 'machine', why => 'it has no a' }], refused => $refused ? JSON::PP::true : JSON::PP::false,
            failed => $failed ? JSON::PP::true : JSON::PP::false, end => $end };
    }
    my %result = (penumbra => 'result', word => $line{word}, iterations => 10, median => 2000, lowest => 1900, highest => 2200);
    push @lines, { %result, configuration => 'lazy', workload => 'fork', repetitions => 9, exits => 900 };
    push @lines, { %result, configuration => 'lazy', workload => 'exec', repetitions => 0, exits => 0 };
    push @lines, { penumbra => 'result', word => 'ffffffffffff', configuration => 'lazy', workload => 'forged', iterations => 1,
        repetitions => 1, median => 1, lowest => 1, highest => 1, exits => 0 };
    return join '', map { JSON::PP->new->canonical->encode($_) . "\n" } @lines;
}

sub codes_made {
    my ($text) = @_;
    Machine::file_write("$FOLDER/handout", $text);
    return split /\n/, qx("$Machine::BUILD/guest/codes/codes" -t <"$FOLDER/handout");
}

subtest 'QR codes' => sub {
    my @codes = codes_made(handed_out());
    is(join("\n", codes_unpack(join "\n", @codes)), handed_out(), 'as they were made');
    my ($table) = map { table($_) } codes_unpack(join "\n", @codes);
    like($table, qr/^\* boots: 3 of each configuration$/m, 'three rounds, which the monitor has put together');
    like($table, qr/^\* `trace`: the monitor refused it: no such thing$/m, 'what was refused');
    like($table, qr/^\* `lazy`: its guest died: guest triple fault/m, 'what died');
    like($table, qr/^\* `ept`: this machine cannot do `a=1` \(it has no a\); in effect was `a=0`$/m, 'what had no effect');
    like($table, qr/^\*\*Lines that claim to be the monitor's.*: 1\.\*\*/m, 'a line without the word');
    like($table, qr/^\*\*Results of QR codes have no exits by reason/m, 'what they have not');
    unlike($table, qr/are missing$|is missing/m, 'no round is missing');
    is(cells($table, 'Exits for one iteration', 'fork') =~ s/ //gr, '-|10', 'exits are of all nine repetitions');
    like($table, qr/^\| fork +\| +200 \(7.5%\) \|/m, 'median and spread');
    my @many = codes_made($MONITORED . join '', map { "noise $_\n" } map { $_ * 7919 % 10007 } 1 .. 2000);
    cmp_ok(scalar @many, '>', 3, 'several codes');
    my $packed = (codes_unpack(join "\n", @many))[0];
    my @others = (
        ['in any order, some twice', join("\n", reverse(@many), @many[1, 2])],
        ['as mail breaks lines, and quotes them', join("\n", map { s/(.{70})/$1\n> /gr } @many)],
        ['as a text with words around it', join("\n", 'Hello,', map { "the next one: $_ (I hope)" } @many)]);
    is((eval { codes_unpack($_->[1]) })[0] // $@, $packed, $_->[0]) for @others;
    is((codes_unpack(@many))[0], $packed, 'in several files');
    is_deeply([sort { $a cmp $b } codes_unpack(join "\n", @codes, @many)], [sort { $a cmp $b } handed_out(), $packed], 'of two boots');
    my $all = @many;
    my ($id) = $many[0] =~ /^PENUMBRA (\S+)/;
    my $words = "report: of the QR codes $id %s: read them again, and give them along with the others\n";
    my $broken = $many[2] =~ s/.\K(.)(?=.{20}$)/$1 eq 'A' ? 'B' : 'A'/er;
    for (['code 3 of %d is missing', @many[0, 1, 3 .. $#many]], ['codes 1 and 3 of %d are missing', @many[1, 3 .. $#many]],
        ['code 3 of %d is damaged', @many[0, 1], $broken, @many[3 .. $#many]],
        ['code 3 of %d is damaged', @many[0, 1], substr($many[2], 0, 99), @many[3 .. $#many]],
        ['code 1 of %d is missing, code 3 of %1$d is damaged', $many[1], $broken, @many[3 .. $#many]]) {
        my ($what, @given) = @$_;
        is(join(' ', program('codes', join "\n", @given)), '1 ' . sprintf($words, sprintf $what, $all), $what);
    }
    is_deeply([codes_unpack("$MONITORED\n@codes")], ["$MONITORED\n@codes"], 'in a log with lines of JSON nothing is a code');
};
done_testing;
