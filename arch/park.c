// See arch/park.h. This is the first processor's side, and the little that the others do in C; the way from
// real mode is in boot.asm.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/local_apic.h>
#include <arch/mca.h>
#include <arch/park.h>
#include <arch/phys.h>
#include <arch/processor.h>
#include <arch/traps.h>

#include "paging.h"

// Local APIC: SDM vol. 3, 11.4.6, 11.6.1, 11.12.9.
#define APIC_ICR      0x300
#define APIC_ICR_HIGH 0x310
#define ICR_NMI       0x4400u // assert
#define ICR_INIT      0x4500u
#define ICR_SIPI      0x4600u
#define ICR_PENDING   BIT(12)
#define PENDING_READS 100000u

#define CPUID_1_ECX_MONITOR BIT(3)
#define LEAF_MWAIT          5
#define MWAIT_HINTS         BIT(0)

#define LAST_START_PAGE 0x9e // below 640K, above which is no RAM
#define INIT_US         10000
#define SIPI_US         200
#define ARRIVE_US       100000
#define LEAVE_US        100000

enum { PARK_PENDING, PARK_DONE, PARK_FAILED };

extern const u8 park_code[], park_code_end[];
extern volatile u32 park_result;
extern u64 park_stack;

// What the processor that is being started must know; it has no other way to be told.
volatile u32 park_result;
u64 park_stack; // its first value of RSP
static struct {
    const struct vmx_caps *caps;
    mfn_t region;
    struct parked *self;
} arriving;

// SDM vol. 2, MWAIT and CPUID leaf 5: EDX has the number of sub-states of C0 to C7, four bits each, and a
// hint is the state less one and the sub-state. A hint that a processor does not know is a state less deep.
// Without ECX bit 0 there are no hints.
static u32 mwait_hint(void)
{
    if (!(cpuid(1, 0).ecx & CPUID_1_ECX_MONITOR) || cpuid(0, 0).eax < LEAF_MWAIT)
        return PARKED_HLT;
    struct cpuid leaf = cpuid(LEAF_MWAIT, 0);
    for (u32 state = 7; state && leaf.ecx & MWAIT_HINTS; state--) {
        u32 deepest = leaf.edx >> 4 * state & 15;
        if (deepest)
            return (state - 1) << 4 | (deepest - 1);
    }
    return 0;
}

// Nobody writes what is monitored: what ends the wait is an NMI, an SMI, a machine check.
static void wait_once(const struct parked *self)
{
    if (self->mwait == PARKED_HLT) {
        hlt();
    } else {
        monitor(self);
        mwait(self->mwait);
    }
}

// On the processor to be parked, from boot.asm. If it faults it dumps and halts, and no result comes.
_Noreturn void park_enter(void);
_Noreturn void park_enter(void)
{
    struct parked *self = arriving.self;
    traps_init_parked();
    bool failed = processor_start() || vmx_join(arriving.caps, arriving.region);
    mca_start(&self->log);
    self->mwait = mwait_hint();
    __atomic_store_n(&park_result, failed ? PARK_FAILED : PARK_DONE, __ATOMIC_RELEASE);
    for (;;)
        wait_once(self);
}

// `stack`: any address in a parked processor's own stack.
static struct parked *self_of(const void *stack)
{
    return (struct parked *)align_down((u64)stack, PAGE_SIZE);
}

// From its NMI handler. It answers first: an INIT of a guest's that was blocked until now has it wait for a
// SIPI.
_Noreturn void park_leave(const void *stack);
_Noreturn void park_leave(const void *stack)
{
    __atomic_store_n(&self_of(stack)->stay, PARK_LEFT, __ATOMIC_RELEASE);
    vmx_off();
    for (;;)
        hlt();
}

// A machine check goes to all processors (SDM vol. 3, 16.10.4.1).
void park_machine_check(const void *stack);
void park_machine_check(const void *stack)
{
    struct parked *self = self_of(stack);
    mca_take(&self->log);
    __atomic_store_n(&self->machine_checks, self->machine_checks + 1, __ATOMIC_RELEASE);
}

