// RDMSR and WRMSR exits: what the table (msr_table.h) leaves to code.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/traps.h>
#include <hv/log.h>

#include "event.h"
#include "exit.h"
#include "msr_table.h"
#include "paging.h"
#include "../vm.h"

#define FEATURE_CONTROL_LOCKED BIT(0)
#define MTRR_DEF_TYPE_TYPE     0xfful
#define MTRR_DEF_TYPE_ENABLE   BIT(11)

// What IA32_ARCH_CAPABILITIES may tell (SDM vol. 4, table 2-2): faults that the processor does not have, and
// what its VERW and IA32_SPEC_CTRL do. Not that there are MSRs which the guest has not: TSX_CTRL (bit 7),
// MCU_CONTROL (9), MISC_PACKAGE_CTLS and ENERGY_FILTERING_CTL (10, 11), DOITM (12), FB_CLEAR_CTRL (18),
// XAPIC_DISABLE_STATUS (21), OVERCLOCKING_STATUS (23), GDS_CTRL (25), IGN_UMONITOR (29), MON_UMON_MITG (30).
#define ARCH_CAPABILITIES_SHOWN                                                                             \
    (BIT(0) /* RDCL_NO */ | BIT(1) /* IBRS_ALL */ | BIT(2) /* RSBA */ | BIT(3) /* SKIP_L1DFL_VMENTRY */ |   \
     BIT(4) /* SSB_NO */ | BIT(5) /* MDS_NO */ | BIT(6) /* IF_PSCHANGE_MC_NO */ | BIT(8) /* TAA_NO */ |     \
     BIT(13) /* SBDR_SSDP_NO */ | BIT(14) /* FBSDP_NO */ | BIT(15) /* PSDP_NO */ | BIT(17) /* FB_CLEAR */ | \
     BIT(19) /* RRSBA */ | BIT(20) /* BHI_NO */ | BIT(24) /* PBRSB_NO */ | BIT(26) /* GDS_NO */ |           \
     BIT(27) /* RFDS_NO */ | BIT(28) /* RFDS_CLEAR */ | BIT(62) /* ITS_NO */)

// Faults of processors with enhanced IBRS (IBRS_ALL). Those without it cannot deny them, as their microcode
// is older. Linux knows that on the bare machine; under a hypervisor it takes any processor to have them, and
// pays. So the guest is told. In a virtual machine nothing is known of the processor.
#define ARCH_CAPABILITIES_IBRS_ALL       BIT(1)
#define ARCH_CAPABILITIES_NEEDS_IBRS_ALL (BIT(20) /* BHI_NO */ | BIT(62) /* ITS_NO */)

// Says once for each MSR that the guest asked for something that is not there.
static enum verdict refuse(struct vcpu *v, u32 index, const char *access)
{
    struct vm *vm = v->vm;
    for (unsigned i = 0; i < vm->msrs_logged_count; i++) {
        if (vm->msrs_logged[i] == index)
            return event_gp(v);
    }
    if (vm->msrs_logged_count < ARRAY_SIZE(vm->msrs_logged)) {
        vm->msrs_logged[vm->msrs_logged_count++] = index;
        log_debug("guest %s MSR 0x%x, which it does not have: #GP (said once)", access, index);
    }
    return event_gp(v);
}

// Of a processor that has no such MSR, zeros.
static u64 arch_capabilities_read(void)
{
    u64 value = 0;
    bool known = trap_try_rdmsr(IA32_ARCH_CAPABILITIES, &value);
    u64 shown = known ? value & ARCH_CAPABILITIES_SHOWN : 0;
    bool affected = shown & ARCH_CAPABILITIES_IBRS_ALL || cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR;
    return affected ? shown : shown | ARCH_CAPABILITIES_NEEDS_IBRS_ALL;
}

