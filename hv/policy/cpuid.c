// See cpuid.h. Rows are made leaf by leaf; feature bits pass only through cpuid.def.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <hv/vmcall.h>

#include "cpuid.h"

enum { EAX, EBX, ECX, EDX };

#define LEAF_CACHE        0x4
#define LEAF_STRUCTURED_2 0x20007 // as in cpuid.def
#define LEAF_TOPOLOGY     0xb
#define LEAF_XSAVE        0xd
#define LEAF_XSAVE_1      0x1000d // as in cpuid.def
#define LEAF_TSC          0x15
#define LEAF_FREQUENCY    0x16
#define LEAF_EXTENDED     0x80000000u
#define LEAF_EXTENDED_MAX 0x80000008u

// x87, SSE, AVX, AVX-512, PKRU. MPX is gone, AMX needs more state than the world switch knows.
#define XCR0_KNOWN (BIT(0) | BIT(1) | BIT(2) | BIT(5) | BIT(6) | BIT(7) | BIT(9))
#define XCR0_PKRU  BIT(9)

struct feature_row {
    u32 leaf;
    u8 reg, bit;
};

static const struct feature_row features[CPUID_FEATURES] = {
#define FEATURE(name, leaf, reg, bit) {leaf, reg, bit},
#include "cpuid.def"
#undef FEATURE
};

static struct cpuid_regs *row_add(struct cpuid_policy *p, u32 leaf, u32 subleaf, struct cpuid_regs regs)
{
    if (p->count == CPUID_ROWS) // more subleaves than any processor has
        return &p->spill;
    struct cpuid_row *row = &p->rows[p->count++];
    *row = (struct cpuid_row){leaf, subleaf, regs};
    return &row->regs;
}

// Keeps of a register only the features that have a row and are not hidden.
static u32 features_of(struct cpuid_policy *p, const struct cpuid_facts *facts, u32 leaf, unsigned reg,
                       u32 host)
{
    u32 shown = 0;
    for (unsigned i = 0; i < CPUID_FEATURES; i++) {
        const struct feature_row *f = &features[i];
        if (f->leaf != leaf || f->reg != reg || !(host & BIT(f->bit)) || facts->hide[i])
            continue;
        p->has[i] = true;
        shown |= (u32)BIT(f->bit);
    }
    return shown;
}

static struct cpuid_regs filtered(struct cpuid_policy *p, const struct cpuid_facts *facts, u32 leaf)
{
    struct cpuid_regs host = facts->host(leaf, 0);
    struct cpuid_regs shown;
    for (unsigned reg = 0; reg < 4; reg++)
        shown.r[reg] = features_of(p, facts, leaf, reg, host.r[reg]);
    return shown;
}

// Leaf 1: signature, one logical processor, features.
static void leaf_version(struct cpuid_policy *p, const struct cpuid_facts *facts)
{
    struct cpuid_regs host = facts->host(1, 0);
    struct cpuid_regs regs = filtered(p, facts, 1);
    regs.r[EAX] = host.r[EAX];
    regs.r[EBX] = (host.r[EBX] & 0xffff) | 1u << 16 | facts->apic_id << 24;
    regs.r[ECX] |= CPUID_1_ECX_HYPERVISOR;
    regs.r[EDX] &= ~(u32)BIT(9); // APIC follows IA32_APIC_BASE
    row_add(p, 1, 0, regs);
}

static void leaf_caches(struct cpuid_policy *p, const struct cpuid_facts *facts)
{
    for (u32 subleaf = 0; subleaf < 8; subleaf++) {
        struct cpuid_regs regs = facts->host(LEAF_CACHE, subleaf);
        if (!(regs.r[EAX] & 0x1f))
            break;
        regs.r[EAX] &= 0x3fff; // shared by nobody
        row_add(p, LEAF_CACHE, subleaf, regs);
    }
}

