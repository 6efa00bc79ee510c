// A processor's MMU for 4-level and PAE paging: it walks tables in machine memory through a TLB and
// paging-structure caches that keep every entry, tagged by VPID and PCID, until an event removes it that must
// (SDM vol. 3, 4.10.4.1 and 29.4.3). It knows nothing of the guest or of the monitor. Neighbours:
// model_walk.h judges what is cached as well as what is walked; test_shadow.c runs the shadow engine's tables
// on it, and test_strategies.c those of two engines on two.
#pragma once

#include "model_walk.h"

#define MODEL_ITEMS   32768u
#define MODEL_BUCKETS 16384u
#define MODEL_VPIDS   1024u
#define MODEL_PCIDS   32u // a guest of the tests has no others

// One thing cached.
struct model_item {
    bool page; // in the TLB
    u8 level;  // of the last entry
    u16 vpid, pcid;
    bool global;       // of all PCIDs
    bool without_smep; // made while CR4.SMEP was 0: the processor may know it as good for fetches
    u64 prefix;        // of gva
    u64 time;
    bool removed;
    u32 next;
    unsigned count;
    struct model_entry list[4];
};

// A processor's TLB and paging-structure caches: private to model_cpu.c.
struct model_tlb {
    struct model_item items[MODEL_ITEMS];
    u32 buckets[MODEL_BUCKETS], used;
    u64 now, all_flushed, vpid_flushed[MODEL_VPIDS];
    // All but pages; all but global pages.
    u64 structures_flushed[MODEL_VPIDS][MODEL_PCIDS], others_flushed[MODEL_VPIDS][MODEL_PCIDS];
};

struct model_cpu {
    struct model_tlb *tlb;
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

// INVLPG that does not exit: of the current VPID and PCID.
void cpu_invlpg(struct model_cpu *cpu, u64 gva);

// MOV to CR3 that does not exit: of the PCID that it loads, if bit 63 is 0.
void cpu_mov_cr3(struct model_cpu *cpu, u64 cr3);

// INVPCID that does not exit, by its type: of one address, of a PCID, of all with global translations, of
// all.
enum invpcid_type { INVPCID_ADDRESS, INVPCID_SINGLE, INVPCID_ALL_GLOBAL, INVPCID_ALL, INVPCID_TYPES };
void cpu_invpcid(struct model_cpu *cpu, enum invpcid_type type, u16 pcid, u64 gva);

// INVVPID of all of a VPID, global translations too; of all VPIDs; of an address, of the VPID in use: each of
// all PCIDs.
void cpu_flush_vpid(struct model_cpu *cpu, u16 vpid);
void cpu_flush_all(struct model_cpu *cpu);
void cpu_flush_address(struct model_cpu *cpu, u64 gva);
