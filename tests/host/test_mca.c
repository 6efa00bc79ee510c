// Machine-check banks, as the SDM has them (vol. 3, 16.3 and 16.9), out of fake MSRs: what is read of them,
// in which order they are emptied, and what they are in words.

// link: arch/mca.c tests/host/fake_cpu.c
#include "fake_cpu.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/mca.h>

#include "support.h"

#define CTL_P    BIT(8)
#define VALID    BIT(63)
#define OVER     BIT(62)
#define UC       BIT(61)
#define MISCV    BIT(59)
#define ADDRV    BIT(58)
#define PCC      BIT(57)
#define MCIP     BIT(2)
#define UNTOLD   0xdeadull // what a register holds that means nothing
#define FIRST    0x400u
#define VMX_MSRS 0x480u

static bool mca;
static u32 signature;

static struct cpuid processor_cpuid(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    assert_int_equal(leaf, 1);
    return (struct cpuid){signature, 0, 0, (u32)mca << 14};
}

// IA32_MCi_STATUS takes nothing but zeros.
static bool refuses(u32 msr, u64 value)
{
    return msr >= FIRST && msr < VMX_MSRS && msr % 4 == 1 && value;
}

static int setup(void **state)
{
    (void)state;
    fake_cpu_reset();
    fake_cpuid = processor_cpuid;
    fake_msr_refuses = refuses;
    mca = true;
    signature = 0x506e3; // 06_5EH
    return 0;
}

static void make(unsigned banks, u64 capabilities)
{
    fake_msr_set(IA32_MCG_CAP, capabilities | banks);
    fake_msr_set(IA32_MCG_STATUS, 0);
    for (u32 msr = FIRST; msr < FIRST + 4 * banks; msr++)
        fake_msr_set(msr, msr % 4 > 1 ? UNTOLD : 0);
}

static void fill(unsigned bank, u64 status)
{
    fake_msr_set(FIRST + 4 * bank + 1, status);
}

static void takes_what_is_valid(void **state)
{
    (void)state;
    struct mca_log log;
    make(10, 0);
    fake_msr_set(IA32_MCG_STATUS, MCIP | 1);
    fill(0, 0x90); // not valid: left of another
    fill(3, VALID | ADDRV | 0x90);
    fill(9, VALID | MISCV | UC | 0x91);
    mca_take(&log);
    assert_int_equal(log.status, MCIP | 1);
    assert_int_equal(log.count, 2);
    assert_int_equal(log.bank[0].number, 3);
    assert_int_equal(log.bank[0].status, VALID | ADDRV | 0x90);
    assert_int_equal(log.bank[0].address, UNTOLD);
    assert_int_equal(log.bank[0].misc, 0);
    assert_int_equal(log.bank[1].number, 9);
    assert_int_equal(log.bank[1].address, 0);
    assert_int_equal(log.bank[1].misc, UNTOLD);
    assert_int_equal(fake_msr(FIRST + 4 * 3 + 1), 0);
    assert_int_equal(fake_msr(FIRST + 4 * 9 + 1), 0);
    assert_int_equal(fake_msr(IA32_MCG_STATUS), 0);
    assert_int_equal(fake_msr_writes[fake_msr_write_count - 1].msr, IA32_MCG_STATUS); // MCIP last of all
    mca_take(&log);
    assert_int_equal(log.count + log.status, 0);
}

static void there_is_none(void **state)
{
    (void)state;
    struct mca_log log;
    make(4, CTL_P);
    fill(1, VALID);
    mca = false;
    mca_start(&log);
    assert_int_equal(log.count, 0);
    assert_int_equal(fake_msr_write_count, 0);
    fake_cpu_reset(); // CPUID says so, and the registers are not there
    fake_cpuid = processor_cpuid;
    mca = true;
    mca_start(&log);
    assert_int_equal(log.count + log.status, 0);
}

