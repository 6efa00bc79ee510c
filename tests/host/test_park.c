// Which processors are started, and what is made of those that answer late, wrongly or not at all: the local
// APIC in x2APIC mode is fake MSRs, and what a SIPI does is the test's. Then what a parked one does, until it
// is released.

// link: arch/park.c tests/host/fake_cpu.c
#include "support.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/park.h>
#include <arch/processor.h>
#include <arch/traps.h>

#include "arch/paging.h"

#include "fake_cpu.h"

#include <setjmp.h>

#define ICR    0x830
#define OWN_ID 3u
#define DONE   1
#define FAILED 2

extern volatile u32 park_result;
extern u64 park_stack;
const u8 park_code[64] = {0xfa};
_Noreturn void park_enter(void);
_Noreturn void park_leave(const void *stack);
void park_machine_check(const void *stack);
__asm__(".globl park_code_end\n.set park_code_end, park_code + 64");

static struct frames frames;
static struct acpi acpi;
static struct vmx_caps caps;
static struct park park;
static bool identity;
static unsigned told, inits, nmis, regions;

// What the processor with this local APIC ID is.
enum nature { WORKS, SECOND_SIPI, SECOND_INIT, ABSENT, NO_VMX, FAULTS, STAYS };
static enum nature natures[ACPI_MAX_CPUS];
static unsigned sipis[ACPI_MAX_CPUS];

void traps_init_parked(void)
{
}

const char *processor_start(void)
{
    return NULL;
}

static bool no_vmx;

int vmx_join(const struct vmx_caps *c, mfn_t region)
{
    (void)c, (void)region;
    return no_vmx ? ERR_INVALID : 0;
}

static void *vmx_left; // the one whose VMXOFF it was

void vmx_off(void)
{
    vmx_left = (void *)(park_stack - PAGE_SIZE);
    assert_int_equal(((struct parked *)vmx_left)->stay, PARK_LEFT);
}

int vmx_region_new(const struct vmx_caps *c, struct frames *f, mfn_t *region)
{
    (void)c;
    regions++;
    return frames_alloc(f, ORDER_4K, FRAME_MONITOR, region);
}

// How a processor waits, three times: then the test goes on.
static jmp_buf waited;
static unsigned waits;
static u32 hint;
static const void *monitored;

static void wait(u32 by)
{
    hint = by;
    if (++waits == 3)
        longjmp(waited, 1);
}

void hlt(void)
{
    assert_null(monitored);
    wait(PARKED_HLT);
}

void monitor(const void *line)
{
    monitored = line;
}

void mwait(u32 by)
{
    assert_non_null(monitored);
    monitored = NULL; // what has ended is not armed any more
    wait(by);
}

static struct mca_log found;

void mca_take(struct mca_log *log)
{
    *log = found;
}

void mca_start(struct mca_log *log)
{
    mca_take(log);
}

void paging_identity(bool on)
{
    identity = on;
}