bool park_machine_checked(const struct parked *p)
{
    return __atomic_load_n(&p->machine_checks, __ATOMIC_ACQUIRE);
}

static void ipi_send(u32 id, u32 command)
{
    asm volatile("mfence; lfence" : : : "memory"); // a WRMSR to the ICR does not wait for stores (11.12.3)
    if (local_apic_is_x2apic()) {
        wrmsr(X2APIC_MSR(APIC_ICR), (u64)id << 32 | command);
        return;
    }
    *local_apic_page(APIC_ICR_HIGH) = id << 24;
    *local_apic_page(APIC_ICR) = command;
    for (unsigned i = 0; i < PENDING_READS && *local_apic_page(APIC_ICR) & ICR_PENDING; i++)
        pause();
}

static u64 cycles_of(u64 tsc_hz, u64 microseconds)
{
    return tsc_hz / 1000000 * microseconds;
}

// Waits until there is a result, at most so long.
static u32 result_await(u64 tsc_hz, u64 microseconds)
{
    u64 start = rdtsc(), cycles = cycles_of(tsc_hz, microseconds);
    while (park_result == PARK_PENDING && rdtsc() - start < cycles)
        pause();
    return park_result;
}

static int start_page_make(struct frames *frames, mfn_t *page)
{
    u64 n = LAST_START_PAGE;
    while (n && frames_alloc_at(frames, mfn(n), ORDER_4K, FRAME_MONITOR))
        n--;
    if (!n)
        return ERR_NOMEM;
    *page = mfn(n);
    memcpy(mfn_ptr(*page), park_code, (size_t)(park_code_end - park_code));
    ((u32 *)mfn_ptr(*page))[PAGE_SIZE / 4 - 1] = (u32)read_cr3();
    return 0;
}

static volatile u32 *seen_word(mfn_t page)
{
    return (volatile u32 *)mfn_ptr(page) + PAGE_SIZE / 4 - 2;
}

// SDM vol. 3, 10.4.4.1: a second SIPI if the first one does nothing.
static u32 start_one(u32 id, mfn_t page, u64 tsc_hz)
{
    park_result = PARK_PENDING;
    for (unsigned i = 0; i < 2 && park_result == PARK_PENDING; i++) {
        ipi_send(id, ICR_SIPI | (u32)page.n);
        result_await(tsc_hz, SIPI_US);
    }
    return result_await(tsc_hz, ARRIVE_US);
}

// As start_one, with another INIT if it does not run an instruction.
static u32 park_one(u32 id, mfn_t page, u64 tsc_hz)
{
    *seen_word(page) = 0;
    u32 result = start_one(id, page, tsc_hz);
    if (result != PARK_PENDING || *seen_word(page))
        return result;
    ipi_send(id, ICR_INIT);
    result_await(tsc_hz, INIT_US);
    return start_one(id, page, tsc_hz);
}

static printf_like(3) int refuse(struct park *p, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fmtv(p->message, sizeof(p->message), format, args);
    va_end(args);
    return error;
}

static int self_new(struct frames *frames)
{
    mfn_t page;
    int error = frames_alloc(frames, ORDER_4K, FRAME_MONITOR, &page);
    if (error)
        return error;
    arriving.self = mfn_ptr(page);
    memset(arriving.self, 0, PAGE_SIZE);
    park_stack = (u64)arriving.self + PAGE_SIZE;
    return 0;
}

// For the next one to arrive: what none has taken is used again.
static int arrival_make(struct park *p, u32 id)
{
    if ((!arriving.region.n && vmx_region_new(p->caps, p->frames, &arriving.region)) ||
        (!arriving.self && self_new(p->frames)))
        return refuse(
            p, ERR_NOMEM,
            "There is no memory to park the processor with local APIC ID %u: give the machine more memory.",
            id);
    return 0;
}

static void park_count(struct park *p, u32 id)
{
    struct parked *self = arriving.self;
    self->apic_id = id;
    self->next = p->first;
    p->first = self;
    p->parked++;
    arriving.self = NULL;
    arriving.region = mfn(0);
}

