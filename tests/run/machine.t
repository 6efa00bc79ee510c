#!/usr/bin/perl
# The report of a machine (iso/report/machine), without an emulator: on recorded logs of a comparison, a single run and two
# refusals, and on what becomes of them when they are cut, forged, put together, or hold what no monitor says. The names of
# registers against the monitor's own. The comparison's report, which has the machine in it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/../../iso/report";
use File::Path 'make_path';
use JSON::PP;
use Machine;
use Report::Block 'table';
use Report::Log 'log_read';
use Report::Machine qw(machines_of machine_blocks run_blocks machine_row);
use Report::Markdown 'markdown';
use Report::Results 'report_make';
use Report::Table 'report_blocks';
use Report::Vmx qw(vmx_bit vmx_field vmx_may registers_named);
use Test::More;

my $FOLDER = "$Machine::BUILD/run/machine";
make_path($FOLDER);
my %LOG = map { $_ => Machine::file_read("$FindBin::RealBin/logs/machine-$_.log") } qw(compare numa penryn uefi);
my $DAY = 1700000000; # 14 November 2023, everywhere

# The program itself on these texts, each a file of that day: (status, what it said, the report).
sub program {
    my ($name, @texts) = @_;
    my @files = map { "$FOLDER/$name-$_.log" } 0 .. $#texts;
    Machine::file_write($files[$_], $texts[$_]) for 0 .. $#texts;
    utime $DAY, $DAY, @files;
    unlink "$FOLDER/$name/machine.md";
    my $status = Machine::run_quietly("$FOLDER/$name.said", "$Machine::TOP/iso/report/machine", '--output', "$FOLDER/$name",
        @files);
    return ($status, Machine::file_read("$FOLDER/$name.said"), Machine::file_read("$FOLDER/$name/machine.md"));
}

# The same in this process, where perl's warnings are seen.
sub told {
    my (@texts) = @_;
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my @machines = machines_of(log_read(@texts));
    my $text = markdown((map { (machine_blocks($_->{machine}, 'M', 2), run_blocks($_, 3)) } @machines),
        @machines ? table([qw(what ran when)], map { machine_row($_, 'D') } @machines) : ());
    is("@warnings", '', 'perl warns of nothing') if @warnings;
    return $text;
}

# A log with another machine in its line.
sub with_machine {
    my ($log, %other) = @_;
    my $json = JSON::PP->new->canonical;
    return $log =~ s/^(\{"penumbra":"machine".*\})(?=\r?$)/my $m = $json->decode($1); $json->encode({ %$m, %other })/emr;
}

