// Where a random guest's memory is: each page by its type and its place among the machine frames that the
// guest has, and the p2m that says so. Places can change under the guest. Knows nothing of engines.
// Neighbours: shadow_machine.h has one guest's, pair_machine.h the same guest's twice.
#pragma once

#include <arch/frames.h>
#include <hv/p2m.h>

#define MACHINE      (64 * MIB)
#define GUEST_FRAMES 0xa00u
#define BACKED       0x1000u // its machine frames: more than the guest has, so that pages can move
#define LINEAR       0x200u  // 2M that the p2m maps in one piece
#define MIXED        0x400u  // 2M with holes, a device and read-only frames
#define BIG          0x600u  // 4M in one piece each, with no tables
#define READ_ONLY    0x411u  // a frame with tables
#define APIC         0xfee00u

struct guest_places {
    struct p2m p2m;
    u64 first, device; // mfn: of its frames, and of the page at APIC
    unsigned stride;   // of pages at their homes
    struct {
        u64 mfn; // counted from `first`
        enum p2m_type type;
    } place[GUEST_FRAMES];
    u32 owner_of[BACKED]; // gfn + 1, 0: free
};

// Of a machine of MACHINE bytes, whose p2m has pieces as large as `largest`. Each `number` has frames of its
// own, and pages lie about in them in their own way.
void places_make(struct guest_places *p, struct frames *frames, unsigned number, unsigned largest);

// The guest's memory at gpa, NULL: none there.
u8 *places_memory(const struct guest_places *p, u64 gpa, enum p2m_type *type);

// The machine address that gpa is to lead to, ~0: none; and back, ~0: not the guest's.
u64 places_hpa(const struct guest_places *p, u64 gpa);
u64 places_gpa(const struct guest_places *p, u64 hpa);

// A page moves to another machine frame, becomes read-only, goes away, keeping its contents,
// or is P2M_RAM again. The p2m tells whoever `changing` says.
enum place_change { PLACE_MOVE, PLACE_READ_ONLY, PLACE_HOLE, PLACE_DEVICE, PLACE_BACK, PLACE_CHANGES };
void places_change(struct guest_places *p, u64 g, enum place_change change);

// As it was at first, if nothing else has taken its machine frame: so pages grow together again.
void places_restore(struct guest_places *p, u64 g);
