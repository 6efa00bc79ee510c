// A guest without paging on a processor without "unrestricted guest": VMX keeps CR0.PG on, so the guest runs
// on a page table of ours that maps each address to itself.
#pragma once

#include <hv/mmu.h>

#define IDENTITY_GPA 0xfeffc000u // between the device pages

// Puts the table into the guest's physical space, at an address that no guest memory has. Errors as p2m_map.
int identity_put(struct p2m *p2m) must_check;

// Takes it out again.
void identity_take_back(struct p2m *p2m);

// Which primary processor-based controls a guest with this CR0 takes beyond the common ones.
u32 identity_exits(u64 cr0);

// Changes what the VMCS is to hold so that CR0.PG stays on.
void identity_needs(const struct paging_regs *guest, struct mmu_needs *needs);