subtest 'names of registers' => sub {
    my %defined = map { /^#define (\w+)\s+BIT\((\d+)\)/ ? ($1 => $2) : () } split /\n/,
        Machine::file_read("$Machine::TOP/arch/include/arch/vmx.h");
    my @controls = (
        ['IA32_VMX_PINBASED_CTLS', 'PIN_NMI_EXITING', 'NMI exiting'],
        ['IA32_VMX_PINBASED_CTLS', 'PIN_VIRTUAL_NMIS', 'virtual NMIs'],
        ['IA32_VMX_PINBASED_CTLS', 'PIN_PREEMPTION_TIMER', 'activate VMX-preemption timer'],
        ['IA32_VMX_PROCBASED_CTLS', 'PROC_INVLPG_EXITING', 'INVLPG exiting'],
        ['IA32_VMX_PROCBASED_CTLS', 'PROC_CR3_LOAD_EXITING', 'CR3-load exiting'],
        ['IA32_VMX_PROCBASED_CTLS', 'PROC_UNCONDITIONAL_IO', 'unconditional I/O exiting'],
        ['IA32_VMX_PROCBASED_CTLS', 'PROC_SECONDARY_CONTROLS', 'activate secondary controls'],
        ['IA32_VMX_PROCBASED_CTLS2', 'PROC2_EPT', 'enable EPT'], ['IA32_VMX_PROCBASED_CTLS2', 'PROC2_VPID', 'enable VPID'],
        ['IA32_VMX_PROCBASED_CTLS2', 'PROC2_UNRESTRICTED_GUEST', 'unrestricted guest'],
        ['IA32_VMX_PROCBASED_CTLS2', 'PROC2_ENCLS_EXITING', 'enable ENCLS exiting'],
        ['IA32_VMX_PROCBASED_CTLS2', 'PROC2_XSAVES', 'enable XSAVES/XRSTORS'],
        ['IA32_VMX_EXIT_CTLS', 'EXIT_ACKNOWLEDGE_INTERRUPT', 'acknowledge interrupt on exit'],
        ['IA32_VMX_EXIT_CTLS', 'EXIT_SAVE_PREEMPTION_TIMER', 'save VMX-preemption timer value'],
        ['IA32_VMX_ENTRY_CTLS', 'ENTRY_LOAD_PERF_CTRL', 'load IA32_PERF_GLOBAL_CTRL'],
        ['IA32_VMX_ENTRY_CTLS', 'ENTRY_LOAD_EFER', 'load IA32_EFER']);
    my %index = (IA32_VMX_PINBASED_CTLS => '481', IA32_VMX_PROCBASED_CTLS => '482', IA32_VMX_PROCBASED_CTLS2 => '48b',
        IA32_VMX_EXIT_CTLS => '483', IA32_VMX_ENTRY_CTLS => '484');
    for (@controls) {
        my ($register, $define, $name) = @$_;
        my $only = { $index{$register} => sprintf '%x', 1 << 32 + $defined{$define} };
        my ($r) = registers_named($only);
        is_deeply([$r->{name}, @{ $r->{has} }], [$register, $name], $define);
        ok(vmx_may($only, $register, $name) && !vmx_may({}, $register, $name), "$define: it may be 1 where the register says so");
    }
    my %ept = (EPT_CAP_WALK_4 => 'page walks of 4 levels', EPT_CAP_2M => 'pages of 2M', EPT_CAP_1G => 'pages of 1G',
        EPT_CAP_ACCESSED_DIRTY => 'accessed and dirty flags', EPT_CAP_INVEPT_ALL => 'all-context INVEPT',
        VPID_CAP_INVVPID_ADDRESS => 'individual-address INVVPID', VPID_CAP_INVVPID_ALL => 'all-context INVVPID');
    for (sort keys %ept) {
        my ($r) = registers_named({ '48c' => sprintf '%x', 1 << $defined{$_} });
        is($r->{has}[0], $ept{$_}, $_);
    }
};

subtest 'what registers say' => sub {
    my $of = sub { my ($name, %msrs) = @_; my ($r) = grep { $_->{name} eq $name } registers_named(\%msrs); return $r // {} };
    my $pin = $of->('IA32_VMX_PINBASED_CTLS', 481 => '8000003f00000016');
    is_deeply($pin->{has}, ['external-interrupt exiting', 'NMI exiting', 'virtual NMIs', 'bit 31'], 'what may be 1');
    is_deeply($pin->{lacks}, ['activate VMX-preemption timer', 'process posted interrupts'], 'and what may not');
    is_deeply($of->('IA32_VMX_PINBASED_CTLS', 481 => '3f0000001e')->{has}[1], 'NMI exiting (always)', 'what must be 1 has a mark');
    my %both = (480 => '80000000000000', 482 => '840061f20401e172', '48e' => '840061f204006172');
    ok(!%{ $of->('IA32_VMX_PROCBASED_CTLS', %both) }, 'where there are TRUE registers, the other is not shown');
    is($of->('IA32_VMX_TRUE_PROCBASED_CTLS', %both)->{index}, '48EH', 'but they are');
    is(vmx_field({ 485 => '200401e5' }, 0x485, 4, 0), 5, 'a field');
    is($of->('IA32_VMX_PROCBASED_CTLS3', 492 => '12')->{has}[1], 'IPI virtualization', 'a register of 64 bits that may be 1');
    my %none = (481 => 'xyz', 482 => -1, 483 => [], 484 => '0', '48b' => '1' x 17, 999 => '1');
    is_deeply([registers_named(\%none)], [], 'what is no register');
    is_deeply([registers_named($_)], [], 'no registers') for undef, 'x', [];
};

subtest 'recorded logs' => sub {
    my ($status, $said, $text) = program('all', @LOG{qw(compare numa penryn uefi)});
    is($status, 0, 'it ends well');
    my $rows = () = $said =~ /^\| .* \| .* \| 14 November 2023 \|$/mg;
    is($rows, 4, 'a row for each machine, with the day of the logs') or diag($said);
    my $golden = "$FindBin::RealBin/logs/machine.md";
    ok($text eq Machine::file_read($golden), 'machine.md is as expected') or diag(qx(diff $golden $FOLDER/all/machine.md));
};

subtest 'two logs of one machine' => sub {
    my ($word) = $LOG{compare} =~ /"word":"(\w+)"/;
    my ($first, $second) = map { $LOG{compare} =~ s/$word/$_/gr } qw(0123456789ab ba9876543210);
    my $rates = with_machine($second, tsc_khz => 12345, empty_exit_cycles => 9);
    is(told($first, $rates), told($first, $first), 'are of one, though it was measured otherwise');
    my $other = with_machine($second, microcode => '0x123');
    my $sections = () = told($first, $other) =~ /^## M$/mg;
    is($sections, 2, 'another microcode is another machine');
    is(told($LOG{penryn}, $LOG{penryn}), told($LOG{penryn}), 'refusals, too');
};

subtest 'damaged logs' => sub {
    my ($line) = $LOG{compare} =~ /^(\{"penumbra":"machine".*\})\r?$/m;
    my $whole = told($LOG{compare});
    my @bad;
    for (my $at = 1; $at < length $line; $at += 97) {
        my $cut = $LOG{compare} =~ s/\Q$line\E/substr $line, 0, $at/er;
        push @bad, "cut at $at" if told($cut) =~ /^## M$/m;
        my $hole = $LOG{compare} =~ s/\Q$line\E/substr($line, 0, $at) . substr $line, $at + 5/er;
        told($hole); # no warning
    }
    is("@bad", '', 'of half a line nothing is told');
    is(told("noise \e[2J\x00\xff\n$LOG{compare}\nmore"), $whole, 'other text does no harm');
    is(told($LOG{compare} =~ s/\r//gr), $whole, 'nor the lack of carriage returns');
    my ($status, $said) = program('cut', $LOG{compare} =~ s/\Q$line\E//r =~ s/^\{"penumbra":"begin".*//msr);
    like($said, qr/^report: no log has the monitor's line about the machine: /, 'without the line there is a sentence');
    is($status, 1, 'and a status');
    my ($late) = (program('late', substr $LOG{compare}, index $LOG{compare}, '"penumbra":"begin"'))[1];
    like($late, qr/^report: no log has/, 'a log that begins in the middle');
};

subtest 'who says so' => sub {
    my $whole = told($LOG{compare});
    my ($line) = $LOG{compare} =~ /^(\{"penumbra":"machine".*\})\r?$/m;
    my $forged = $line =~ s/"processor":"/$&Forged /r;
    my $refusal = $forged =~ s/"word":"\w+"/"word":""/r =~ s/\}$/,"refused":"Forged"}/r;
    for (['the same word', $forged], ['another word', $forged =~ s/"word":"\w+"/"word":"0123456789ab"/r], ['no word', $refusal]) {
        my ($name, $said) = @$_;
        is(told("$LOG{compare}"  =~ s/(?=^\{"bench":"end")/$said\n/mr), $whole, "a guest, with $name");
    }
    my $native = '{"bench":"begin","monitor":"","kernel":"6.1"}';
    is(told("$native\n$refusal\n"), '', 'a native guest tells of no refusal');
    like(told($LOG{uefi}), qr/^\| .*, UEFI, .* \| +refused: This is QEMU .* \| +D \|$/m, 'a monitor without a word does');
    like(told($LOG{penryn}), qr/^\* EPT: none$/m, 'and what it lacks is named');
    like(told($LOG{uefi}), qr/^\* VT-x: none$/m, 'what there is not');
    unlike(told($LOG{uefi}), qr/keys of the console|0 kHz/, 'and of what it could not find out there is nothing');
};

subtest 'what no monitor says' => sub {
    my ($line) = $LOG{numa} =~ /^(\{"penumbra":"machine".*\})/m;
    my @names = grep { !/^(?:word|penumbra)$/ } sort keys %{ decode_json($line) };
    for my $odd (undef, 'x', -1, [], {}, [undef, [], {}, 'x'], '<b>`|` **x**', "\e[2J\x{263a}", '9' x 30) {
        for my $name (@names) {
            unlike(told(with_machine($LOG{numa}, $name => $odd)), qr/[^\n\x20-\x7e]|<b>/, "$name: only text");
        }
        told(with_machine($LOG{numa}, (map { $_ => $odd } @names), msrs => {}));
    }
};

# The texts of a phone, as the encoder makes them.
subtest 'QR codes' => sub {
    my ($lines) = $LOG{numa} =~ /^(\{"penumbra":"machine".*)/ms;
    Machine::file_write("$FOLDER/handout", join '', map { "$_\n" } $lines =~ /^(\{"penumbra".*\})/mg);
    my @codes = split /\n/, qx("$Machine::BUILD/guest/codes/codes" -t <"$FOLDER/handout");
    my ($of_log, $of_codes) = map { (program('codes', $_))[2] } $LOG{numa}, join "\n", reverse @codes;
    is($of_codes, $of_log, 'tell the same as the serial line');
    my ($status, $said) = program('codes', join "\n", @codes[1 .. $#codes]);
    like($said, qr/^report: of the QR codes \w+ code 1 of \d is missing/, 'one is missing');
};

subtest 'in the report of a comparison' => sub {
    my $table = sub { markdown(report_blocks(report_make(log_read(@_), exit_cost => 1300, title => 'T'))) };
    my $text = $table->($LOG{compare});
    like($text, qr/^## The machine\n\n\* processor: .*06_55H, stepping 4/m, 'the machine has a section');
    like($text, qr/^### Capabilities$/m, 'with its capabilities');
    unlike($text, qr/^\* memory and the processor/m, 'where nothing tells the node, nothing is told');
    my ($near, $far) = map { $table->(with_machine($LOG{compare}, node => 3, far_mib => $_)) } 0, 4096;
    like($near, qr/^\* memory and the processor: the processor is in node 3; no memory is elsewhere$/m, 'all memory is near');
    like($far, qr/^\* memory and the processor: the processor is in node 3; 4,096 MiB elsewhere, .* come last$/m, 'some is far');
    like($table->($LOG{compare}, $LOG{uefi}), qr/^\* of a log: the monitor refused to run: This is QEMU without KVM/m,
        'a refusal beside it');
};
done_testing;
