// What a processor without a monitor may do: translations that its TLB or its paging-structure caches may
// still hold, because each entry had the value at some time since the architecture last made the processor
// forget it (SDM vol. 3, 4.10.4). The past of each paging-structure entry is kept since the last event that
// forgets all. Neighbours: model_walk.h judges; test_shadow.c tells what happens and asks.
#pragma once

#include "model_walk.h"

enum history_event {
    HISTORY_CR3,             // MOV to CR3 with bit 63 clear,
    HISTORY_CR3_KEEPS,       // and set
    HISTORY_INVLPG,          // `value` is gva
    HISTORY_FAULT,           // a #PF that the guest got: `value` is gva
    HISTORY_INVPCID_ADDRESS, // the same: of one address, which global translations survive,
    HISTORY_INVPCID_SINGLE,  // of one PCID,
    HISTORY_INVPCID_ALL,     // of all, but for global translations
};

// Everything is forgotten: CR4.PGE was changed, or CR4.PCIDE to 0, or the tables are to be taken as they are
// now. `pcid`: in use from now on, 0 with CR4.PCIDE = 0.
void history_start(u64 cr3, u16 pcid);

// Whether there may be no room for another step of the guest's: then history_start has to be called first.
bool history_full(void);

// The entry at gpa (8 bytes, aligned) has had the value `old` until now.
void history_store(u64 gpa, u64 old);

// HISTORY_CR3 or HISTORY_CR3_KEEPS.
void history_cr3(enum history_event event, u64 cr3, u16 pcid);

// Of the PCID in use; INVPCID of `pcid`.
void history_event(enum history_event event, u64 value);
void history_invpcid(enum history_event event, u16 pcid, u64 gva);

// Whether the access that `m` describes may be translated to gpa through something cached, or through entries
// in memory that need no accessed or dirty bit set. Overwrites m's list.
bool history_allows(struct model *m, u64 gpa);

// Whether it may fault with this error code, which has no P, through table entries that are cached.
bool history_allows_absent(struct model *m, u32 error_code);
