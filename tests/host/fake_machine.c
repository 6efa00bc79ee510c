// See fake_machine.h. It supplies what the monitor gets from arch: the consoles, the MTRRs, the log.
#include "fake_machine.h"

#include <arch/console.h>
#include <arch/cpu.h>
#include <arch/memory.h>
#include <ept/ept.h>
#include <hv/log.h>

#include "hv/devices/devices.h"
#include "hv/policy/msr_table.h"
#include "hv/exits/paging.h"

#include <stdio.h>

#define MACHINE_BYTES (4 * GIB)
#define TABLES_GPA    MIB
#define LAPIC_HPA     0xfee00000ull
#define LAPIC_VERSION 0x50014u

char machine_log[1024];
char machine_console[65536];
size_t machine_console_length;
char machine_uart[4096];
unsigned machine_uart_count;
bool machine_uart_busy;

static struct vm vm;
struct vmx_caps machine_caps;
static struct frames frames;
struct frequency machine_frequency;
struct params machine_params;

void log_message(enum log_level level, const char *format, ...)
{
    (void)level;
    va_list args;
    va_start(args, format);
    vsnprintf(machine_log, sizeof(machine_log), format, args);
    va_end(args);
}

void console_guest_write(u8 byte)
{
    assert_true(machine_uart_count < sizeof(machine_uart));
    machine_uart[machine_uart_count++] = (char)byte;
}

bool console_empty(void)
{
    return !machine_uart_busy;
}

const char *console_word(void)
{
    return "0123456789ab";
}

void console_print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int left = (int)(sizeof(machine_console) - machine_console_length);
    int length = vsnprintf(machine_console + machine_console_length, (size_t)left, format, args);
    va_end(args);
    assert_in_range(length, 0, left - 1);
    machine_console_length += (size_t)length;
}

// There is no screen.
void console_draw(void)
{
}

void console_draw_every(u64 cycles, void (*tell)(void *), void *told)
{
    (void)cycles, (void)tell, (void)told;
}

u64 memory_kept_bytes(void)
{
    return MIB;
}

void memory_mtrrs(struct mtrrs *mtrrs)
{
    memset(mtrrs, 0, sizeof(*mtrrs));
    mtrrs->def_type = BIT(11) | MEMTYPE_WB;
    mtrrs->maxphyaddr = 40;
}

// Every feature that cpuid.def can show, 40 physical address bits.
static struct cpuid_regs host_cpuid(u32 leaf, u32 subleaf)
{
    switch (leaf) {
    case 0:
        return (struct cpuid_regs){{0xd}};
    case 0xd:
        return subleaf > 1 ? (struct cpuid_regs){{0}} : (struct cpuid_regs){{subleaf ? 0xf : 0x2e7}};
    case 0x80000000:
        return (struct cpuid_regs){{0x80000008}};
    case 0x80000008:
        return (struct cpuid_regs){{0x3028}};
    default:
        return (struct cpuid_regs){{~0u, ~0u, ~0u, ~0u}};
    }
}

static void make_processor(unsigned flags)
{
    u32 proc2 = PROC2_EPT | PROC2_VPID | PROC2_RDTSCP | PROC2_INVPCID | PROC2_XSAVES;
    machine_caps = (struct vmx_caps){
        .pin = {0x16, 0x16 | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS},
        .proc = {0x4006172, 0xfff9fffe}, // as of the true controls: CR3 may be left alone
        .proc2 = {0, proc2 | (flags & MACHINE_UNRESTRICTED ? PROC2_UNRESTRICTED_GUEST : 0)},
        .ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WRITE_BACK | EPT_CAP_2M | EPT_CAP_INVEPT |
                    EPT_CAP_INVEPT_CONTEXT | VPID_CAP_INVVPID | VPID_CAP_INVVPID_CONTEXT,
        .cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
        .cr0_fixed1 = 0xffffffff,
        .cr4_fixed0 = CR4_VMXE,
        .cr4_fixed1 = ~0ull,
        .misc = 4 << 16, // CR3 targets
    };
    u64 mode = APIC_BASE_ENABLE | (flags & MACHINE_X2APIC ? APIC_BASE_X2APIC : 0);
    fake_msr_set(IA32_APIC_BASE, LAPIC_HPA | APIC_BASE_BSP | mode);
    for (u32 msr = IA32_X2APIC_FIRST; msr < IA32_X2APIC_FIRST + 0x40; msr++)
        fake_msr_set(msr, 0);
    fake_msr_set(0x802, 7); // the id
    fake_msr_set(0x803, LAPIC_VERSION);
    *(u32 *)phys_ptr(LAPIC_HPA + 0x20) = 7u << 24;
    *(u32 *)phys_ptr(LAPIC_HPA + 0x30) = LAPIC_VERSION;
}

