// Which processors are started, and what is made of those that answer late, wrongly or not at all: the local
// APIC in x2APIC mode is fake MSRs, and what a SIPI does is the test's.

// link: arch/park.c tests/host/fake_cpu.c
#include "support.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/park.h>
#include <arch/processor.h>
#include <arch/traps.h>

#include "arch/paging.h"

#include "fake_cpu.h"

#define ICR    0x830
#define OWN_ID 3u
#define DONE   1
#define FAILED 2

extern volatile u32 park_result;
const u8 park_code[64] = {0xfa}, park_halt[1] = {0xf4};
__asm__(".globl park_code_end\n.set park_code_end, park_code + 64");

static struct frames frames;
static struct acpi acpi;
static struct vmx_caps caps;
static struct park park;
static bool identity;
static unsigned told, inits, regions;

// What the processor with this local APIC ID is.
enum nature { WORKS, SECOND_SIPI, SECOND_INIT, ABSENT, NO_VMX, FAULTS };
static enum nature natures[ACPI_MAX_CPUS];
static unsigned sipis[ACPI_MAX_CPUS];

void traps_init_parked(const u8 *halt)
{
    (void)halt;
}

const char *processor_start(void)
{
    return NULL;
}

int vmx_join(const struct vmx_caps *c, mfn_t region)
{
    (void)c, (void)region;
    return 0;
}

int vmx_region_new(const struct vmx_caps *c, struct frames *f, mfn_t *region)
{
    (void)c;
    regions++;
    return frames_alloc(f, ORDER_4K, FRAME_MONITOR, region);
}

void paging_identity(bool on)
{
    identity = on;
}

static void arrive(u32 id, u64 page)
{
    static const unsigned wanted[] = {[SECOND_SIPI] = 2, [SECOND_INIT] = 3, [FAULTS] = 0};
    enum nature nature = natures[id];
    assert_true(identity);
    assert_int_equal(*(u8 *)phys_ptr(page), 0xfa); // the code is there
    sipis[id]++;
    if (nature == ABSENT || sipis[id] < wanted[nature])
        return;
    *(u32 *)phys_ptr(page + PAGE_SIZE - 8) = 1;
    if (nature != FAULTS)
        park_result = nature == NO_VMX ? FAILED : DONE;
}

static bool icr_write(u32 msr, u64 value)
{
    if (msr == ICR && (value & 0x700) == 0x500)
        inits++;
    if (msr == ICR && (value & 0x700) == 0x600)
        arrive((u32)(value >> 32), (value & 0xff) << 12);
    fake_msr_write_count = 0;
    return false;
}

static void count_progress(unsigned tried, unsigned count)
{
    assert_true(tried < count);
    told++;
}

static int start(void **state)
{
    (void)state;
    fake_cpu_reset();
    fake_msr_refuses = icr_write;
    fake_msr_set(IA32_APIC_BASE, APIC_BASE_X2APIC | APIC_BASE_ENABLE);
    fake_msr_set(0x802, OWN_ID);
    fake_msr_set(ICR, 0);
    memory_make(64 * MIB, &frames);
    memset(&acpi, 0, sizeof(acpi));
    memset(natures, 0, sizeof(natures));
    memset(sipis, 0, sizeof(sipis));
    told = inits = regions = 0;
    identity = false;
    park = (struct park){
        .acpi = &acpi, .caps = &caps, .frames = &frames, .tsc_hz = 1000000, .progress = count_progress};
    return 0;
}

static int stop(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

static void list(unsigned count)
{
    acpi.cpus = count;
    for (unsigned i = 0; i < count; i++)
        acpi.apic_id[i] = i;
}

static void alone(void **state)
{
    (void)state;
    acpi.cpus = 1;
    acpi.apic_id[0] = OWN_ID;
    assert_int_equal(park_others(&park), 0);
    assert_int_equal(park.parked + park.silent + inits, 0);
    acpi.cpus = 0;
    assert_int_equal(park_others(&park), 0);
}

// Two sockets of a large server; each keeps one frame, and the start page is given back.
static void many(void **state)
{
    (void)state;
    list(1024);
    natures[17] = SECOND_SIPI;
    assert_int_equal(park_others(&park), 0);
    assert_int_equal(park.parked, 1023);
    assert_int_equal(park.silent, 0);
    assert_int_equal(sipis[OWN_ID], 0);
    assert_int_equal(sipis[1023], 1);
    assert_int_equal(frames.count[FRAME_MONITOR], 1023);
    assert_false(identity);
}

// One that runs no instruction after two rounds is said, and the way stays open for it, with a region of its
// own.
static void silent(void **state)
{
    (void)state;
    list(40);
    natures[5] = natures[38] = ABSENT;
    natures[6] = SECOND_INIT;
    assert_int_equal(park_others(&park), 0);
    assert_int_equal(park.parked, 37);
    assert_int_equal(park.silent, 2);
    assert_int_equal(park.silent_id, 5);
    assert_int_equal(sipis[5], 4);
    assert_int_equal(sipis[6], 3);
    assert_true(identity);
    assert_int_equal(regions, 38);
    assert_int_equal(frames.count[FRAME_MONITOR], 38 + 1);
}

// One that is there and does not get into VMX operation is the guest's for the taking.
static void not_in_vmx(void **state)
{
    (void)state;
    for (enum nature nature = NO_VMX; nature <= FAULTS; nature++) {
        list(8);
        natures[6] = nature;
        assert_int_equal(park_others(&park), ERR_INVALID);
        assert_non_null(strstr(park.message, "local APIC ID 6 does not enter VMX operation"));
        assert_true(identity);
    }
}

static void progress_is_told(void **state)
{
    (void)state;
    list(64);
    for (unsigned i = 8; i < 64; i++)
        natures[i] = ABSENT;
    assert_int_equal(park_others(&park), 0);
    assert_int_equal(park.silent, 56);
    assert_in_range(told, 8, 16); // 0.2 s each
}

static void refusals(void **state)
{
    (void)state;
    list(ACPI_MAX_CPUS);
    assert_int_equal(park_others(&park), ERR_NOMEM);
    assert_non_null(strstr(park.message, "4096"));
    list(2);
    frames_reserve(&frames, 0, MIB);
    assert_int_equal(park_others(&park), ERR_NOMEM);
    assert_non_null(strstr(park.message, "640K"));
    acpi.apic_id[1] = ~0u;
    inits = 0;
    assert_int_equal(park_others(&park), ERR_INVALID);
    assert_int_equal(inits, 0); // it would reset this processor
}

#define WITH_CPUS(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CPUS(alone),
        WITH_CPUS(many),
        WITH_CPUS(silent),
        WITH_CPUS(not_in_vmx),
        WITH_CPUS(progress_is_told),
        WITH_CPUS(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