// Subleaf 2: all but MCDT_NO are bits of IA32_SPEC_CTRL, and nothing is said of it to a guest that has no
// such MSR.
static bool leaf_structured_2(struct cpuid_policy *p, const struct cpuid_facts *facts)
{
    if (facts->host(7, 0).r[EAX] < 2 || !p->has[CPUID_IBRS_IBPB])
        return false;
    u32 edx = features_of(p, facts, LEAF_STRUCTURED_2, EDX, facts->host(7, 2).r[EDX]);
    row_add(p, 7, 2, (struct cpuid_regs){{0, 0, 0, edx}});
    return true;
}

// The guest of a bare machine is told by IA32_ARCH_CAPABILITIES what a processor without it has not: msr.c.
static bool capabilities_are_told(const struct cpuid_facts *facts)
{
    return !(facts->host(1, 0).r[ECX] & CPUID_1_ECX_HYPERVISOR) && !facts->hide[CPUID_ARCH_CAPABILITIES];
}

// Subleaves 0 and 2: 1 reads as zeros. An old processor has none.
static void leaf_structured(struct cpuid_policy *p, const struct cpuid_facts *facts, bool known)
{
    struct cpuid_regs none = {{0}};
    struct cpuid_regs *first = row_add(p, 7, 0, known ? filtered(p, facts, 7) : none);
    if (capabilities_are_told(facts)) {
        first->r[EDX] |= (u32)BIT(features[CPUID_ARCH_CAPABILITIES].bit);
        p->has[CPUID_ARCH_CAPABILITIES] = true;
    }
    first->r[EAX] = known && leaf_structured_2(p, facts) ? 2 : 0;
}

// Leaf BH: one thread in one core.
static void leaf_topology(struct cpuid_policy *p, const struct cpuid_facts *facts)
{
    row_add(p, LEAF_TOPOLOGY, 0, (struct cpuid_regs){{0, 1, 1 << 8, facts->apic_id}});
    row_add(p, LEAF_TOPOLOGY, 1, (struct cpuid_regs){{0, 1, 2 << 8 | 1, facts->apic_id}});
}

#define XSAVE_BASE  576u   // legacy area and header (SDM vol. 1, 13.4)
#define XSAVE_ALIGN BIT(1) // of a component's ECX: at a multiple of 64 in compacted form

u32 cpuid_xsave_bytes(const struct cpuid_policy *policy, u64 xcr0, bool compacted)
{
    u32 end = XSAVE_BASE;
    for (unsigned i = 0; i < policy->count; i++) {
        const struct cpuid_row *row = &policy->rows[i];
        if (row->leaf != LEAF_XSAVE || row->subleaf < 2 || !(xcr0 & BIT(row->subleaf)))
            continue;
        u32 bytes = row->regs.r[EAX], offset = row->regs.r[EBX];
        if (compacted)
            offset = row->regs.r[ECX] & XSAVE_ALIGN ? (u32)align_up(end, 64) : end;
        if (offset + bytes > end)
            end = offset + bytes;
    }
    return end;
}

// Leaf DH: the state components that the guest may enable; supervisor components none.
static void leaf_xsave(struct cpuid_policy *p, const struct cpuid_facts *facts)
{
    if (!p->has[CPUID_XSAVE])
        return;
    struct cpuid_regs host = facts->host(LEAF_XSAVE, 0);
    p->xcr0 = host.r[EAX] & XCR0_KNOWN;
    if (!p->has[CPUID_PKU])
        p->xcr0 &= ~XCR0_PKRU;
    struct cpuid_regs *first = row_add(p, LEAF_XSAVE, 0, host);
    struct cpuid_regs extensions = facts->host(LEAF_XSAVE, 1);
    extensions.r[EAX] = features_of(p, facts, LEAF_XSAVE_1, EAX, extensions.r[EAX]);
    extensions.r[ECX] = extensions.r[EDX] = 0;
    row_add(p, LEAF_XSAVE, 1, extensions);
    for (u32 component = 2; component < 63; component++) {
        if (!(p->xcr0 & BIT(component)))
            continue;
        row_add(p, LEAF_XSAVE, component, facts->host(LEAF_XSAVE, component));
    }
    u32 size = cpuid_xsave_bytes(p, p->xcr0, false);
    *first = (struct cpuid_regs){{(u32)p->xcr0, XSAVE_BASE, size, (u32)(p->xcr0 >> 32)}};
}

