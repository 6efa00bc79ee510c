# What the monitor told of the machine that it ran on (hv/machine.c), as blocks for a person: processor, what is in effect,
# timers, VMX capabilities, memory map, ACPI tables; and the machine's row in the table of README.md. Older monitors told less, and
# a log may be damaged: of what is not told there is no line. Names of registers are Vmx.pm's.
package Report::Machine;
use strict;
use warnings;
no warnings 'portable'; # addresses
use Exporter 'import';
use JSON::PP;
use List::Util 'uniq';
use Report::Block qw(heading item plain code);
use Report::Statistics qw(grouped listed);
use Report::Vmx qw(vmx_bit vmx_field vmx_may registers_named);
our @EXPORT_OK = qw(machines_of machine_blocks run_blocks machine_row machine_where far_text);

# Types of memory; 20 is what GRUB makes of UEFI's run-time code.
my %MEMORY = (1 => 'RAM', 2 => 'reserved', 3 => 'ACPI tables', 4 => 'ACPI NVS', 5 => 'bad', 7 => 'persistent',
    20 => 'firmware code');

# A member that is a text or a number, or undef; a list of texts.
sub told {
    my ($machine, $name) = @_;
    my $value = $machine->{$name};
    return defined $value && !ref $value && length $value ? $value : undef;
}
sub count { my $value = told(@_); return defined $value && $value =~ /^\d{1,18}\z/a ? $value : undef }
sub texts { my $list = $_[0]{ $_[1] }; return ref $list eq 'ARRAY' ? grep { defined && !ref } @$list : () }
sub yes { my ($machine, $name) = @_; return exists $machine->{$name} ? !!$machine->{$name} : undef }

