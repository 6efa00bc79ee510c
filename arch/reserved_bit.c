// Tries whether a reserved bit of page-table entries faults, in a part of the address space of its own. See
// reserved_bit.h.
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/reserved_bit.h>
#include <arch/traps.h>

#include "page_table.h"

#define PAGE      (0xffff000000000000ull | (u64)PROBE_SLOT << 39 | PAGE_SIZE)
#define PFEC_RSVD BIT(3)
#define TOUCHES   2 // KVM remembers what it took for a device: its first answer may be another one

// The tables of levels 3, 2 and 1 at once: entry 0 leads to itself, entry 1 is tried.
static u64 probe[ENTRIES] __attribute__((aligned(4096)));

static void slot_set(u64 entry)
{
    boot_pml4[PROBE_SLOT] = entry;
    write_cr3(read_cr3());
}

static bool reads_fault(void)
{
    u32 error_code = 0;
    return !trap_try_read((const volatile u8 *)PAGE, &error_code) && error_code & PFEC_RSVD;
}

static bool writes_fault(void)
{
    u32 error_code = 0;
    return !trap_try_write((volatile u8 *)PAGE, &error_code) && error_code & PFEC_RSVD;
}

// The entry gives no write access, so nothing is written whatever it leads to.
bool reserved_bit_faults(unsigned bit)
{
    u64 table = image_table(probe);
    bool faults = true;
    probe[0] = table;
    probe[1] = PTE_PRESENT | BIT(bit);
    slot_set(table);
    for (unsigned touch = 0; touch < TOUCHES; touch++) {
        faults = reads_fault() && faults;
        faults = writes_fault() && faults;
    }
    slot_set(0);
    return faults;
}