// False: #GP.
static bool call_read(struct vcpu *v, u32 index, u64 *value)
{
    switch (index) {
    case IA32_APIC_BASE:
        *value = apic_base_read(v);
        return true;
    case IA32_FEATURE_CONTROL:
        *value = FEATURE_CONTROL_LOCKED;
        return true;
    case IA32_ARCH_CAPABILITIES:
        *value = arch_capabilities_read();
        return true;
    case IA32_MTRR_DEF_TYPE:
        *value = v->vm->mtrr_def_type;
        return true;
    case IA32_EFER:
        *value = vcpu_paging(v).efer;
        return true;
    default:
        return false; // x2APIC registers outside x2APIC mode
    }
}

// Neither the cycle accounts nor the devices must see the guest set the clock.
static bool write_clock(struct vcpu *v, u32 index, u64 value)
{
    u64 before = rdtsc();
    bool ok = trap_try_wrmsr(index, value);
    u64 jump = rdtsc() - before;
    v->started += jump;
    v->last_exit += jump;
    v->due_from += jump;
    v->vm->legacy.started += jump;
    v->vm->legacy.last += jump;
    return ok;
}

// SDM vol. 3, 12.11.2.1; IA32_MTRRCAP offers no fixed ranges, so their enable bit is reserved.
static bool write_mtrr_def_type(struct vcpu *v, u64 value)
{
    static const u64 types = BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6); // UC, WC, WT, WP, WB
    u64 type = value & MTRR_DEF_TYPE_TYPE;
    if (value & ~(MTRR_DEF_TYPE_TYPE | MTRR_DEF_TYPE_ENABLE) || type > 6 || !(types & BIT(type)))
        return false;
    v->vm->mtrr_def_type = value;
    return true;
}

// SDM vol. 3, 12.12.4: in each byte a memory type; WT 4, WP 5, WB 6, UC- 7, UC 0 and WC 1.
static bool write_pat(struct vcpu *v, u64 value)
{
    static const u8 types = 0xf3;
    for (unsigned byte = 0; byte < 8; byte++) {
        u64 type = value >> 8 * byte & 0xff;
        if (type > 7 || !(types & BIT(type)))
            return false;
    }
    msr_switch_set(&v->vm->msr_switch, SWITCHED_PAT, value);
    return true;
}

static bool call_write(struct vcpu *v, u32 index, u64 value)
{
    switch (index) {
    case IA32_TIME_STAMP_COUNTER:
    case IA32_TSC_ADJUST:
        return write_clock(v, index, value);
    case IA32_APIC_BASE:
        return apic_base_write(v, value);
    case IA32_MTRR_DEF_TYPE:
        return write_mtrr_def_type(v, value);
    case IA32_PAT:
        return write_pat(v, value);
    case IA32_XSS: // no supervisor state is offered
        return value == 0;
    case IA32_EFER:
        return paging_write_efer(v, value);
    default:
        return false;
    }
}

enum verdict exit_rdmsr(struct vcpu *v)
{
    u32 index = (u32)*vcpu_reg(v, GPR_RCX);
    u64 value = 0;
    bool ok;
    switch (msr_find(&v->vm->cpuid, index).read) {
    case MSR_HOST:
        ok = trap_try_rdmsr(index, &value);
        break;
    case MSR_ZERO:
        ok = true;
        break;
    case MSR_CALL:
        ok = call_read(v, index, &value);
        break;
    default:
        ok = false;
    }
    if (!ok)
        return refuse(v, index, "reads");
    *vcpu_reg(v, GPR_RAX) = (u32)value;
    *vcpu_reg(v, GPR_RDX) = value >> 32;
    return VERDICT_SKIP;
}

enum verdict exit_wrmsr(struct vcpu *v)
{
    u32 index = (u32)*vcpu_reg(v, GPR_RCX);
    u64 value = *vcpu_reg(v, GPR_RDX) << 32 | (u32)*vcpu_reg(v, GPR_RAX);
    enum msr_action action = msr_find(&v->vm->cpuid, index).write;
    if (action == MSR_DROP || (action == MSR_CALL && call_write(v, index, value)))
        return VERDICT_SKIP;
    return refuse(v, index, "writes");
}