struct cpuid_ratio cpuid_tsc_ratio(u64 tsc_hz, u64 crystal_hz)
{
    u64 denominator = 1000;
    while (denominator > 1 && crystal_hz / 1000 * (tsc_hz * denominator / crystal_hz + 1) > 0x7fffffff)
        denominator /= 10;
    u64 numerator = (tsc_hz * denominator + crystal_hz / 2) / crystal_hz;
    if (numerator % denominator == 0) { // TSC and crystal at a whole ratio: say so simply
        numerator /= denominator;
        denominator = 1;
    }
    return (struct cpuid_ratio){(u32)denominator, (u32)numerator, (u32)crystal_hz};
}

static void leaf_frequencies(struct cpuid_policy *p, const struct cpuid_facts *facts)
{
    struct cpuid_ratio ratio = cpuid_tsc_ratio(facts->tsc_hz, facts->crystal_hz);
    u32 mhz = (u32)((facts->tsc_hz + 500000) / 1000000);
    row_add(p, LEAF_TSC, 0, (struct cpuid_regs){{ratio.denominator, ratio.numerator, ratio.crystal_hz, 0}});
    row_add(p, LEAF_FREQUENCY, 0, (struct cpuid_regs){{mhz, mhz, 100, 0}});
}

static void basic_leaves(struct cpuid_policy *p, const struct cpuid_facts *facts)
{
    struct cpuid_regs host = facts->host(0, 0);
    u32 host_max = host.r[EAX];
    host.r[EAX] = p->max_basic = LEAF_FREQUENCY;
    row_add(p, 0, 0, host);
    leaf_version(p, facts);
    if (host_max >= 2)
        row_add(p, 2, 0, facts->host(2, 0));
    if (host_max >= LEAF_CACHE)
        leaf_caches(p, facts);
    if (host_max >= 6)
        row_add(p, 6, 0, filtered(p, facts, 6));
    leaf_structured(p, facts, host_max >= 7);
    if (host_max >= LEAF_TOPOLOGY)
        leaf_topology(p, facts);
    if (host_max >= LEAF_XSAVE)
        leaf_xsave(p, facts);
    leaf_frequencies(p, facts);
}

// Physical width as it is, linear width without LA57.
static struct cpuid_regs address_widths(struct cpuid_regs host)
{
    u32 physical = host.r[EAX] & 0xff, linear = host.r[EAX] >> 8 & 0xff;
    return (struct cpuid_regs){{physical | (linear < 48 ? linear : 48) << 8}};
}

static void extended_leaves(struct cpuid_policy *p, const struct cpuid_facts *facts)
{
    struct cpuid_regs host = facts->host(LEAF_EXTENDED, 0);
    p->max_extended = host.r[EAX] < LEAF_EXTENDED_MAX ? host.r[EAX] : LEAF_EXTENDED_MAX;
    host.r[EAX] = p->max_extended;
    row_add(p, LEAF_EXTENDED, 0, host);
    for (u32 leaf = LEAF_EXTENDED + 1; leaf <= p->max_extended; leaf++) {
        bool has_features = leaf == LEAF_EXTENDED + 1 || leaf == LEAF_EXTENDED + 7;
        struct cpuid_regs regs = has_features ? filtered(p, facts, leaf) : facts->host(leaf, 0);
        if (leaf == LEAF_EXTENDED_MAX)
            regs = address_widths(regs);
        row_add(p, leaf, 0, regs);
    }
}

