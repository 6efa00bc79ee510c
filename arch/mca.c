// See arch/mca.h. Every register is read and written by trap_try: a hypervisor may have others than it says.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/mca.h>
#include <arch/traps.h>

#define CPUID_1_EDX_MCA BIT(14)

#define CAP_BANKS 0xff
#define CAP_CTL   BIT(8) // there is IA32_MCG_CTL

// SDM vol. 3, 16.3.2.2.
#define STATUS_PCC   BIT(57) // the processor's state may be corrupt
#define STATUS_ADDRV BIT(58)
#define STATUS_MISCV BIT(59)
#define STATUS_UC    BIT(61)
#define STATUS_OVER  BIT(62) // there was another one, which is lost
#define STATUS_VAL   BIT(63)

#define MC_CTL(i)    (IA32_MC0_CTL + 4 * (i))
#define MC_STATUS(i) (MC_CTL(i) + 1)
#define MC_ADDR(i)   (MC_CTL(i) + 2)
#define MC_MISC(i)   (MC_CTL(i) + 3)

// SDM vol. 3, 16.9: simple codes, then compound ones, in which bit 12 is a mark of corrected errors.
static const struct kind {
    u16 mask, value;
    const char *name;
} kinds[] = {
    {0xffff, 0x0000, "error without a code"},
    {0xffff, 0x0001, "unclassified error"},
    {0xffff, 0x0002, "parity error of the microcode ROM"},
    {0xffff, 0x0003, "external error"},
    {0xffff, 0x0004, "FRC error"},
    {0xffff, 0x0005, "internal parity error"},
    {0xffff, 0x0006, "SMM handler code access violation"},
    {0xffff, 0x0400, "internal timer error"},
    {0xfc00, 0x0400, "internal unclassified error"},
    {0xffff, 0x0e0b, "I/O error"},
    {0xeffc, 0x000c, "cache error"},
    {0xeff0, 0x0010, "TLB error"},
    {0xef80, 0x0080, "memory controller error"},
    {0xef00, 0x0100, "cache error"},
    {0xef80, 0x0280, "error of memory used as a cache"},
    {0xe800, 0x0800, "bus or interconnect error"},
};

static void set(u32 msr, u64 value)
{
    bool taken = trap_try_wrmsr(msr, value);
    (void)taken;
}

static u64 get(u32 msr)
{
    u64 value;
    return trap_try_rdmsr(msr, &value) ? value : 0;
}

// IA32_MCG_CAP, or 0.
static u64 capabilities(void)
{
    return cpuid(1, 0).edx & CPUID_1_EDX_MCA ? get(IA32_MCG_CAP) : 0;
}

static unsigned banks_of(u64 cap)
{
    unsigned banks = cap & CAP_BANKS;
    return banks < MCA_BANKS ? banks : MCA_BANKS;
}

static void take_bank(struct mca_log *log, unsigned i)
{
    u64 status = get(MC_STATUS(i));
    if (!(status & STATUS_VAL))
        return;
    log->bank[log->count++] = (struct mca_bank){
        .number = i,
        .status = status,
        .address = status & STATUS_ADDRV ? get(MC_ADDR(i)) : 0,
        .misc = status & STATUS_MISCV ? get(MC_MISC(i)) : 0,
    };
    set(MC_STATUS(i), 0);
}

void mca_take(struct mca_log *log)
{
    u64 cap = capabilities();
    log->count = 0;
    log->status = cap ? get(IA32_MCG_STATUS) : 0;
    for (unsigned i = 0; i < banks_of(cap); i++)
        take_bank(log, i);
    if (log->status)
        set(IA32_MCG_STATUS, 0); // last: until then another one is a shutdown
}

// SDM vol. 3, 16.3.2.1: before 06_1AH IA32_MC0_CTL is another register, and the firmware's.
static bool has_mc0_ctl(void)
{
    u32 signature = cpuid(1, 0).eax;
    return !SIGNATURE_IS_FAMILY_6(signature) || SIGNATURE_MODEL(signature) >= 0x1a;
}

void mca_start(struct mca_log *log)
{
    u64 cap = capabilities();
    mca_take(log);
    if (cap & CAP_CTL)
        set(IA32_MCG_CTL, ~0ull);
    for (unsigned i = has_mc0_ctl() ? 0 : 1; i < banks_of(cap); i++)
        set(MC_CTL(i), ~0ull);
}

const char *mca_kind(const struct mca_bank *bank)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if ((bank->status & kinds[i].mask) == kinds[i].value)
            return kinds[i].name;
    }
    return "error with an unknown code";
}

static unsigned severity(const struct mca_bank *bank)
{
    return bank->status & STATUS_PCC ? 2 : bank->status & STATUS_UC ? 1 : 0;
}

void mca_text(const struct mca_bank *bank, char text[MCA_TEXT])
{
    static const char *const severities[] = {"corrected", "uncorrected",
                                             "uncorrected, processor state corrupt"};
    fmt(text, MCA_TEXT, "bank %u: %s, %s%s; status 0x%lx, address 0x%lx, misc 0x%lx", bank->number,
        mca_kind(bank), severities[severity(bank)],
        bank->status & STATUS_OVER ? ", and another one lost" : "", bank->status, bank->address, bank->misc);
}

const struct mca_bank *mca_worst(const struct mca_log *log)
{
    const struct mca_bank *worst = NULL;
    for (unsigned i = 0; i < log->count; i++) {
        if (!worst || severity(&log->bank[i]) > severity(worst))
            worst = &log->bank[i];
    }
    return worst;
}
