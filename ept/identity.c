// See identity.h. One page directory of 4M pages (32-bit paging, CR4.PSE) covers the 4 GiB that a guest
// without paging can reach. Accessed and dirty bits are set from the start, so the processor never writes to
// it; the guest may read it and cannot write it.
#include <arch/cpu.h>
#include <arch/panic.h>
#include <arch/phys.h>

#include "identity.h"

#define IDENTITY_ENTRIES 1024u
#define CR4_CHANGED \
    (CR4_PAE | CR4_PSE | CR4_SMEP | CR4_SMAP) // the pages are user pages, for all privilege levels
#define ENTRY_FLAGS 0xe7u                     // present, writable, user, accessed, dirty, 4M

int identity_put(struct p2m *p2m)
{
    mfn_t page;
    int error = frames_alloc(p2m->frames, ORDER_4K, FRAME_GUEST, &page);
    if (error)
        return error;
    u32 *entries = mfn_ptr(page);
    for (u32 i = 0; i < IDENTITY_ENTRIES; i++)
        entries[i] = i << 22 | ENTRY_FLAGS;
    error = p2m_map(p2m, gpa_gfn(IDENTITY_GPA), page, 1, P2M_RAM_RO);
    if (error)
        frames_free(p2m->frames, page, ORDER_4K);
    return error;
}

void identity_take_back(struct p2m *p2m)
{
    mfn_t page = p2m_lookup(p2m, gpa_gfn(IDENTITY_GPA)).mfn;
    assert_that(p2m_clear(p2m, gpa_gfn(IDENTITY_GPA), 1, P2M_HOLE) == 0); // what is a 4K page needs no table
    frames_free(p2m->frames, page, ORDER_4K);
}

u32 identity_exits(u64 cr0)
{
    return cr0 & CR0_PG ? 0 : PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING;
}

void identity_needs(const struct paging_regs *guest, struct mmu_needs *needs)
{
    needs->cr0_owned = CR0_PE | CR0_PG;
    needs->efer_owned = true;
    needs->controls.proc = identity_exits(guest->cr0);
    if (guest->cr0 & CR0_PG)
        return;
    needs->cr4_owned = CR4_CHANGED;
    needs->hw.cr0 |= CR0_PG;
    needs->hw.cr3 = IDENTITY_GPA;
    needs->hw.cr4 = (guest->cr4 & ~CR4_CHANGED) | CR4_PSE;
    needs->hw.efer &= ~(EFER_LME | EFER_LMA);
}