// However many banks there are said to be: at 480H begin the registers of VMX.
static void banks_are_bounded(void **state)
{
    (void)state;
    struct mca_log log;
    make(32, 0);
    fake_msr_set(IA32_MCG_CAP, 255);
    for (u32 msr = VMX_MSRS; msr < VMX_MSRS + 16; msr++)
        fake_msr_set(msr, VALID);
    for (unsigned bank = 0; bank < 32; bank++)
        fill(bank, VALID);
    mca_start(&log);
    assert_int_equal(log.count, 32);
    for (unsigned i = 0; i < fake_msr_write_count; i++)
        assert_true(fake_msr_writes[i].msr < VMX_MSRS);
}

// Every error is enabled in every bank; but of old processors IA32_MC0_CTL is the firmware's.
static void start_enables_all(void **state)
{
    (void)state;
    static const struct {
        u32 signature;
        bool first;
    } rows[] = {{0x506e3, true}, {0x106a5, true}, {0x10676, false}, {0x6fb, false}, {0xf65, true}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct mca_log log;
        setup(NULL);
        signature = rows[i].signature;
        make(6, i ? CTL_P : 0);
        if (i)
            fake_msr_set(IA32_MCG_CTL, 0);
        fill(5, VALID | UC | 0x400);
        mca_start(&log);
        assert_int_equal(log.count, 1);
        assert_int_equal(fake_msr(FIRST + 4 * 5 + 1), 0);
        if (i)
            assert_true(fake_msr(IA32_MCG_CTL) == ~0ull);
        assert_true(fake_msr(FIRST) == (rows[i].first ? ~0ull : 0));
        for (unsigned bank = 1; bank < 6; bank++)
            assert_true(fake_msr(FIRST + 4 * bank) == ~0ull);
    }
}

static void in_words(void **state)
{
    (void)state;
    static const struct {
        u64 code;
        const char *kind;
    } rows[] = {
        {0x0001, "unclassified error"},
        {0x0005, "internal parity error"},
        {0x0400, "internal timer error"},
        {0x0407, "internal unclassified error"},
        {0x0e0b, "I/O error"},
        {0x000e, "cache error"},
        {0x0015, "TLB error"},
        {0x009f, "memory controller error"},
        {0x0151, "cache error"},
        {0x1151, "cache error"},
        {0x0135, "cache error"},
        {0x0285, "error of memory used as a cache"},
        {0x0e0f, "bus or interconnect error"},
        {0x0800, "bus or interconnect error"},
        {0x1890, "bus or interconnect error"},
        {0x2000, "error with an unknown code"},
        {0x0020, "error with an unknown code"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct mca_bank bank = {.status = VALID | 0xffff0000 | rows[i].code};
        assert_string_equal(mca_kind(&bank), rows[i].kind);
    }
    char text[MCA_TEXT];
    mca_text(&(struct mca_bank){7, VALID | UC | PCC | OVER | ADDRV | 0x91, 0x12345000, 0}, text);
    assert_string_equal(
        text,
        "bank 7: memory controller error, uncorrected, processor state corrupt, and another one lost; status 0xe600000000000091, address 0x12345000, misc 0x0");
    mca_text(&(struct mca_bank){31, ~0ull, ~0ull, ~0ull}, text); // the longest fits
    assert_int_equal(text[strlen(text) - 1], 'f');
}

static void the_worst_of_all(void **state)
{
    (void)state;
    struct mca_log log = {.count = 0};
    assert_null(mca_worst(&log));
    log = (struct mca_log){.count = 3,
                           .bank = {{1, VALID, 0, 0}, {2, VALID | UC, 0, 0}, {3, VALID | UC, 0, 0}}};
    assert_int_equal(mca_worst(&log)->number, 2);
    log.bank[2].status |= PCC;
    assert_int_equal(mca_worst(&log)->number, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(takes_what_is_valid, setup),
        cmocka_unit_test_setup(there_is_none, setup),
        cmocka_unit_test_setup(banks_are_bounded, setup),
        cmocka_unit_test_setup(start_enables_all, setup),
        cmocka_unit_test_setup(in_words, setup),
        cmocka_unit_test_setup(the_worst_of_all, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
