// What the monitor does between a random guest and its model processor, at an entry and at an exit: the part
// of hv/ and shadow/shadow.c that test_shadow and test_strategies have in common. Neighbours:
// shadow_attempt.c and pair_monitor.c run instructions.
#pragma once

#include <shadow/engine.h>

#include "model_cpu.h"

// VM entry: what the processor's registers are while the guest's are these. CR0.WP is always set. NXE makes
// the error code tell fetches from reads. A guest without paging has PAE paging, and its pages are
// everybody's.
void guest_entry(struct model_cpu *cpu, const struct walk_context *guest);

// The processor as the engine knows it. `now` is given it, and returns the cycles that the guest has run.
struct shadow_hw guest_hardware(struct model_cpu *cpu, u64 (*now)(void *cpu));

// Whether a #PF with the processor's error code does not exit.
bool fault_is_direct(const struct shadow *engine, const struct walk_context *guest, u32 error_code);

// Whether a MOV to CR3 of this value does not exit.
bool cr3_is_target(const struct shadow_view *view, u64 cr3);