static int park_listed(struct park *p, u32 id, mfn_t page)
{
    int error = arrival_make(p, id);
    if (error)
        return error;
    u32 result = park_one(id, page, p->tsc_hz);
    if (result == PARK_DONE) {
        park_count(p, id);
        return 0;
    }
    bool there = result == PARK_FAILED || *seen_word(page);
    if (there) // it may still come: the way stays open, or it would reset the machine
        return refuse(
            p, ERR_INVALID,
            "The processor with local APIC ID %u does not enter VMX operation, so that the guest could take it: limit the machine to one processor in the firmware set-up.",
            id);
    if (!p->silent++)
        p->silent_id = id;
    return 0;
}

static int park_each(struct park *p, mfn_t page)
{
    u32 own = local_apic_id();
    u64 told = rdtsc();
    for (unsigned i = 0; i < p->acpi->cpus; i++) {
        if (rdtsc() - told > p->tsc_hz) {
            p->progress(i, p->acpi->cpus);
            told = rdtsc();
        }
        int error = p->acpi->apic_id[i] == own ? 0 : park_listed(p, p->acpi->apic_id[i], page);
        if (error)
            return error;
    }
    return 0;
}

// The number of others, all of them reset; or an error.
static int reset_others(struct park *p)
{
    int count = 0;
    u32 own = local_apic_id(),
        last_id = local_apic_is_x2apic() ? 0xfffffffe : 0xfe; // the next one means all processors
    for (unsigned i = 0; i < p->acpi->cpus; i++) {
        u32 id = p->acpi->apic_id[i];
        if (id == own)
            continue;
        if (id > last_id)
            return refuse(
                p, ERR_INVALID,
                "The processor with local APIC ID %u can only be reached in x2APIC mode, which the firmware has not switched on: enable x2APIC in the firmware set-up.",
                id);
        count++;
    }
    for (unsigned i = 0; i < p->acpi->cpus; i++) {
        if (p->acpi->apic_id[i] != own)
            ipi_send(p->acpi->apic_id[i], ICR_INIT);
    }
    return count;
}

int park_others(struct park *p)
{
    mfn_t page;
    p->first = NULL;
    p->parked = p->silent = 0;
    if (p->acpi->cpus == ACPI_MAX_CPUS)
        return refuse(
            p, ERR_NOMEM,
            "The firmware lists %u processors or more, which are too many to park: limit the machine to one processor in the firmware set-up.",
            ACPI_MAX_CPUS);
    int count = reset_others(p);
    if (count <= 0)
        return count;
    if (start_page_make(p->frames, &page))
        return refuse(
            p, ERR_NOMEM,
            "The %u other processors cannot be started and parked, for no memory below 640K is free: limit the machine to one processor in the firmware set-up.",
            (unsigned)count);
    arriving.caps = p->caps;
    arriving.region = mfn(0);
    arriving.self = NULL;
    paging_identity(true);
    park_result = PARK_PENDING;
    result_await(p->tsc_hz, INIT_US);
    int error = park_each(p, page);
    if (!error && p->silent) // for one that comes after all
        error = arrival_make(p, p->silent_id);
    if (error || p->silent)
        return error;
    paging_identity(false);
    frames_free(p->frames, page, ORDER_4K);
    return 0;
}

static const struct parked *find_staying(const struct park *p)
{
    for (const struct parked *one = p->first; one; one = one->next) {
        if (__atomic_load_n(&one->stay, __ATOMIC_ACQUIRE) != PARK_LEFT)
            return one;
    }
    return NULL;
}

const struct parked *park_release(const struct park *p)
{
    const struct parked *staying;
    for (struct parked *one = p->first; one; one = one->next) {
        __atomic_store_n(&one->stay, PARK_LEAVE, __ATOMIC_RELEASE);
        ipi_send(one->apic_id, ICR_NMI);
    }
    u64 start = rdtsc(), cycles = cycles_of(p->tsc_hz, LEAVE_US);
    while ((staying = find_staying(p)) && rdtsc() - start < cycles)
        pause();
    return staying;
}
