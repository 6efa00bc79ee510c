// What the guest sees of the processor: CPUID, computed once from the processor's own CPUID and the rows of
// cpuid.def. Pure: the processor's CPUID comes by a callback.
#pragma once

#include <arch/types.h>

enum cpuid_feature {
#define FEATURE(name, leaf, reg, bit) CPUID_##name,
#include "cpuid.def"
#undef FEATURE
    CPUID_FEATURES
};

struct cpuid_regs {
    u32 r[4]; // EAX, EBX, ECX, EDX
};

typedef struct cpuid_regs cpuid_host_fn(u32 leaf, u32 subleaf);

// What the guest's CPUID depends on besides the processor's.
struct cpuid_facts {
    cpuid_host_fn *host;
    u32 apic_id;
    u64 tsc_hz, crystal_hz;    // measured: of the TSC, and of the local APIC timer undivided
    bool hide[CPUID_FEATURES]; // features to hide even where the processor has them
};

#define CPUID_ROWS 112

struct cpuid_row {
    u32 leaf, subleaf;
    struct cpuid_regs regs;
};

struct cpuid_policy {
    struct cpuid_row rows[CPUID_ROWS]; // ascending by leaf, then subleaf
    struct cpuid_regs spill;           // of a row that has no place
    unsigned count;
    u8 basic[0x20]; // index of the first row of basic leaf n,
    u8 extended;    // and of the extended leaves
    u32 max_basic, max_extended;
    bool has[CPUID_FEATURES];
    u64 xcr0; // bits that XCR0 may have
};

// Fills the policy. The dynamic bits (OSXSAVE, OSPKE, APIC, and the size of the XSAVE area in use) are set as
// if the guest had switched all of it off: the exit handler adds what the guest has on.
void cpuid_make(struct cpuid_policy *policy, const struct cpuid_facts *facts);

// The row that answers the leaf, with the SDM's rule that a leaf above the maximum reads as the highest basic
// leaf. NULL: all zeros.
const struct cpuid_row *cpuid_find(const struct cpuid_policy *policy, u32 leaf, u32 subleaf);

// CPUID.(DH,0):EBX and, compacted, CPUID.(DH,1):EBX: the bytes of an XSAVE area with the components of xcr0
// (SDM vol. 1, 13.4.2 and 13.4.3). The processor's own figure is not used: Bochs 2.7 gives the standard size
// for the compacted one, and Linux then does without XSAVE.
u32 cpuid_xsave_bytes(const struct cpuid_policy *policy, u64 xcr0, bool compacted);

// CPUID 15H: TSC = crystal * numerator / denominator. Chosen so that crystal in kHz times numerator fits 32
// bits, since Linux multiplies so.
struct cpuid_ratio {
    u32 denominator, numerator, crystal_hz;
};
struct cpuid_ratio cpuid_tsc_ratio(u64 tsc_hz, u64 crystal_hz);

// MAXPHYADDR as this guest sees it.
unsigned cpuid_physical_bits(const struct cpuid_policy *policy);

// The bits of CR4 that this guest may set.
u64 cpuid_cr4_allowed(const struct cpuid_policy *policy);
