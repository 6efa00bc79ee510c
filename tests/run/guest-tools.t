#!/usr/bin/perl
# The guest's tools, bench and penctl, as they are in the initramfs, run on this machine: bench's lines, its limit of time,
# programs of one's own that go well and that fail; penctl where no Penumbra is; take-prog. Needs no emulator.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Fcntl qw(O_RDWR O_NOCTTY);
use File::Temp 'tempdir';
use JSON::PP;
use Machine;
use Test::More;

my $GUEST = "$Machine::BUILD/guest";
my $TAKE_PROG = "$FindBin::RealBin/../../guest-images/take-prog";
my @WALKS = qw(chase gups btree hashjoin bfs pagerank spmv stride stream);
my @TABLES = qw(touchfree dontneed madvfree split mremap sparse jit forkbig uffd switch16k switch1m);
my $folder = tempdir('guest-tools.XXXXXX', TMPDIR => 1, CLEANUP => 1);

sub file_write {
    my ($name, $text, $mode) = @_;
    open my $out, '>', $name or die "$name: $!";
    print $out $text;
    close $out;
    chmod $mode // 0755, $name or die "$name: $!";
}

# Its output, both streams, and its status. The tree's path may hold anything: the line has it as \$GUEST and \$TAKE_PROG.
@ENV{qw(GUEST TAKE_PROG)} = ($GUEST, $TAKE_PROG);

sub command {
    my ($line) = @_;
    my $text = qx($line 2>&1);
    return ($text, $? >> 8);
}

