// See arch/park.h. This is the first processor's side, and the little that the others do in C; the way from
// real mode, and the loop in which it ends, are in boot.asm.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/park.h>
#include <arch/phys.h>
#include <arch/processor.h>
#include <arch/traps.h>

#include "paging.h"

// Local APIC: SDM vol. 3, 11.4.6, 11.6.1, 11.12.9.
#define APIC_ID       0x20
#define APIC_ICR      0x300
#define APIC_ICR_HIGH 0x310
#define X2APIC_MSR(r) (IA32_X2APIC_FIRST + (r) / 16)
#define ICR_INIT      0x4500u // assert
#define ICR_SIPI      0x4600u
#define ICR_PENDING   BIT(12)
#define PENDING_READS 100000u

#define LAST_START_PAGE 0x9e // below 640K, above which is no RAM
#define INIT_US         10000
#define SIPI_US         200
#define ARRIVE_US       100000

enum { PARK_PENDING, PARK_DONE, PARK_FAILED };

extern const u8 park_code[], park_code_end[], park_halt[];
extern volatile u32 park_result;
u32 park_enter(void);

// What the processor that is being started must know; it has no other way to be told.
volatile u32 park_result;
static struct {
    const struct vmx_caps *caps;
    mfn_t region;
} arriving;

// On the processor to be parked, from boot.asm. If it faults it halts, and no result comes.
u32 park_enter(void)
{
    traps_init_parked(park_halt);
    return processor_start() || vmx_join(arriving.caps, arriving.region) ? PARK_FAILED : PARK_DONE;
}

static bool x2apic(void)
{
    return rdmsr(IA32_APIC_BASE) & APIC_BASE_X2APIC;
}

static volatile u32 *apic_register(u32 offset)
{
    return phys_ptr(APIC_BASE_RESET + offset);
}

static u32 own_id(void)
{
    return x2apic() ? (u32)rdmsr(X2APIC_MSR(APIC_ID)) : *apic_register(APIC_ID) >> 24;
}

static void ipi_send(u32 id, u32 command)
{
    asm volatile("mfence; lfence" : : : "memory"); // a WRMSR to the ICR does not wait for stores (11.12.3)
    if (x2apic()) {
        wrmsr(X2APIC_MSR(APIC_ICR), (u64)id << 32 | command);
        return;
    }
    *apic_register(APIC_ICR_HIGH) = id << 24;
    *apic_register(APIC_ICR) = command;
    for (unsigned i = 0; i < PENDING_READS && *apic_register(APIC_ICR) & ICR_PENDING; i++)
        pause();
}

// Waits until there is a result, at most so long.
static u32 result_await(u64 tsc_hz, u64 microseconds)
{
    u64 start = rdtsc(), cycles = tsc_hz / 1000000 * microseconds;
    while (park_result == PARK_PENDING && rdtsc() - start < cycles)
        pause();
    return park_result;
}

// Each but this one, once: firmware may list one as local APIC and as local x2APIC.
static unsigned others_list(const struct acpi *acpi, u32 *ids)
{
    unsigned count = 0;
    u32 own = own_id();
    for (unsigned i = 0; i < acpi->cpus; i++) {
        bool known = acpi->apic_id[i] == own;
        for (unsigned j = 0; j < count; j++)
            known |= ids[j] == acpi->apic_id[i];
        if (!known)
            ids[count++] = acpi->apic_id[i];
    }
    return count;
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

// SDM vol. 3, 10.4.4.1: a second SIPI if the first one does nothing.
static int park_one(u32 id, mfn_t page, u64 tsc_hz)
{
    park_result = PARK_PENDING;
    for (unsigned i = 0; i < 2 && park_result == PARK_PENDING; i++) {
        ipi_send(id, ICR_SIPI | (u32)page.n);
        result_await(tsc_hz, SIPI_US);
    }
    return result_await(tsc_hz, ARRIVE_US) == PARK_DONE ? 0 : ERR_INVALID;
}

// Index of the first processor that could not be parked, or `count`.
static unsigned park_each(const u32 *ids, unsigned count, struct frames *frames, mfn_t page, u64 tsc_hz)
{
    u32 last_id = x2apic() ? 0xfffffffe : 0xfe; // the next one means all processors
    for (unsigned i = 0; i < count; i++) {
        if (ids[i] > last_id)
            return i;
        ipi_send(ids[i], ICR_INIT);
    }
    park_result = PARK_PENDING;
    result_await(tsc_hz, INIT_US);
    for (unsigned i = 0; i < count; i++) {
        if (vmx_region_new(arriving.caps, frames, &arriving.region) || park_one(ids[i], page, tsc_hz))
            return i;
    }
    return count;
}

int park_others(const struct acpi *acpi, const struct vmx_caps *caps, struct frames *frames, u64 tsc_hz,
                char *message, size_t size)
{
    u32 ids[ACPI_MAX_CPUS];
    mfn_t page;
    unsigned count = others_list(acpi, ids);
    if (!count)
        return 0;
    if (acpi->cpus == ACPI_MAX_CPUS || start_page_make(frames, &page)) {
        fmt(message, size,
            "The other processors cannot be started and parked, for they are %u or more or no memory below 640K is free: limit the machine to one processor in the firmware set-up.",
            ACPI_MAX_CPUS);
        return ERR_NOMEM;
    }
    arriving.caps = caps;
    paging_identity(true);
    unsigned parked = park_each(ids, count, frames, page, tsc_hz);
    if (parked < count) { // it may still come: the way stays open, or it would reset the machine
        fmt(message, size,
            "The processor with local APIC ID %u does not start or does not enter VMX operation, so that the guest could take it: limit the machine to one processor in the firmware set-up.",
            ids[parked]);
        return ERR_INVALID;
    }
    paging_identity(false);
    frames_free(frames, page, ORDER_4K);
    return (int)count;
}
