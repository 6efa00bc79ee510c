// Which memory type the MTRRs of the machine give to a range of frames (SDM vol. 3, 12.11).
// Pure: the caller reads the MSRs into the struct. The page attribute table is none of its business.
#pragma once

#include <arch/types.h>

#define MTRR_VARIABLE_MAX 32u
#define MTRR_FIXED_COUNT  11u
#define MTRR_MIXED        0xff

// SDM vol. 3, table 12-2.
#define MEMTYPE_UC 0u
#define MEMTYPE_WC 1u
#define MEMTYPE_WT 4u
#define MEMTYPE_WP 5u
#define MEMTYPE_WB 6u

#define MTRRCAP_VCNT(cap) ((unsigned)((cap)&0xff)) // pairs of variable-range registers
#define MTRRCAP_FIX       BIT(8)                   // the fixed-range registers exist

// The registers as RDMSR returns them.
struct mtrrs {
    u64 cap;                     // IA32_MTRRCAP (FEH)
    u64 def_type;                // IA32_MTRR_DEF_TYPE (2FFH)
    u64 fixed[MTRR_FIXED_COUNT]; // 250H, 258H, 259H, 268H to 26FH; ignored without MTRRCAP_FIX
    struct {
        u64 base;                  // IA32_MTRR_PHYSBASEn (200H + 2n)
        u64 mask;                  // IA32_MTRR_PHYSMASKn (201H + 2n)
    } variable[MTRR_VARIABLE_MAX]; // the first MTRRCAP_VCNT, at most MTRR_VARIABLE_MAX
    unsigned maxphyaddr;           // CPUID.80000008H:EAX[7:0], in bits
};

// The memory type of [first, first + count) frames, count at least 1, or MTRR_MIXED when not all of it has
// the same. What the SDM leaves undefined (other overlaps than UC with any and WT with WB, reserved types) is
// UC. The cost depends on how many boundaries of MTRRs lie in the range, not on its size.
u8 mtrr_memtype(const struct mtrrs *m, mfn_t first, u64 count);

// The memory type of frame `first`, and in `next` the first frame above that may have another one.
u8 mtrr_type_at(const struct mtrrs *m, u64 first, u64 *next);
