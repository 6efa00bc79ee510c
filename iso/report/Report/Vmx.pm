# What raw capability registers mean: bits and fields by the SDM's names (vol. 3, appendix A and tables 25-5 to 25-17; vol. 4).
# Knows nothing of logs. Registers come as {index in hexadecimal => value in hexadecimal}; one that is 0 or absent is left out.
package Report::Vmx;
use strict;
use warnings;
no warnings 'portable'; # numbers of 64 bits
use Exporter 'import';
our @EXPORT_OK = qw(vmx_bit vmx_field vmx_may registers_named);

my $TRUE_CONTROLS = [0x480, 55]; # IA32_VMX_BASIC: the registers that tell all controls that may be 0

# A register a block: its index, name and kind, then a line for each bit or field. The kinds: `flags' are bits that are set or
# not; `controls' have in their low half what must be 1 and in their high half what may be 1; `more' (64 bits) have only what may
# be; `raw' has no names. `/INDEX' behind a kind is the register that tells the same, and more, where there are true controls.
my $TABLE = <<'END';
3a IA32_FEATURE_CONTROL flags
0 locked
1 VMX inside SMX
2 VMX outside SMX
17 SGX launch control
18 SGX
20 LMCE
10a IA32_ARCH_CAPABILITIES flags
0 RDCL_NO
1 IBRS_ALL
2 RSBA
3 SKIP_L1DFL_VMENTRY
4 SSB_NO
5 MDS_NO
6 IF_PSCHANGE_MC_NO
7 TSX_CTRL
8 TAA_NO
9 MCU_CONTROL
10 MISC_PACKAGE_CTLS
11 ENERGY_FILTERING_CTL
12 DOITM
13 SBDR_SSDP_NO
14 FBSDP_NO
15 PSDP_NO
17 FB_CLEAR
18 FB_CLEAR_CTRL
19 RRSBA
20 BHI_NO
21 XAPIC_DISABLE_STATUS
23 OVERCLOCKING_STATUS
24 PBRSB_NO
25 GDS_CTRL
26 GDS_NO
27 RFDS_NO
28 RFDS_CLEAR
179 IA32_MCG_CAP flags
7:0 error-reporting banks
8 MCG_CTL_P
9 MCG_EXT_P
10 MCG_CMCI_P
11 MCG_TES_P
23:16 extended state registers
24 MCG_SER_P
25 MCG_EMC_P
26 MCG_ELOG_P
27 MCG_LMCE_P
480 IA32_VMX_BASIC flags
30:0 VMCS revision
44:32 bytes of a VMXON region and of a VMCS
48 addresses limited to 32 bits
49 dual-monitor treatment of SMIs and SMM
53:50 memory type of the VMCS
54 INS and OUTS information
55 the TRUE registers exist
56 any exception with or without an error code
481 IA32_VMX_PINBASED_CTLS controls/48d
0 external-interrupt exiting
3 NMI exiting
5 virtual NMIs
6 activate VMX-preemption timer
7 process posted interrupts
482 IA32_VMX_PROCBASED_CTLS controls/48e
2 interrupt-window exiting
3 use TSC offsetting
7 HLT exiting
9 INVLPG exiting
10 MWAIT exiting
11 RDPMC exiting
12 RDTSC exiting
15 CR3-load exiting
16 CR3-store exiting
17 activate tertiary controls
19 CR8-load exiting
20 CR8-store exiting
21 use TPR shadow
22 NMI-window exiting
23 MOV-DR exiting
24 unconditional I/O exiting
25 use I/O bitmaps
27 monitor trap flag
28 use MSR bitmaps
29 MONITOR exiting
30 PAUSE exiting
31 activate secondary controls
48b IA32_VMX_PROCBASED_CTLS2 controls
0 virtualize APIC accesses
1 enable EPT
2 descriptor-table exiting
3 enable RDTSCP
4 virtualize x2APIC mode
5 enable VPID
6 WBINVD exiting
7 unrestricted guest
8 APIC-register virtualization
9 virtual-interrupt delivery
10 PAUSE-loop exiting
11 RDRAND exiting
12 enable INVPCID
13 enable VM functions
14 VMCS shadowing
15 enable ENCLS exiting
16 RDSEED exiting
17 enable PML
18 EPT-violation #VE
19 conceal VMX from PT
20 enable XSAVES/XRSTORS
21 PASID translation
22 mode-based execute control for EPT
23 sub-page write permissions for EPT
24 Intel PT uses guest physical addresses
25 use TSC scaling
26 enable user wait and pause
27 enable PCONFIG
28 enable ENCLV exiting
30 VMM bus-lock detection
31 instruction timeout
492 IA32_VMX_PROCBASED_CTLS3 more
0 LOADIWKEY exiting
1 enable HLAT
2 EPT paging-write control
3 guest-paging verification
4 IPI virtualization
6 enable MSR-list instructions
7 virtualize IA32_SPEC_CTRL
483 IA32_VMX_EXIT_CTLS controls/48f
2 save debug controls
9 host address-space size
12 load IA32_PERF_GLOBAL_CTRL
15 acknowledge interrupt on exit
18 save IA32_PAT
19 load IA32_PAT
20 save IA32_EFER
21 load IA32_EFER
22 save VMX-preemption timer value
23 clear IA32_BNDCFGS
24 conceal VMX from PT
25 clear IA32_RTIT_CTL
26 clear IA32_LBR_CTL
27 clear UINV
28 load CET state
29 load PKRS
30 save IA32_PERF_GLOBAL_CTRL
31 activate secondary controls
493 IA32_VMX_EXIT_CTLS2 more
3 prematurely busy shadow stack
484 IA32_VMX_ENTRY_CTLS controls/490
2 load debug controls
9 IA-32e mode guest
10 entry to SMM
11 deactivate dual-monitor treatment
13 load IA32_PERF_GLOBAL_CTRL
14 load IA32_PAT
15 load IA32_EFER
16 load IA32_BNDCFGS
17 conceal VMX from PT
18 load IA32_RTIT_CTL
19 load UINV
20 load CET state
21 load guest IA32_LBR_CTL
22 load PKRS
48c IA32_VMX_EPT_VPID_CAP flags
0 execute-only translations
6 page walks of 4 levels
7 page walks of 5 levels
8 tables in uncacheable memory
14 tables in write-back memory
16 pages of 2M
17 pages of 1G
20 INVEPT
21 accessed and dirty flags
22 advanced information of EPT violations
23 supervisor shadow-stack control
25 single-context INVEPT
26 all-context INVEPT
32 INVVPID
40 individual-address INVVPID
41 single-context INVVPID
42 all-context INVVPID
43 single-context-retaining-globals INVVPID
53:48 largest HLAT prefix
491 IA32_VMX_VMFUNC flags
0 EPTP switching
485 IA32_VMX_MISC flags
4:0 TSC bit that the preemption timer counts
5 exits store EFER.LMA
6 activity state HLT
7 activity state shutdown
8 activity state wait-for-SIPI
14 Intel PT in VMX operation
15 RDMSR of IA32_SMBASE in SMM
24:16 CR3-target values
27:25 MSRs in a list, in units of 512 beyond the first
28 blocking of SMIs by VMXOFF
29 VMWRITE of any field
30 injection with an instruction length of 0
63:32 MSEG revision
486 IA32_VMX_CR0_FIXED0 raw
487 IA32_VMX_CR0_FIXED1 raw
488 IA32_VMX_CR4_FIXED0 raw
489 IA32_VMX_CR4_FIXED1 raw
48a IA32_VMX_VMCS_ENUM flags
9:1 highest index of a VMCS field
END