# Begin, end, and results by name; each line must be JSON.
sub bench {
    my ($words) = @_;
    my ($text, $status) = command("\"\$GUEST\"/bench/bench $words");
    my @lines = map { eval { decode_json($_) } // fail("JSON: $_") } split /\n/, $text;
    my ($begin, $end) = (shift @lines, pop @lines);
    return { status => $status, begin => $begin, end => $end, results => { map { $_->{bench} => $_ } @lines } };
}

sub bench_check {
    my $run = bench("-r 3 -p $folder/none syscall fork mmap pipe8");
    my $begin = $run->{begin};
    is($run->{status}, 0, 'bench: all workloads went well');
    is_deeply($run->{end}, { bench => 'end', workloads => 4, failed => 0 }, 'bench: the last line');
    is_deeply([sort keys %$begin], [sort qw(bench monitor interface kernel command_line memory_kib processor microcode hypervisor
            clocksource repetitions flags idle cpufreq governor no_turbo processors paging_levels mitigations)], 'bench: keys of the first line');
    chomp(my $kernel = qx(uname -r));
    is_deeply([@$begin{qw(bench monitor repetitions kernel)}], ['begin', '', 3, $kernel], 'bench: the first line');
    for my $name (qw(syscall fork mmap pipe8)) {
        my $result = $run->{results}{$name} // {};
        is_deeply([grep { !/^(?:counters|gauges)$/ } sort keys %$result], [qw(bench cycles group guest_faults iterations median_per_iteration),
            $name eq 'mmap' || $name eq 'pipe8' ? qw(operation operations) : ()], "$name: its keys");
        is(scalar(grep { $_ > 0 } @{ $result->{cycles} }), 3, "$name: cycles of each repetition");
    }
    my $mmap = $run->{results}{mmap};
    cmp_ok($mmap->{guest_faults}, '>=', 1024 * 3 * $mmap->{iterations}, 'mmap: its page faults are counted');
}

sub workloads_check {
    my ($list) = command("\"\$GUEST\"/bench/bench -l -p $folder/none");
    my %listed = map { /^(\S+)/ ? ($1 => 1) : () } split /\n/, $list;
    my @wanted = (qw(syscall alu fork exec mmap cow pipe2 pipe8 mprotect mprotect16 read mmapread mmapwrite script compile), @WALKS, @TABLES, qw(sort gzip sweep),
        map { ("chase$_", "chase${_}h") } 4, 64, 256);
    is_deeply([grep { !$listed{$_} } @wanted], [], 'bench: has every workload');
    is((command("\"\$GUEST\"/bench/bench $_"))[1], 2, "bench $_: wrong usage") for 'nonsense', '-t 0.5 alu', '-r 0 alu', '-x',
        '-w 5K gups', '-w 64 gups', '-w 64M, gups', '-z 4M gups', '-w 64M alu';
    my ($text, $status) = command("gcc -Wall -Werror -o $folder/source \"\$GUEST\"/bench/bench_source.c && $folder/source");
    is("$text$status", '0', "what compile compiles is C, and runs");
}

# Each walks through a working set that is asked for, and knows its result.
sub sizes_check {
    my $run = bench("-r 1 -i 0.01 -p $folder/none -w 256K/3M @WALKS");
    is($run->{status}, 0, 'sizes: all went well') or diag(explain($run));
    for my $name (map { ("$_\@256K", "$_\@3M") } @WALKS) {
        my $result = $run->{results}{$name} // {};
        is_deeply([@$result{qw(group working_set page)}], ['walks', $name =~ /256K/ ? 1 << 18 : 3 << 20, 4096], "$name: what it says of itself");
    }
    my %of = %{ $run->{results} };
    is_deeply([map { $of{"$_\@3M"}{operation} } qw(hashjoin bfs pagerank spmv stride stream gups)], [qw(tuple edge edge element page word), undef], 'sizes: operations');
    is_deeply([map { $of{"$_\@3M"}{operations} } qw(stride stream hashjoin)], [768, 131072, 98304], 'sizes: how many operations an iteration has');
    cmp_ok($of{'bfs@3M'}{operations}, '>', 30 * $of{'bfs@256K'}{operations} / 4, 'sizes: the graph fills its working set');
    $run = bench("-r 1 -i 0.01 -p $folder/none -w 4K/64T -z 4K/1G sweep btree chase4");
    is(join(' ', sort keys %{ $run->{results} }), 'btree@4K btree@4K@1G btree@64T btree@64T@1G chase4 sweep@4K sweep@4K@1G sweep@64T sweep@64T@1G',
        'sizes: names tell size and pages; what has none to choose is as it is');
    my %error = map { $_ => $run->{results}{$_}{error} // '' } keys %{ $run->{results} };
    like($error{'sweep@64T'}, qr/^needs \d+ MiB of free memory, there are \d+$/, 'sizes: more than there is');
    is($error{'btree@4K'}, 'needs a working set of 16 KiB', 'sizes: less than a tree takes');
    like($error{'sweep@64T@1G'}, qr/^the kernel has not as many 1G pages: hugepagesz=1G hugepages=65536 on its command line sets them aside$/, 'sizes: no such pages');
}

# What this machine's kernel refuses is said in words; all else goes well.
sub tables_check {
    my $run = bench("-r 1 -i 0.1 -p $folder/none @TABLES sort gzip");
    my %error = map { $_ => $run->{results}{$_}{error} } keys %{ $run->{results} };
    my %may = (uffd => qr/^this kernel has no userfaultfd for us: /,
        split => qr/^(?:the kernel did not give huge pages|madvise\(COLLAPSE\), which Linux has since 6\.1: )/);
    ok(!defined $error{$_} || $may{$_} && $error{$_} =~ $may{$_}, "$_ goes well, or says what is missing") or diag($error{$_}) for @TABLES, qw(sort gzip);
    is(scalar(keys %error), @TABLES + 2, 'tables: all are there');
    like(bench("-p $folder/none writeback")->{results}{writeback}{error}, qr{^needs a disk in memory .* MODULES=brd gives one$},
        'writeback says what it needs') unless -e '/dev/ram0';
}

# Of a process that may just have ended.
sub command_line {
    open my $in, '<', "$_[0]/cmdline" or return '';
    return scalar(<$in>) // '';
}

my %PROGRAMS = (
    'good' => "#!/bin/sh\ncat\npwd\n",
    'with space, comma' => "#!/bin/sh\necho well\n",
    'a-name-longer-than-the-monitor-had-room-for' => "#!/bin/sh\n",
    'alu' => "#!/bin/sh\nexit 0\n",
    'failing' => "#!/bin/sh\necho first\necho 'the \"last\" line'\necho\nexit 3\n",
    'silent' => "#!/bin/sh\nexit 1\n",
    'killed' => "#!/bin/sh\nkill -SEGV \$\$\n",
    'without-head' => "echo nothing runs this\n",
    'without-loader' => "#!/no/such/shell\n",
    'sleeping' => "#!/bin/sh\nsleep 4321 &\nsleep 4321\n",
    'leaving' => "#!/bin/sh\nsleep 4321 >/dev/null 2>&1 &\n",
);

sub programs_check {
    mkdir "$folder/prog" or die $!;
    file_write("$folder/prog/$_", $PROGRAMS{$_}) for keys %PROGRAMS;
    file_write("$folder/prog/data", "not a program\n", 0644);
    my $run = bench("-t 2 -r 2 -p $folder/prog " . join ' ', qw(good with_space__comma a-name-longer-than-the-monitor-had-room-for alu_2
            failing silent killed without-head without-loader sleeping leaving alu));
    my %errors = map { $_ => $run->{results}{$_}{error} } keys %{ $run->{results} };
    is($run->{status}, 1, 'programs: some failed');
    is_deeply($run->{end}, { bench => 'end', workloads => 12, failed => 6 }, 'programs: how many');
    is($errors{$_}, undef, "programs: $_ went well")
        for qw(good with_space__comma a-name-longer-than-the-monitor-had-room-for alu_2 leaving alu);
    is($run->{results}{good}{iterations}, 1, 'programs: one run is an iteration');
    is($errors{failing}, 'exit status 3; its last line: the "last" line', 'programs: status and last line');
    is($errors{silent}, 'exit status 1; it printed nothing', 'programs: without a line');
    like($errors{killed}, qr/^killed by signal 11 /, 'programs: a signal');
    like($errors{'without-head'}, qr/a script that begins with #!/, 'programs: nothing that can be executed');
    like($errors{'without-loader'}, qr/is not in the guest$/, 'programs: its shell is missing');
    is($errors{sleeping}, 'over its limit of 2 s', 'programs: the limit of time');
    is(join(' ', grep { /^sleep\0004321/ } map { command_line($_) } glob '/proc/[0-9]*'), '', 'programs: what they started has ended');
    unlike((command("\"\$GUEST\"/bench/bench -l -p $folder/prog"))[0], qr/^data/m, 'programs: data is none');
    file_write("$folder/prog/" . 'n' x 64, "#!/bin/sh\n");
    my ($text, $status) = command("\"\$GUEST\"/bench/bench -l -p $folder/prog");
    is("$status $text", "1 bench: a program's name has at most 63 characters: " . 'n' x 64 . "\n", 'programs: a name is refused and not cut');
    unlink "$folder/prog/" . 'n' x 64;
}

# bench with the fake monitor of fake_monitor.c.
my %SLOW = (quick => 2, slow => 3, 'very,slow=1' => 30, heavy => 100, stuck => 600);

sub modes_check {
    my $source = "$FindBin::RealBin/../..";
    my ($text, $status) = command("cd '$source' && gcc -std=gnu11 -D_GNU_SOURCE -Ihv/include -I. -o $folder/bench \$(ls guest-images/bench/*.c | "
        . "grep -v bench_child) tests/run/fake_monitor.c");
    is("$status $text", '0 ', 'modes: bench with a fake monitor');
    mkdir "$folder/modes" or die $!;
    $ENV{FAKE_MODE} = "$folder/mode";
    file_write("$folder/modes/work", "#!/bin/sh\ncase \$(tail -n 1 $folder/mode) in\n"
        . join('', map { "$_) sleep " . $SLOW{$_} / 100 . ";;\n" } sort keys %SLOW) . "esac\n");
    ($text, $status) = command("$folder/bench -p $folder/modes -i 8 -r 6 -s 5 -m 'slow/refused,x=1/quick/very,slow=1' work alu");
    my @lines = map { eval { decode_json($_) } // fail("JSON: $_") } split /\n/, $text;
    my @changes = split /\n/, Machine::file_read("$folder/mode");
    is($status, 0, 'modes: all went well') or diag($text);
    is_deeply([grep { $_->{bench} eq 'refused' } @lines],
        [{ bench => 'refused', mode => 'refused,x=1', error => 'this "fake" refuses refused,x=1' }], 'modes: a refusal is told');
    my %work = map { $_->{mode} => $_ } grep { $_->{bench} eq 'work' } @lines;
    is(join(' ', sort keys %work), 'quick slow very,slow=1', 'modes: the others are measured');
    is(scalar(grep { @{ $_->{cycles} } == 6 && @{ $_->{positions} } == 6 } values %work), 3, 'modes: six rounds of each');
    is($work{quick}{iterations}, 8, 'modes: the quick one has all its iterations');
    cmp_ok($work{slow}{iterations}, '>', $work{'very,slow=1'}{iterations}, 'modes: one that is little slower nearly all');
    cmp_ok($work{'very,slow=1'}{iterations}, '<', 4, 'modes: the slow one fewer');
    my %median = map { my $w = $work{$_}; ($_ => (sort { $a <=> $b } map { $_ / $w->{iterations} } @{ $w->{cycles} })[3]) } keys %work;
    cmp_ok($median{'very,slow=1'} / $median{quick}, '>', 3, 'modes: and what an iteration takes is right');
    is($work{quick}{counters}{exits}, undef, 'modes: what reading takes is no exit of the workload');
    is($work{quick}{gauges}{gauge}, 7, 'modes: a gauge is as it is, not a sum');
    my @rounds = map { my $r = $_; [map { $_->[0] } sort { $a->[1] <=> $b->[1] } map { [$_, $work{$_}{positions}[$r]] } sort keys %work] } 0 .. 5;
    is(join('|', map { join '', map { substr $_, 0, 1 } @{ $rounds[$_] } } 1, 3, 5),
        join('|', map { join '', reverse map { substr $_, 0, 1 } @{ $rounds[$_] } } 0, 2, 4), 'modes: there and back');
    my $done = join ' ', map { @$_ } @rounds;
    like("@changes", qr/ \Q$done\E /, 'modes: as the monitor was told');
    is(scalar(grep { /^(?:work|alu)$/ } @changes), 0, 'modes: the monitor\'s table, which has no room for modes, is not told');

    ($text) = command("$folder/bench -p $folder/modes -i 0.01 -m refused alu");
    like($text, qr/"bench":"refused".*^\{"bench":"alu","iterations"/ms, 'modes: with none, in the mode that is');
    $ENV{FAKE_MODES} = 'quick/slow';
    ($text) = command("$folder/bench -p $folder/modes -i 0.01 alu; $folder/bench -p $folder/modes -i 0.01 -r 2 -m slow alu");
    is(join('|', $text =~ /^\{"bench":"alu","mode":"(\w+)","positions":\[([\d,]+)/mg), join('|', 'quick', '0,1,0,1,1,0', 'slow', '1,0,1,0,0,1', 'slow', '0,0'),
        'modes: those of the monitor\'s comparison, where the command line has none');
    delete $ENV{FAKE_MODES};
    ($text) = command("\"\$GUEST\"/bench/bench -p $folder/none -i 0.01 -m ept alu");
    like($text, qr/^\{"bench":"refused","mode":"ept","error":"no Penumbra is here"\}$/m, 'modes: no monitor');
    ($text, $status) = command("$folder/bench -p $folder/modes -r 6 -t 4 -m 'quick/stuck/heavy' work");
    like(join('|', $status, map { my $l = decode_json($_); join ' ', $l->{mode}, $l->{error} // (), scalar @{ $l->{cycles} // [] } } grep { /"work"/ } split /\n/, $text),
        qr/^1\|quick 6\|stuck over its limit of 4 s 0\|heavy [12]$/, 'modes: one that takes longer than the limit fails alone, one that takes long has fewer repetitions');
    ($text) = command("$folder/bench -p $folder/modes -r 6 -m 'quick/very,slow=1' work");
    like(join('|', map { my $l = decode_json($_); join ' ', $l->{mode}, $l->{iterations}, scalar @{ $l->{cycles} } } grep { /"work"/ } split /\n/, $text),
        qr/^quick 1 6\|very,slow=1 1 [1345]$/, 'modes: a slow one with a single iteration has fewer rounds');
    ($text) = command("$folder/bench -p $folder/modes -t 1 -m quick/stuck work work work work");
    is(join('|', map { my $l = decode_json($_); substr $l->{error}, 0, 9 } grep { /"stuck"/ } split /\n/, $text),
        'over its |over its |over its |not tried', 'modes: in vain three times is enough');
    file_write("$folder/mode", "heavy\n");
    ($text) = command("$folder/bench -p $folder/modes -r 6 -t 4 work");
    like($text, qr/^\{"bench":"work","iterations":1,"cycles":\[\d+(?:,\d+)?\],/m, 'modes: in the one that is, too, fewer where the limit asks for it');
    file_write("$folder/modes/fails", "#!/bin/sh\nexit 3\n");
    ($text, $status) = command("$folder/bench -p $folder/modes -m slow/quick fails");
    is(join('|', $status, $text =~ /^(\{"bench":"fails".*)$/mg),
        join('|', 1, map { "{\"bench\":\"fails\",\"mode\":\"$_\",\"positions\":[],\"error\":\"exit status 3; it printed nothing\",\"group\":\"programs\"}" } qw(slow quick)),
        'modes: a failure is one in each');
}

sub penctl_check {
    my $here = qr/^penctl: no Penumbra here: CPUID shows (no monitor|.{1,12})$/m;
    for my $words ('mode', 'mode trace vpid=off', 'counters -j -a', 'stat 1 1', 'reset', 'mark 1', 'trace', 'stop 3', 'call 1 0 0') {
        my ($text, $status) = command("\"\$GUEST\"/penctl/penctl $words");
        like($text, $here, "penctl $words: says what is missing");
        is($status, 1, "penctl $words: status");
    }
    for my $words ('', 'nonsense', 'mark', 'call', 'call 1 2 3 4 5', 'stat -c 1 2 3') {
        my ($text, $status) = command("\"\$GUEST\"/penctl/penctl $words");
        like($text, qr/^usage: /, "penctl $words: says how it is used");
        is($status, 2, "penctl $words: status");
    }
}

# The fake monitor counts how often it is asked.
sub stat_check {
    my $sources = 'guest-images/penctl/penctl.c tests/run/fake_monitor.c';
    my ($text, $status) = command("cd '$FindBin::RealBin/../..' && gcc -std=gnu11 -D_GNU_SOURCE -Ihv/include -I. -o $folder/penctl $sources");
    is("$status $text", '0 ', 'stat: penctl with a fake monitor');
    ($text) = command("$folder/penctl stat -c 1 2");
    like($text, qr/\Aseconds,name,kind,grown,per_second\n1\.\d{3},exits,count,1,[01]\.\d\n2\.\d{3},exits,count,1,[01]\.\d\n\z/,
        'stat -c: what has grown, in each interval');
    ($text) = command("$folder/penctl stat 1 1");
    like($text, qr/\A--- after 1\.\d s\nexits +1 +1 a second\n\z/, 'stat: for a person; a gauge that is as it was is none');
    is((command("$folder/penctl stat 0"))[1], 2, 'stat: no interval');
}

# A tree's date, which decides whether the initramfs is made again.
sub take {
    my ($prog) = @_;
    my ($text, $status) = command("\"\$TAKE_PROG\" '$prog' $folder/tree");
    return ($text, $status, (stat "$folder/tree")[9] // 0);
}

sub take_prog_check {
    mkdir "$folder/mine" or die $!;
    like((take("$folder/mine"))[0], qr/^take-prog: PROG=\S+: no executable file is in this folder$/, 'take-prog: an empty folder');
    like((take("$folder/nowhere"))[0], qr/: there is no such file or folder$/, 'take-prog: nothing');
    file_write("$folder/mine/one", "#!/bin/sh\n", 0644);
    like((take("$folder/mine/one"))[0], qr/: this file is not executable/, 'take-prog: a file that is not executable');
    is((take(''))[1], 0, 'take-prog: no PROG is well');
    file_write("$folder/mine/" . 'n' x 61, "#!/bin/sh\n");
    like((take("$folder/mine"))[0], qr/: a program's name has at most 60 characters: n{61}$/, 'take-prog: a name that is too long');
    unlink "$folder/mine/" . 'n' x 61;
    chmod 0755, "$folder/mine/one";
    is((take("$folder/mine/one"))[1], 0, 'take-prog: a file');
    ok(-x "$folder/tree/one", 'take-prog: which is there');
    utime 1000, 1000, "$folder/tree";
    is((take("$folder/mine"))[2], 1000, 'take-prog: the same again changes nothing');
    file_write("$folder/mine/one", "#!/bin/sh\ntrue\n");
    cmp_ok((take("$folder/mine"))[2], '>', 1000, 'take-prog: another content does');
    utime 1000, 1000, "$folder/tree";
    cmp_ok((take(''))[2], '>', 1000, 'take-prog: none does, too');
    is(join(' ', glob "$folder/tree/*"), '', 'take-prog: then the tree is empty');
}

# The workloads of packages, where this machine has their commands; and each notices a command that is wrong.
my %WRONG = (
    zstd => "#!/bin/sh\ncase \$* in *-d*) echo other ;; esac\n", sqlite3 => "#!/bin/sh\necho 4997\n",
    python3 => "#!/bin/sh\necho 41\nexit 1\n", 'redis-cli' => "#!/bin/sh\n[ \$3 = ping ] && echo PONG || echo 1999\n",
    map { $_ => "#!/bin/sh\n" } qw(redis-server redis-benchmark),
);

sub rows_check {
    my @rows = glob "'$Machine::TOP/guest-images/rows/*'";
    cmp_ok(scalar @rows, '>=', 5, 'rows: there are some');
    mkdir "$folder/wrong" or die $!;
    file_write("$folder/wrong/$_", $WRONG{$_}) for keys %WRONG;
    for my $row (@rows) {
        my ($name) = $row =~ m{([^/]+)$};
        my @needs = map { split } Machine::file_read($row) =~ /^# needs: (.+)$/mg;
        is_deeply([grep { !$WRONG{$_} } @needs ? @needs : 'none'], [], "rows: $name tells what it needs");
        my $status = Machine::run_quietly("$folder/said", 'env', "PATH=$folder/wrong:$ENV{PATH}", $row);
        isnt($status, 0, "rows: $name notices a wrong result");
        SKIP: {
            skip "this machine has not all of @needs", 1 if grep { !qx(sh -c 'command -v $_') } @needs;
            is(Machine::run_quietly("$folder/said", $row), 0, "rows: $name goes well") or diag(Machine::file_read("$folder/said"));
        }
    }
}

# A line as of a machine below, whose other end answers: its device, and the process.
sub line_open {
    my ($answer) = @_;
    sysopen my $other, '/dev/ptmx', O_RDWR | O_NOCTTY or die "/dev/ptmx: $!";
    my ($unlock, $number) = (pack('i', 0), pack 'i', 0);
    ioctl $other, 0x40045431, $unlock or die "TIOCSPTLCK: $!";
    ioctl $other, 0x80045430, $number or die "TIOCGPTN: $!";
    my $pid = fork // die "fork: $!";
    return ('/dev/pts/' . unpack('i', $number), $pid) if $pid;
    my $asked = 0;
    while (1) {
        sysread($other, my $byte, 1) or select undef, undef, undef, 0.01; # nobody has the line yet, or any more
        syswrite $other, $answer->($asked++) . "\n" if ($byte // '') eq "\n";
    }
}

# A workload makes a file grow, whose size is what the machine below counts; its answers alone make another count grow.
sub line_check {
    mkdir "$folder/line" or die $!;
    file_write("$folder/line/work", "#!/bin/sh\necho >>$folder/grown\n");
    file_write("$folder/grown", '');
    my $run = sub {
        my ($device, $pid) = line_open(@_);
        my ($text, $status) = command("\"\$GUEST\"/bench/bench -p $folder/line -i 3 -r 4 -c $device work");
        kill KILL => $pid;
        waitpid $pid, 0;
        return $status, map { eval { decode_json($_) } // () } split /\n/, $text;
    };
    my ($status, $begin, $work) = $run->(sub { 'exits=' . (1_000_000 + -s "$folder/grown") . " asked=$_[0]" });
    is($status, 0, 'line: all went well');
    is_deeply($work->{counters}, { exits => 12 }, 'line: what the machine below counts, without what asking costs');
    ($status, $begin, $work) = $run->(sub { $_[0] < 2 ? 'exits=1' : 'exits=1 more=1' });
    is("$status $work->{error}", '1 the machine below counts other things than at first', 'line: other counters than at first');
    ($status) = $run->(sub { 'nothing of the kind' });
    is($status, 1, 'line: an answer that is none');
    (undef, $status) = command("\"\$GUEST\"/bench/bench -i 0.01 -c $folder/grown alu");
    is($status, 1, 'line: a file that is no line');
}

# What bench finds in /prog where there are packages: a script for each program, and nothing else.
sub wrap_prog_check {
    mkdir "$folder/own" or die $!;
    file_write("$folder/own/$_->[0]", "#!/bin/sh\n", $_->[1]) for ['runs', 0755], ['data', 0644];
    my ($text, $status) = command("'$FindBin::RealBin/../../guest-images/wrap-prog' $folder/own $folder/wrapped /prog");
    is("$status $text", '0 ', 'wrap-prog: it goes well');
    is(join(' ', map { s{.*/}{}r } glob "$folder/wrapped/*"), 'runs', 'wrap-prog: a program, and no data');
    like(Machine::file_read("$folder/wrapped/runs"), qr{^exec chroot /debian /bin/sh -c 'cd /prog && exec "\$0"' "/prog/runs"$}m, 'wrap-prog: it runs there');
}

bench_check();
wrap_prog_check();
line_check();
workloads_check();
sizes_check();
tables_check();
programs_check();
modes_check();
penctl_check();
stat_check();
take_prog_check();
rows_check();
done_testing;
