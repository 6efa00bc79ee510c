// The monitored machine of test_shadow: the shadow engine, the model processor that walks its tables, and the
// guest's registers. Each instruction of the guest is run on it, with the exits that it needs, and judged:
// its result must be one that a processor without a monitor could give (model_walk.h for the present tables,
// model_history.h for what may still be cached). Plays the part of shadow/shadow.c and hv/. Neighbours:
// shadow_machine.h is memory, shadow_steps.h says what the guest does.
#pragma once

#include <shadow/engine.h>

#include "model_cpu.h"

extern struct shadow engine;
extern struct shadow_view view;
extern struct walk_context *const guest; // its walk: cpl and rflags may be set between instructions

extern struct happened {
    u64 accesses, stores, hidden, true_faults, direct, emulated, traced, released, stale, stale_faults,
        native_invlpg, native_invpcid, kept_unseen, untold, unpaged, p2m_changes, wp_clear, kept;
} happened;

// Starts the engine, and the guest at its first root, whose tables have been made.
void guest_start(const struct shadow_config *config, bool has_1g_pages);

// The guest's mode changes: it does without the engine what `meanwhile` does, and the engine goes on by
// `config`, which has the pool and the physical bits that it started with. The processor has forgotten all.
void guest_switch(const struct shadow_config *config, void (*meanwhile)(void));

// One instruction that accesses gva. A write stores `bytes` of `data`, within one page. True: it has been
// carried out. False: the guest got a #PF.
bool guest_access(u64 gva, struct walk_access access, const void *data, unsigned bytes);

// Instructions: INVLPG; INVPCID; MOV to CR3, with bit 63 only while the guest has CR4.PCIDE; whatever else
// changes the paging registers to `after`.
void guest_invlpg(u64 gva);
void guest_invpcid(enum invpcid_type type, u16 pcid, u64 gva);
void guest_cr3(u64 cr3);
void guest_paging(const struct paging_regs *after);

// A store on behalf of the guest, by the monitor.
void guest_store(u64 gpa, const void *data, unsigned bytes);

// The p2m is changed by `change(argument)`.
void guest_p2m(void (*change)(u64 argument), u64 argument);

// The model of one access through the guest's tables.
struct model guest_model(u64 gva, struct walk_access access);

// The engine's own audit.
void guest_audit(void);