# Of a signature (CPUID.1:EAX) family, model and stepping, as the SDM reckons them: "06_55H, stepping 4".
sub model_text {
    my ($signature) = @_;
    return unless ($signature // '') =~ /^0x([0-9a-f]{1,8})\z/;
    my $s = hex $1;
    my ($family, $model) = ($s >> 8 & 15, $s >> 4 & 15);
    $model |= $s >> 12 & 0xf0 if $family == 6 || $family == 15;
    $family += $s >> 20 & 0xff if $family == 15;
    return sprintf '%02X_%02XH, stepping %d', $family, $model, $s & 15;
}

sub machine_where {
    my ($machine) = @_;
    return 'an emulator that counts instructions' if ($machine->{clock} // '') eq 'instructions';
    return 'nested: the monitor itself runs under ' . plain($machine->{hypervisor}) if length($machine->{hypervisor} // '');
    return 'bare metal';
}

# How much of the memory comes last, since it is not near the processor.
sub far_text {
    my ($machine) = @_;
    my $far = count($machine, 'far_mib') // return;
    my $node = count($machine, 'node');
    my $near = defined $node ? "the processor is in node $node; " : '';
    return $near . ($far ? grouped($far) . ' MiB elsewhere, or set apart by the firmware, come last' : 'no memory is elsewhere');
}

sub parked_text {
    my ($machine) = @_;
    my $parked = count($machine, 'parked') // return;
    my $silent = count($machine, 'silent') // 0;
    my $hint = told($machine, 'mwait');
    my $how = !$parked ? '' : defined $hint ? ', in MWAIT with hint 0x' . plain($hint) : ', in HLT';
    return (count($machine, 'processors') // 0) . ' listed by the firmware; ' . grouped($parked) . " parked$how"
        . ($silent ? '; ' . grouped($silent) . ' do not start' : '');
}

sub processor_lines {
    my ($machine) = @_;
    my $far = far_text($machine);
    my @lines = (
        [processor => join ', ', told_plain($machine, 'processor') // 'not told', model_text(told($machine, 'signature')),
            map { my $text = told_plain($machine, $_); defined $text ? "$_ $text" : () } qw(signature microcode)],
        ['where' => machine_where($machine)],
        ['monitor' => 'Penumbra ' . (told_plain($machine, 'version') // 'of a version that the log does not tell')],
        ['firmware' => join ', ', map { told_plain($machine, $_) // () } qw(firmware loader)],
        ['physical addresses' => defined count($machine, 'physical_bits') ? count($machine, 'physical_bits') . ' bits' : undef],
        ['processors' => parked_text($machine)],
        ['memory' => defined count($machine, 'memory_mib')
            ? join '; ', grouped(count($machine, 'memory_mib')) . ' MiB for guests', $far // () : undef],
        ['the monitor refused it' => told_plain($machine, 'refused')],
    );
    return items_told(@lines);
}

# Pairs of what and its words, as items; those without words are left out.
sub items_told { return map { my ($what, $words) = @$_; length($words // '') ? item("$what: $words") : () } @_ }

# A text of the log's as it is; undef where there is none.
sub told_plain { my $value = told(@_); return defined $value ? plain($value) : undef }

sub yes_text { my ($is, $yes, $no) = @_; return defined $is ? $is ? $yes : $no : undef }

# What of the processor's VT-x the monitor can use, by the registers that it was given.
sub effect_lines {
    my ($machine) = @_;
    my $msrs = $machine->{msrs};
    return ['VT-x' => 'none'] unless exists $msrs->{480};
    my $second = sub { vmx_may($msrs, 'IA32_VMX_PROCBASED_CTLS', 'activate secondary controls')
        && vmx_may($msrs, 'IA32_VMX_PROCBASED_CTLS2', $_[0]) };
    my $ept = $second->('enable EPT');
    my $bit = sub { vmx_bit($msrs, 0x48c, $_[0]) };
    my @pages = ('4K', $bit->(16) ? '2M' : (), $bit->(17) ? '1G' : ());
    my $targets = vmx_field($msrs, 0x485, 24, 16);
    my $timer = vmx_may($msrs, 'IA32_VMX_PINBASED_CTLS', 'activate VMX-preemption timer');
    return (
        ['EPT' => $ept ? 'pages of ' . listed(@pages) . '; ' . ($bit->(21) ? '' : 'no ') . 'accessed and dirty flags' : 'none'],
        ['VPID' => yes_text($second->('enable VPID'), 'yes', 'none')],
        ['unrestricted guest' => yes_text($second->('unrestricted guest'), 'yes', 'no: the guest has no real mode')],
        ['CR3-target values (`shadow.cr3=inplace`)' => $targets || 'none'],
        ['virtual NMIs' => yes_text(vmx_may($msrs, 'IA32_VMX_PINBASED_CTLS', 'virtual NMIs'), 'yes', 'none')],
        ['VMX-preemption timer (`limit=`)' => $timer ? 'a count for ' . 2**vmx_field($msrs, 0x485, 4, 0) . ' of the TSC' : 'none'],
        ['posted interrupts' => yes_text(vmx_may($msrs, 'IA32_VMX_PINBASED_CTLS', 'process posted interrupts'),
            'the processor has them; Penumbra does not use them', 'none')],
        ['machine checks' => vmx_field($msrs, 0x179, 7, 0) ? vmx_field($msrs, 0x179, 7, 0) . ' banks' : 'no banks'],
    );
}

# What was found out after VT-x was there: a monitor that has refused the machine may not have got so far.
sub trial_lines {
    my ($machine) = @_;
    my $cost = count($machine, 'empty_exit_cycles');
    return (
        ['bit 51 of page-table entries (`shadow.directpf`)' => yes_text(yes($machine, 'mark_faults'), 'faults', 'does not fault')],
        ['keys of the console' => yes_text(yes($machine, 'input'), 'come as NMIs', 'are polled, where there is a serial port')],
        ['an exit and the entry after it, by themselves' => $cost ? grouped($cost) . ' cycles' : 'not measurable'],
        ['frequency' => told_plain($machine, 'frequency')],
        ['performance counters' => told_plain($machine, 'counters')],
    );
}

# 0: not measured.
sub khz { my $khz = count(@_); return $khz ? grouped($khz) . ' kHz' : undef }

sub timer_lines {
    my ($machine) = @_;
    my ($by, $hpet, $bits) = (told($machine, 'measured_by'), told($machine, 'hpet'), count($machine, 'pm_timer_bits'));
    return (
        ['time stamp counter' => join ', ', khz($machine, 'tsc_khz') // (), defined $by ? 'measured by the ' . plain($by) : (),
            yes_text(yes($machine, 'invariant_tsc'), 'invariant', 'not invariant') // ()],
        ['in vain' => told_plain($machine, 'measured_in_vain')],
        ['local APIC timer' => khz($machine, 'apic_khz')],
        ['ACPI timer' => defined $bits ? $bits ? "$bits bits" : 'none' : undef],
        ['HPET' => defined $hpet ? $hpet eq '0' ? 'none' : 'at 0x' . plain($hpet) : undef],
    );
}

sub capability_lines {
    my ($machine) = @_;
    return map {
        my $r = $_;
        my @words = map { my ($word, $names) = @$_; $names && @$names ? "$word: " . join(', ', @$names) : () } [has => $r->{has}],
            [lacks => $r->{lacks}];
        item(join '. ', "`$r->{name}` ($r->{index}) = 0x$r->{value}", @words)
    } registers_named($machine->{msrs});
}

# "start-end type", in hexadecimal: {start, end, type}, or () for what is none.
sub range_of {
    my ($text) = @_;
    my ($start, $end, $type) = $text =~ /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) (\d{1,10})\z/a or return;
    return { start => hex $start, end => hex $end, type => $MEMORY{$type} // "type $type", text => "0x$start to 0x$end" };
}

sub size_text {
    my ($bytes) = @_;
    return $bytes < 1 << 20 ? grouped(int $bytes / 1024) . ' KiB' : grouped(sprintf '%.0f', $bytes / (1 << 20)) . ' MiB';
}

sub memory_lines {
    my ($machine) = @_;
    my @lines = map { item("$_->{text}: $_->{type}, " . size_text($_->{end} - $_->{start})) } grep { $_->{end} > $_->{start} }
        map { range_of($_) } texts($machine, 'memory_map');
    push @lines, map { item("$_->{text}: set apart by UEFI (EFI_MEMORY_SP), " . size_text($_->{end} - $_->{start})) }
        map { range_of($_) } texts($machine, 'special_memory');
    my $lost = count($machine, 'not_write_back_kib');
    push @lines, item('RAM that the MTRRs do not make write-back, and that is not used: ' . grouped($lost) . ' KiB, in '
        . code(told($machine, 'not_write_back'))) if $lost;
    push @lines, item('no RAM is write-back by the MTRRs') if $machine->{no_write_back};
    return @lines;
}

# "signature revision OEM/its table".
sub acpi_lines {
    my ($machine) = @_;
    my @lines = map { /^(.{4}) (\d+) (.*)/ ? item(code($1) . " revision $2, " . code($3)) : () } texts($machine, 'acpi');
    my ($all, $unread) = map { count($machine, $_) // 0 } qw(acpi_tables acpi_unread);
    push @lines, item('and ' . ($all - @lines) . ' more') if $all > @lines;
    push @lines, item("$unread that are out of reach, or have a wrong checksum") if $unread;
    return @lines;
}

# A machine under a heading of this level; sections of which nothing is told are left out. () for a machine of which an older
# monitor told next to nothing.
sub machine_blocks {
    my ($machine, $title, $level) = @_;
    return () unless ref $machine->{msrs} eq 'HASH';
    my @parts = (
        ['What the processor offers, and is in effect', items_told(effect_lines($machine),
            defined $machine->{refused} ? () : trial_lines($machine))],
        ['Timers', items_told(timer_lines($machine))],
        ['Capabilities', capability_lines($machine)],
        ['Memory map', memory_lines($machine)],
        ['ACPI tables', acpi_lines($machine)],
    );
    return (heading($level, $title), processor_lines($machine),
        map { my ($what, @items) = @$_; @items ? (heading($level + 1, $what), @items) : () } @parts);
}

# What two boots of one machine tell alike.
my @SAME = qw(processor signature microcode hypervisor firmware physical_bits msrs memory_map);

sub same_text { my ($machine) = @_; return JSON::PP->new->canonical->encode([@$machine{@SAME}]) }

# The machines of a log (Log.pm), each once: {machine, boots, sections}. Of one that a monitor has refused there are no boots.
sub machines_of {
    my ($log) = @_;
    my (@all, %by);
    for (map({ [$_->{machine}, $_] } @{ $log->{boots} }), map { [$_, undef] } @{ $log->{refusals} }) {
        my ($machine, $boot) = @$_;
        next unless $machine;
        my $of = $by{ same_text($machine) } //= do { push @all, { machine => $machine, boots => [], sections => [] }; $all[-1] };
        next unless $boot;
        push @{ $of->{boots} }, $boot;
        push @{ $of->{sections} }, grep { ($_->{boot} // 0) == $boot } @{ $log->{sections} // [] };
    }
    return @all;
}

sub name_of { my ($section) = @_; return $section->{configuration} // ($section->{summary} // {})->{mmu} }
sub end_of {
    my ($section) = @_;
    return 'refused: ' . $section->{refused} if defined $section->{refused};
    return ($section->{summary} // {})->{end} // 'the log has no end of it';
}

# What ran, with the parameters that were in effect.
sub run_blocks {
    my ($of, $level) = @_;
    my @told = uniq map {
        my $parameters = ($_->{begin} // $_->{summary} // {})->{parameters};
        code(name_of($_)) . ': ' . plain(end_of($_)) . (defined $parameters ? ' (' . code($parameters) . ')' : '')
    } @{ $of->{sections} };
    return @told ? (heading($level, 'What ran'), map { item($_) } @told) : ();
}

# How each configuration ended, those that ended alike together: "`ept`, `trace`: guest powered off".
sub ended {
    my (@sections) = @_;
    my (@order, %whose);
    for my $section (@sections) {
        my $name = name_of($section) // next;
        my $end = end_of($section);
        push @order, $end unless $whose{$end};
        push @{ $whose{$end} }, code($name);
    }
    return join '; ', map { join(', ', uniq @{ $whose{$_} }) . ': ' . plain($_) } @order;
}

# The row of the table "On what it has run" of README.md: what it is, what ran, when.
sub machine_row {
    my ($of, $date) = @_;
    my $machine = $of->{machine};
    my @kernels = uniq map { ($_->{guest} // {})->{kernel} // () } @{ $of->{sections} };
    my $ran = defined $machine->{refused} ? 'refused: ' . plain($machine->{refused})
        : join ' ', @kernels ? 'Linux ' . plain(join ', ', @kernels) . ' under' : (), ended(@{ $of->{sections} }) || 'not told';
    my $microcode = told_plain($machine, 'microcode');
    my $what = join ', ', told_plain($machine, 'processor') // 'not told', model_text(told($machine, 'signature')),
        defined $microcode ? "microcode $microcode" : (), told_plain($machine, 'firmware') // (), machine_where($machine);
    return [$what, $ran, $date];
}

1;
