// The machine of test_shadow: the guest's memory, which guest_places.h keeps, and what it must hold. Knows
// nothing of the engine; tells model_history.h of each store. Neighbours: shadow_tables.h makes the guest's
// tables in it, shadow_attempt.h runs accesses.
#pragma once

#include "guest_places.h"

extern struct frames machine_frames;
extern struct guest_places machine_places;

void machine_make(unsigned largest);
void machine_gone(void);

// The guest's memory at gpa, NULL: none there.
u8 *guest_memory(u64 gpa, enum p2m_type *type);

// What the processor may walk: the monitor's frames only.
u8 *machine_table(u64 hpa, enum p2m_type *type);

// The machine address that gpa is to lead to, ~0: none; and back, ~0: not the guest's.
u64 gpa_hpa(u64 gpa);
u64 hpa_gpa(u64 hpa);

// What must be in the 8 bytes at gpa, a RAM page of the guest or not.
u64 expected_entry(u64 gpa);

// Sets an entry before the guest runs: in read-only memory too.
void memory_init(u64 gpa, u64 value);

// A store of the guest's within one page, as the machine would do it.
void memory_store(u64 gpa, const void *data, unsigned bytes);

// The entry at gpa is to get these bits from whoever walks the guest's tables.
void memory_mark(u64 gpa, u64 value);

// The guest's memory is what it must be: 8 bytes, or all.
void memory_check(u64 gpa);
void memory_check_all(void);

// places_change and places_restore of machine_places.
void place_change(u64 g, enum place_change change);
void place_restore(u64 g);