static void hypervisor_leaves(struct cpuid_policy *p)
{
    static const char signature[12] = PENUMBRA_SIGNATURE;
    struct cpuid_regs *first =
        row_add(p, PENUMBRA_LEAF_SIGNATURE, 0, (struct cpuid_regs){{PENUMBRA_LEAF_INTERFACE}});
    memcpy(&first->r[EBX], signature, sizeof(signature));
    row_add(p, PENUMBRA_LEAF_INTERFACE, 0, (struct cpuid_regs){{PENUMBRA_INTERFACE}});
}

void cpuid_make(struct cpuid_policy *policy, const struct cpuid_facts *facts)
{
    memset(policy, 0, sizeof(*policy));
    basic_leaves(policy, facts);
    for (unsigned i = policy->count; i-- > 0;)
        policy->basic[policy->rows[i].leaf] = (u8)i;
    hypervisor_leaves(policy);
    policy->extended = (u8)policy->count;
    extended_leaves(policy, facts);
}

static const struct cpuid_row *scan(const struct cpuid_policy *p, unsigned from, u32 leaf, u32 subleaf)
{
    for (unsigned i = from; i < p->count && p->rows[i].leaf <= leaf; i++) {
        const struct cpuid_row *row = &p->rows[i];
        bool has_subleaves = leaf == LEAF_CACHE || leaf == LEAF_TOPOLOGY || leaf == LEAF_XSAVE || leaf == 7;
        if (row->leaf == leaf && (row->subleaf == subleaf || !has_subleaves))
            return row;
    }
    return NULL;
}

static bool in_range(const struct cpuid_policy *p, u32 leaf)
{
    return leaf == PENUMBRA_LEAF_SIGNATURE || leaf == PENUMBRA_LEAF_INTERFACE ||
           (leaf >= LEAF_EXTENDED && leaf <= p->max_extended);
}

static unsigned first_row(const struct cpuid_policy *policy, u32 leaf)
{
    if (leaf <= policy->max_basic)
        return policy->basic[leaf];
    return leaf >= LEAF_EXTENDED ? policy->extended : 0;
}

const struct cpuid_row *cpuid_find(const struct cpuid_policy *policy, u32 leaf, u32 subleaf)
{
    if (leaf > policy->max_basic && !in_range(policy, leaf))
        leaf = policy->max_basic;
    return scan(policy, first_row(policy, leaf), leaf, subleaf);
}

unsigned cpuid_physical_bits(const struct cpuid_policy *policy)
{
    const struct cpuid_row *row = cpuid_find(policy, LEAF_EXTENDED_MAX, 0);
    return row && policy->max_extended >= LEAF_EXTENDED_MAX ? row->regs.r[EAX] & 0xff : 36;
}

// CR4 bits and the feature that each needs (SDM vol. 3, 2.5).
static const struct {
    u64 bit;
    enum cpuid_feature feature;
} cr4_bits[] = {
    {CR4_VME, CPUID_VME},           {CR4_PVI, CPUID_VME},
    {CR4_TSD, CPUID_TSC},           {CR4_DE, CPUID_DE},
    {CR4_PSE, CPUID_PSE},           {CR4_PAE, CPUID_PAE},
    {CR4_MCE, CPUID_MCE},           {CR4_PGE, CPUID_PGE},
    {CR4_PCE, CPUID_FPU},           {CR4_OSFXSR, CPUID_FXSR},
    {CR4_OSXMMEXCPT, CPUID_SSE},    {CR4_UMIP, CPUID_UMIP},
    {CR4_FSGSBASE, CPUID_FSGSBASE}, {CR4_PCIDE, CPUID_PCID},
    {CR4_OSXSAVE, CPUID_XSAVE},     {CR4_SMEP, CPUID_SMEP},
    {CR4_SMAP, CPUID_SMAP},         {CR4_PKE, CPUID_PKU},
};

u64 cpuid_cr4_allowed(const struct cpuid_policy *policy)
{
    u64 allowed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(cr4_bits); i++) {
        if (policy->has[cr4_bits[i].feature])
            allowed |= cr4_bits[i].bit;
    }
    return allowed;
}
