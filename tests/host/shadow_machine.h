// The machine of test_shadow: the guest's memory by places of machine frames, the p2m that says so, and what
// the guest's memory must hold. Places can change under the guest. Knows nothing of the engine; tells
// model_history.h of each store. Neighbours: shadow_tables.h makes the guest's tables in it, shadow_attempt.h
// runs accesses.
#pragma once

#include <arch/frames.h>
#include <hv/p2m.h>

#define MACHINE      (64 * MIB)
#define GUEST_FRAMES 0xa00u
#define LINEAR       0x200u // 2M that the p2m maps in one piece
#define MIXED        0x400u // 2M with holes, a device and read-only frames
#define BIG          0x600u // 4M in one piece each, with no tables
#define READ_ONLY    0x411u // a frame with tables
#define APIC         0xfee00u

extern struct frames machine_frames;
extern struct p2m machine_p2m;

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

// A page moves to another machine frame, becomes read-only, goes away, keeping its contents,
// or is P2M_RAM again. The p2m tells whoever `changing` says.
enum place_change { PLACE_MOVE, PLACE_READ_ONLY, PLACE_HOLE, PLACE_DEVICE, PLACE_BACK, PLACE_CHANGES };
void place_change(u64 g, enum place_change change);

// As it was at first, if nothing else has taken its machine frame: so pages grow together again.
void place_restore(u64 g);