// IA32_APIC_BASE of a machine that does not leave x2APIC mode.
static bool stays_x2apic(u32 msr, u64 value)
{
    return msr == IA32_APIC_BASE && !(value & APIC_BASE_X2APIC);
}

static void make_memory(void)
{
    memory_make(MACHINE_BYTES, &frames);
    memset(frames.state, 0, frames.limit);
    frames_init(&frames, frames.state, frames.limit);
    frames_add(&frames, PAGE_SIZE, GIB); // so that there is no RAM at the local APIC's address
}

struct vcpu *machine_make(unsigned flags)
{
    return machine_make_for(&ept_ops, &(struct mmu_options){.vpid = true}, flags);
}

struct vcpu *machine_make_for(const struct mmu_ops *ops, const struct mmu_options *options, unsigned flags)
{
    fake_cpu_reset();
    make_memory();
    make_processor(flags);
    memset(&vm, 0, sizeof(vm));
    vmcs_count_in(&vm.vcpu.vmcs);
    machine_uart_count = 0;
    machine_log[0] = machine_console[0] = 0;
    machine_console_length = 0;
    machine_frequency = (struct frequency){0};
    machine_params = (struct params){.mem = MACHINE_RAM, .p2m_max = P2M_LEVEL_2M};
    vm.params = &machine_params;
    vm.frames = &frames;
    vm.tsc_hz = 1000000000;
    tally_init(&vm, &machine_frequency);
    vm.vcpu.vm = &vm;
    vm.vcpu.caps = &machine_caps;
    vm.vcpu.base_proc = PROC_SECONDARY_CONTROLS; // as of vmcs_setup
    if (flags & MACHINE_X2APIC)
        fake_msr_refuses = stays_x2apic;
    apic_init(&vm.apic, 7);
    cpuid_make(&vm.cpuid, &(struct cpuid_facts){host_cpuid, 7, 1000000000, 1000000000, {false}});
    vm.vcpu.physical_bits = cpuid_physical_bits(&vm.cpuid);
    vm.vcpu.has_1g_pages = vm.cpuid.has[CPUID_PDPE1GB];
    mfn_t bitmap;
    assert_int_equal(frames_alloc(&frames, ORDER_4K, FRAME_MONITOR, &bitmap), 0);
    vm.msr_bitmap_hpa = mfn_hpa(bitmap);
    msr_bitmap_make(&vm.cpuid, mfn_ptr(bitmap));
    assert_int_equal(vm_p2m_make(&vm), 0);
    vm.machine = *options;
    vm.machine.caps = vm.vcpu.caps;
    vm.machine.physical_bits = vm.vcpu.physical_bits;
    vm.machine.has_1g_pages = vm.vcpu.has_1g_pages;
    struct mmu *mmu = mmu_init(&vm, ops, &vm.machine);
    assert_non_null(mmu);
    assert_int_equal(mmu_enter(&vm.vcpu, mmu), 0);
    assert_null(vm_memory_make(&vm));
    devices_init(&vm.vcpu, 0);
    vm.vcpu.base_proc = PROC_SECONDARY_CONTROLS;
    vm.vcpu.cr4_allowed = cpuid_cr4_allowed(&vm.cpuid);
    return &vm.vcpu;
}

