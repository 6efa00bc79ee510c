// A processor's MMU for 4-level and PAE paging: it walks tables in machine memory through a TLB and
// paging-structure caches that keep every entry, tagged by VPID, until an event removes it that must (SDM
// vol. 3, 4.10.4.1 and 29.4.3). It knows nothing of the guest or of the monitor. Neighbours: model_walk.h
// judges what is cached as well as what is walked; test_shadow.c runs the shadow engine's tables on it.
#pragma once

#include "model_walk.h"

struct model_cpu {
    u64 cr3;
    u16 vpid;
    struct walk_context context;                 // regs, cpl, rflags, pkru and MAXPHYADDR of the processor
    u8 *(*memory)(u64 hpa, enum p2m_type *type); // a table entry at a machine address
    u64 hits, walks, faults;
};

// Nothing cached.
void cpu_reset(struct model_cpu *cpu);

// VM entry: with PAE paging the PDPTEs are loaded from memory into registers (27.3.2.4). One with a reserved
// bit, or a CR3 that cannot be, is a VM entry that fails.
void cpu_enter(struct model_cpu *cpu);

// One access. 0: out->gpa is the machine address. ERR_INVALID: a #PF with out->error_code, which has removed
// what was cached for gva. Sets accessed and dirty bits in the tables.
int cpu_access(struct model_cpu *cpu, u64 gva, struct walk_access access, struct walk *out) must_check;

// INVLPG, or INVVPID of one address of the current VPID.
void cpu_invlpg(struct model_cpu *cpu, u64 gva);

// MOV to CR3 that does not exit, with CR4.PCIDE = 0.
void cpu_mov_cr3(struct model_cpu *cpu, u64 cr3);

// INVVPID of all of a VPID, global translations too; and of all VPIDs.
void cpu_flush_vpid(struct model_cpu *cpu, u16 vpid);
void cpu_flush_all(struct model_cpu *cpu);