static void arrive(u32 id, u64 page)
{
    static const unsigned wanted[] = {[SECOND_SIPI] = 2, [SECOND_INIT] = 3, [FAULTS] = 0, [STAYS] = 0};
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

// It takes the NMI that it was sent, unless it stays.
static void leave(u32 id)
{
    for (struct parked *one = park.first; one; one = one->next) {
        if (one->apic_id != id)
            continue;
        assert_int_equal(one->stay, PARK_LEAVE);
        one->stay = natures[id] == STAYS ? PARK_LEAVE : PARK_LEFT;
    }
    nmis++;
}

static bool icr_write(u32 msr, u64 value)
{
    if (msr == ICR && (value & 0x700) == 0x400)
        leave((u32)(value >> 32));
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
    told = inits = nmis = regions = 0;
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

// Two sockets of a large server; each keeps two frames, and the start page is given back.
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
    assert_int_equal(frames.count[FRAME_MONITOR], 2 * 1023);
    assert_false(identity);
    unsigned listed = 0;
    for (const struct parked *p = park.first; p; p = p->next) {
        assert_int_equal((u64)p % PAGE_SIZE, 0);
        assert_int_equal(p->apic_id, p->next && p->next->apic_id == OWN_ID - 1 ? OWN_ID + 1 : 1023 - listed);
        listed += p->apic_id == OWN_ID + 1 ? 2 : 1;
    }
    assert_int_equal(listed, 1024);
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
    assert_int_equal(frames.count[FRAME_MONITOR], 2 * 38 + 1);
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

// CPUID of the processor that arrives.
static u32 features_ecx, leaves;
static struct cpuid leaf_5;

static struct cpuid arriving_cpuid(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    switch (leaf) {
    case 0:
        return (struct cpuid){leaves, 0, 0, 0};
    case 1:
        return (struct cpuid){0, 0, features_ecx, 0};
    default:
        assert_int_equal(leaf, 5);
        return leaf_5;
    }
}

// One arrives, as after the SIPI; park_others has made room for it.
static struct parked *arrive_here(void)
{
    struct parked *self = (struct parked *)(park_stack - PAGE_SIZE);
    fake_cpuid = arriving_cpuid;
    park_result = 0;
    waits = 0;
    monitored = NULL;
    if (!setjmp(waited))
        park_enter();
    return self;
}

static void make_room(void)
{
    list(2);
    natures[1] = ABSENT;
    acpi.apic_id[0] = OWN_ID;
    assert_int_equal(park_others(&park), 0);
    assert_int_equal(park.silent, 1);
}

// SDM vol. 2: CPUID leaf 5, MWAIT.
static void how_it_waits(void **state)
{
    (void)state;
    static const struct {
        u32 leaves, ecx, extensions, states, hint;
    } rows[] = {
        {0x16, 0, 3, 0x11142120, PARKED_HLT}, // no MWAIT
        {4, BIT(3), 3, 0x11142120, PARKED_HLT},
        {5, BIT(3), 3, 0x11142120, 0x60},
        {0x16, BIT(3), 3, 0x2020, 0x21},
        {0x16, BIT(3), 3, 0x120, 0x10},
        {0x16, BIT(3), 3, 0xf0000010, 0x6e},
        {0x16, BIT(3), 3, 0x10, 0},
        {0x16, BIT(3), 3, 0xf, 0},        // C0 alone is no wait
        {0x16, BIT(3), 0, 0x11142120, 0}, // not to be relied on
    };
    make_room();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        leaves = rows[i].leaves;
        features_ecx = rows[i].ecx;
        leaf_5 = (struct cpuid){64, 64, rows[i].extensions, rows[i].states};
        struct parked *self = arrive_here();
        assert_int_equal(park_result, DONE);
        assert_int_equal(self->mwait, rows[i].hint);
        assert_int_equal(hint, rows[i].hint);
    }
    no_vmx = true;
    arrive_here();
    no_vmx = false;
    assert_int_equal(park_result, FAILED);
}

// What it finds at its start is not a machine check; what it finds at one is kept, however deep its stack is.
static void machine_check(void **state)
{
    (void)state;
    make_room();
    found = (struct mca_log){.count = 1, .bank = {{.number = 3}}};
    struct parked *self = arrive_here();
    assert_int_equal(self->log.bank[0].number, 3);
    assert_false(park_machine_checked(self));
    found.bank[0].number = 5;
    park_machine_check((const void *)(park_stack - 8));
    assert_true(park_machine_checked(self));
    assert_int_equal(self->log.bank[0].number, 5);
    found.bank[0].number = 6;
    park_machine_check(self + 1);
    assert_int_equal(self->log.bank[0].number, 6);
}

// It says so before an INIT that was blocked can take it away, and never comes back.
static void one_leaves(void **state)
{
    (void)state;
    make_room();
    struct parked *self = arrive_here();
    self->stay = PARK_LEAVE;
    waits = 0;
    if (!setjmp(waited))
        park_leave((const void *)(park_stack - 40));
    assert_ptr_equal(vmx_left, self);
    assert_int_equal(hint, PARKED_HLT);
}

#define WAIT_CYCLES 100000 // 100 ms

static void all_leave(void **state)
{
    (void)state;
    list(1024);
    natures[7] = ABSENT;
    assert_int_equal(park_others(&park), 0);
    u64 start = fake_tsc;
    assert_null(park_release(&park));
    assert_int_equal(nmis, 1022);
    assert_in_range(fake_tsc - start, 0, WAIT_CYCLES / 10);
}

// One that does not answer is waited for, and holds nobody up for longer.
static void one_stays(void **state)
{
    (void)state;
    list(8);
    natures[5] = STAYS;
    assert_int_equal(park_others(&park), 0);
    u64 start = fake_tsc;
    const struct parked *staying = park_release(&park);
    assert_non_null(staying);
    assert_int_equal(staying->apic_id, 5);
    assert_int_equal(nmis, 7);
    assert_in_range(fake_tsc - start, WAIT_CYCLES, WAIT_CYCLES + 1000);
}

static void none_to_leave(void **state)
{
    (void)state;
    assert_int_equal(park_others(&park), 0);
    assert_null(park_release(&park));
    assert_int_equal(nmis, 0);
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
        WITH_CPUS(how_it_waits),
        WITH_CPUS(machine_check),
        WITH_CPUS(one_leaves),
        WITH_CPUS(all_leave),
        WITH_CPUS(one_stays),
        WITH_CPUS(none_to_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