void machine_set_ops(struct vcpu *v, const struct mmu_ops *ops)
{
    v->vm->mmu->ops = v->mmu->ops = ops;
}

void machine_gone(void)
{
    if (vmcs_read(GUEST_RFLAGS))
        fake_entry_check();
    memory_gone();
}

static void start(struct vcpu *v, const struct paging_regs *regs, u64 code_rights)
{
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, code_rights);
    for (unsigned segment = INSN_ES; segment <= INSN_GS; segment++) {
        vmcs_write(GUEST_ES_LIMIT + 2 * segment, 0xffffffff);
        if (segment != INSN_CS)
            vmcs_write(GUEST_ES_ACCESS_RIGHTS + 2 * segment, RIGHTS_DATA);
    }
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED);
    paging_start(v, regs);
    mmu_load(v);
}

bool machine_translates(const struct vcpu *v, u64 gva, u64 *hpa)
{
    enum { PRESENT = BIT(0), PAGE = BIT(7) };
    bool pae = !(v->owned_efer & EFER_LMA);
    u64 table = vmcs_read(GUEST_CR3);
    for (unsigned level = pae ? 3 : 4;; level--) {
        u64 offset_bits = (PAGE_SIZE << 9 * (level - 1)) - 1;
        u64 entry = ((const u64 *)phys_ptr(
            align_down(table, PAGE_SIZE)))[gva >> (3 + 9 * level) & (pae && level == 3 ? 3 : 511)];
        table = entry & 0xffffffffff000ul;
        *hpa = (table & ~offset_bits) | (gva & offset_bits);
        if ((entry & (PRESENT | BIT(MMU_MARK_BIT))) != PRESENT)
            return false;
        if (level == 1 || (level == 2 && entry & PAGE))
            return true;
    }
}

void machine_start_32(struct vcpu *v)
{
    start(v, &(struct paging_regs){.cr0 = CR0_PE | CR0_ET}, RIGHTS_CODE_32);
}

void machine_start_64(struct vcpu *v)
{
    enum { ENTRIES = 512, DIRECTORIES = 4 };
    static u64 tables[2 + DIRECTORIES][ENTRIES];
    memset(tables, 0, sizeof(tables));
    tables[0][0] = (TABLES_GPA + PAGE_SIZE) | 7;
    for (unsigned i = 0; i < DIRECTORIES; i++) {
        tables[1][i] = (TABLES_GPA + (2 + i) * PAGE_SIZE) | 7;
        for (unsigned j = 0; j < ENTRIES; j++)
            tables[2 + i][j] = (i * ENTRIES + j) * 2 * MIB | 0x87;
    }
    assert_int_equal(vm_ram_write(v->vm, TABLES_GPA, tables, sizeof(tables)), 0);
    start(v,
          &(struct paging_regs){CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG, TABLES_GPA, CR4_PAE,
                                EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE},
          RIGHTS_CODE_64);
}

void machine_hides(struct vcpu *v, const u32 *msrs, size_t count)
{
    const u8 *bitmap = phys_ptr(v->vm->msr_bitmap_hpa);
    for (size_t i = 0; i < count; i++) {
        u32 msr = msrs[i];
        assert_true(bitmap[msr / 8] & 1 << msr % 8);
        assert_true(bitmap[2048 + msr / 8] & 1 << msr % 8);
        *vcpu_reg(v, GPR_RCX) = msr;
        assert_int_equal(exit_rdmsr(v), VERDICT_FAULT);
        assert_int_equal(exit_wrmsr(v), VERDICT_FAULT);
    }
}

int machine_setup(void **state)
{
    struct vcpu **v = *state;
    *v = machine_make(MACHINE_UNRESTRICTED);
    machine_start_64(*v);
    return 0;
}

int machine_teardown(void **state)
{
    (void)state;
    machine_gone();
    return 0;
}