# [{index, name, kind, true (an index), rows => [{high, low, name}]}], in the table's order.
my @REGISTERS;
for (split /\n/, $TABLE) {
    if (/^([0-9a-f]+) (IA32_\w+) (flags|controls|more|raw)(?:\/([0-9a-f]+))?$/) {
        push @REGISTERS, { index => hex $1, name => $2, kind => $3, true => defined $4 ? hex $4 : undef, rows => [] };
    } else {
        my ($high, $low, $name) = /^(?:(\d+):)?(\d+) (.+)$/ or die "Report::Vmx: $_\n";
        push @{ $REGISTERS[-1]{rows} }, { high => $high // $low, low => $low, name => $name };
    }
}

# The register's value, 0 if it is not told as it should be.
sub value_of {
    my ($msrs, $index) = @_;
    my $text = ref $msrs eq 'HASH' ? $msrs->{ sprintf '%x', $index } : undef;
    return defined $text && !ref $text && $text =~ /^[0-9a-f]{1,16}\z/a ? hex $text : 0;
}

sub field_of { my ($value, $high, $low) = @_; return $value >> $low & (1 << $high - $low + 1) - 1 }
sub vmx_field { my ($msrs, $index, $high, $low) = @_; return field_of(value_of($msrs, $index), $high, $low) }
sub vmx_bit { my ($msrs, $index, $bit) = @_; return vmx_field($msrs, $index, $bit, $bit) }

# The register that tells most of these controls: (index, name).
sub telling {
    my ($msrs, $register) = @_;
    return @$register{qw(index name)} unless defined $register->{true} && vmx_bit($msrs, @$TRUE_CONTROLS);
    return ($register->{true}, $register->{name} =~ s/VMX_/VMX_TRUE_/r);
}

# Whether a control, by its register's name and its own, may be 1.
sub vmx_may {
    my ($msrs, $register, $control) = @_;
    my ($r) = grep { $_->{name} eq $register } @REGISTERS;
    my ($row) = grep { $_->{name} eq $control } @{ $r->{rows} } or die "Report::Vmx: no $control\n";
    return vmx_bit($msrs, (telling($msrs, $r))[0], $row->{low} + 32);
}

# {has, lacks}: names of controls that may be 1, and of those that may not; "(always)" behind one of the first: it must be.
# What has no name, and may be chosen, is a control that is newer than this table.
sub controls_named {
    my ($may, $must, @rows) = @_;
    my %name = map { $_->{low} => $_->{name} } @rows;
    my @free = grep { !defined $name{$_} && $may >> $_ & 1 && !($must >> $_ & 1) } 0 .. 63;
    my @has = map { $name{$_} . ($must >> $_ & 1 ? ' (always)' : '') } grep { $may >> $_ & 1 } sort { $a <=> $b } keys %name;
    return {
        has => [@has, map { "bit $_" } @free],
        lacks => [map { $name{$_} } grep { !($may >> $_ & 1) } sort { $a <=> $b } keys %name],
    };
}

sub flags_named {
    my ($value, @rows) = @_;
    my $known = 0;
    my (@has, @lacks);
    for my $row (@rows) {
        my $field = field_of($value, @$row{qw(high low)});
        $known |= (1 << $row->{high} - $row->{low} + 1) - 1 << $row->{low};
        if ($row->{high} != $row->{low}) { push @has, "$row->{name}: $field" }
        elsif ($field) { push @has, $row->{name} }
        else { push @lacks, $row->{name} }
    }
    return { has => [@has, map { "bit $_" } grep { $value >> $_ & 1 && !($known >> $_ & 1) } 0 .. 63], lacks => \@lacks };
}

# Each register that is told, in the table's order: {index, name, value (hexadecimal), has, lacks}: lists of names; `raw' ones have
# neither.
sub registers_named {
    my ($msrs) = @_;
    my @told;
    for my $r (@REGISTERS) {
        my ($index, $name) = telling($msrs, $r);
        my $value = value_of($msrs, $index) or next;
        my $named = $r->{kind} eq 'controls' ? controls_named($value >> 32, $value & 0xffffffff, @{ $r->{rows} })
            : $r->{kind} eq 'more' ? controls_named($value, 0, @{ $r->{rows} })
            : $r->{kind} eq 'flags' ? flags_named($value, @{ $r->{rows} }) : {};
        push @told, { index => sprintf('%XH', $index), name => $name, value => sprintf('%x', $value), %$named };
    }
    return @told;
}

1;
