// The shadow engine: tables that the processor walks in place of the guest's, each entry the guest's own
// entry taken through the p2m. Pure: it compiles on the host; what it asks of the processor goes through
// struct shadow_hw. Its state is two objects: struct shadow, the tables, which the processors of a virtual
// machine share; and struct shadow_view, what one processor uses of them. There is one view now.
//
// One shadow table stands for one guest table at one level, keyed by (mfn of the guest's table, level, role);
// it is shared by all address spaces that share the guest's table. Each shadow entry carries the rights of
// the guest's entry at that level, so that the processor combines them as it would the guest's own. An entry
// is one of
// * exact: what the guest's entry says, taken through the p2m; accessed in the guest, dirty if writable here;
// * exact none, 0: the guest's entry is not present, and the table is traced, so it cannot become present
//   unseen;
// * unknown: faults to the monitor; not looked at yet, or not representable (device, hole).
// Shadow tables are a cache: any of them, or all, may be forgotten at any moment.
#pragma once

#include <hv/mmu.h>
#include <hv/p2m.h>
#include <hv/walk.h>

// A strategy is a set of choices.
struct shadow_strategy {
    const char *name;
    bool cache; // tables outlive root loads: needs trace
    bool trace; // guest tables are write-protected, so shadow entries stay exact
    bool sync;  // leaf tables that are written in bursts may go out of sync
    bool eager; // the whole tree is built when a root is loaded
};

extern const struct shadow_strategy shadow_strategies[SHADOW_STRATEGIES];

struct shadow_config {
    struct shadow_strategy strategy;
    bool directpf;   // unknown entries are marked by a reserved bit, so that they can be told from exact none
    bool root_vpids; // a VPID for each cached root
    bool large;      // pages of 2M where the guest, the p2m and tracing allow it
    unsigned prefetch;      // neighbours that a hidden fault fills too
    u32 pool;               // shadow tables at most: at least SHADOW_POOL_MIN
    u64 ram;                // bytes of it that the guest will have: chunks for them are taken at once
    unsigned physical_bits; // MAXPHYADDR of the machine
    unsigned targets;      // roots that are loaded without an exit: SHADOW_TARGETS at most, 0 without tracing
    u32 empty_exit_cycles; // of hw.now, what each exit and the entry after it take
};

#define SHADOW_POOL_MIN 64u

// Whether a processor of so many bits of physical address has a reserved bit that can mark unknown entries.
static inline bool shadow_can_mark(unsigned physical_bits)
{
    return physical_bits <= MMU_MARK_BIT;
}

// What the engine asks of a view's processor. Called at once; the caller may collect.
struct shadow_hw {
    void (*flush_vpid)(void *context, u16 vpid);   // all translations of this VPID, the global ones too
    void (*flush_all)(void *context);              // of all VPIDs
    void (*flush_address)(void *context, u64 gva); // of the VPID in use, one page, if it is global too
    u64 (*now)(void *context); // cycles that the guest has run: what is written in a burst
    void *context;
};

// A claimed machine frame, where a shadow root lies in place (place.c).
struct shadow_place {
    u64 frame; // mfn, 0: none; without a table it is all unknown
    u64 cr3;   // as the guest loads it: with CR4.PCIDE the PCID and bit 63 are in it
    u64 used;  // when it was, by place_clock
    u32 table; // SHADOW_NONE: kept for a later root
};

#define SHADOW_PLACES   64u // claimed frames at most
#define SHADOW_HINTS    256u
#define SHADOW_REFUSALS 64u // root loads whose place is refused, before it is said
#define SHADOW_TARGETS  4u
#define SHADOW_KEPT     16u // rows of PCIDs

#define SHADOW_STALE 4u // translations that are flushed one by one

#define SHADOW_NONE 0xffffffffu // no table, no entry

struct shadow_table {
    u64 *entries;     // 512, walked by the processor
    const u64 *guest; // the guest's table; NULL: a splinter, a piece of a large page of the guest's
    u64 frame;        // mfn of the guest's table; of a splinter: splinter_frame
    u64 occupied;     // bit n: entries 8n to 8n + 7 may be other than unknown
    u64 maps;         // the same: some of them may map
    u32 hash_next;
    u32 older, newer; // by age, which use renews: `again`
    u32 parents;      // chain of the entries that point here
    u32 roots;        // views whose root it is
    u32 next_lost;    // list of the tables out of sync
    u32 mapped;       // entries that map
    u32 home;         // the last parent that it had
    u32 moved;        // s->flushes when that went
    u32 strayed;      // s->flushes when parents at more than one place of the tree were last known
    u64 epoch;        // of a root: s->epoch when its VPID was flushed last
    u64 written;      // time of the last write that was seen
    u16 vpid;         // of a root, 0: none
    u8 level;         // 1..4
    u8 burst;         // entries written that followed closely one upon the other
    u16 slot;         // of the entry that was written last
    u64 before;       // the guest's entry that was there
    u8 place;         // of a root in place: its index in `places` and 1; 0: `entries` is in the pool
    u8 role;          // 0, or for a guest with CR0.WP = 0: see ROLE_WP_CLEAR
    bool used, splinter;
    bool again;       // looked up since it was made, or made newest again
    bool out_of_sync; // the guest may write its table unseen: entries may be stale until the next flush
    bool apart;       // the same, but nothing leads to it: it has left the tree until a fault needs it
    bool spread;      // since it had none, it has had parents at more than one place of the tree
    bool fills;       // when it was last out of sync for an entry that came, several had come
    bool protects;    // the same for one that was changed; true before
    bool splinters;   // there may be some below, or it is one
    bool torn;        // of a root: all that it had for users was dropped by teardown_begins
    bool marks;       // the guest's table takes accessed and dirty bits: it lies in P2M_RAM
} __attribute__((aligned(64))); // two lines, and a shift finds it

// Every entry that maps is in one chain: of the entries that point to the same table, of the leaves that map
// the same frame, or of the large leaves of the same 2M of machine memory. So the links need no allocation:
// they are an array by entry (table << 9 | slot).
struct shadow_link {
    u32 next, previous;
};

// A frame of the guest's RAM: who maps it, and which tables stand for it.
struct shadow_frame {
    u32 leaves; // chain
    union {
        u32 table;    // the one that is traced, if just one is
        u32 loosened; // if none is: s->flushes when a leaf that gave write access went
    };
    u32 traced; // bit traced_bit(level, role): such a table stands for it and is not out of sync
};

// 512 of them, aligned.
struct shadow_region {
    u32 leaves;   // chain of the large ones
    u32 traced;   // frames that are traced
    u32 loosened; // as of a frame, of the large ones
};

#define SHADOW_CHUNK BIT(17) // frames

// What is known of the guest's frames in so much machine memory: 512 MiB. Where the guest has nothing, there
// is none, so that the tables grow with the guest's memory and not with the machine's.
struct shadow_chunk {
    struct shadow_frame frames[SHADOW_CHUNK];
    struct shadow_region regions[SHADOW_CHUNK / 512];
    struct shadow_chunk *next; // of those to spare
};

// The counters, a member for each row. Gauges that other members tell are filled in only by shadow_stats_now,
// what the engine does not see by shadow.c.
struct shadow_stats {
#define COUNTER_MMU(name, ...)    u64 name;
#define COUNTER_SHADOW(name, ...) u64 name;
#include <hv/counters.def>
};

// The tables, and all that is known of them whoever uses them.
struct shadow {
    struct p2m *p2m;
    struct shadow_config config;
    struct shadow_view *views; // list through next
    u64 unknown;               // the value of an unknown entry
    u64 mark;                  // the reserved bit in it, or 0
    mfn_t pool;                // first frame of the tables, which are contiguous
    u64 *seen;                 // by entry: the guest's entry when it became what it is
    struct shadow_table *tables;
    struct shadow_link *links;
    uintptr_t *chunks; // by mfn / SHADOW_CHUNK: where the frames of one would begin if it began with mfn 0;
                       // 0: no RAM of the guest's is there
    struct shadow_chunk *spare; // list
    u64 limit;                  // mfns are below
    u32 *hash;
    u32 hash_mask;
    u32 free_table;    // list through hash_next
    u32 dropped_table; // the same: the processor may still hold entries that lead through it
    u32 newest, oldest;
    u32 used;        // tables
    u32 lost;        // list of the tables out of sync
    u32 out_of_sync; // how many tables are, those apart not counted
    u32 lost_above;  // of them, above level 1
    u32 apart;       // how many those are
    u64 changes;     // counts changes of entries that may end what is fresh in a view
    u64 epoch;       // counts changes of translations that a TLB may hold
    u64 flushed;     // s->epoch when all VPIDs were flushed last
    u32 flushes;     // of all VPIDs, from 1: what happened at an earlier number is in no TLB any more
    bool unsettled;  // the processor must hear of something before the guest runs: engine.c
    bool flush;      // that is to flush all VPIDs
    u32 stale_count; // that is to flush these translations
    u64 stale[SHADOW_STALE];
    u32 unpaged;                  // views without paging
    bool left;                    // the last view went, and the tables are as it left them,
    struct paging_regs left_with; // when the guest had these
    u32 doubt;   // how many teardowns pass after a wrong guess that one has begun: teardown.c
    u32 doubted; // how many still are to
    u64 place_clock;
    struct shadow_place places[SHADOW_PLACES];
    u8 place_hints[SHADOW_HINTS]; // by frame: the place where it was found last
    u64 refused;                  // the mfn of a refused place, which the caller is to say: set once
    u64 way_changes; // counts entries above level 1 that mapped and do no more, and roots that begin to be
                     // used
    struct shadow_stats stats;
};

// How the tables map a page that is used again and again: view.h.
struct shadow_way {
    u64 page;         // gva / 4K
    u64 changes;      // s->way_changes then
    const u64 *entry; // that maps it,
    u64 was;          // and its value then
    u64 hpa;          // of the page
};

// A processor's part.
struct shadow_view {
    struct shadow *s;
    u32 root;                 // in use, or SHADOW_NONE
    struct shadow_table *top; // its table
    bool unpaged;             // it is unpaged_root
    u64 fresh_gva;            // the TLB holds nothing for it but what the tables say,
    u64 fresh_at;             // while s->changes is this
    bool keeps;               // of the caller: the root load at hand is a MOV to CR3 with bit 63
    struct walk_context walk; // the guest's paging state; of cpl, rflags and pkru the caller sets what it has
    // Bits that must be 0 in the guest's entries, by level, and whether they map a page.
    u64 reserved[WALK_LEVELS + 1][2];
    u64 reserved_for;          // the guest's EFER.NXE for which they are; ~0: what follows is to be found out
    u64 no_flush;              // CR3_NO_FLUSH while the guest has PCIDs
    u64 kept[SHADOW_KEPT];     // CR3 as it was loaded last with one of the PCIDs that share a row: roots.c
    u16 vpid;                  // of all roots; 0: each has its own, or shares that of roots in place
    u64 *pdpt;                 // of a guest without paging: walked by the processor
    u8 target[SHADOW_TARGETS]; // places that are loaded without an exit while shadow_targets_hold
    u64 target_changes;        // counts changes of what shadow_targets gives, but for shadow_targets_hold
    u64 control_changes;       // counts these, and when out_of_sync becomes or ceases to be 0
    u32 placed;                // the root in place that was in use last
    u64 burst_cycles;          // between two writes of a burst: BURST_CYCLES and the exit between them
    struct shadow_way written; // by the write to a watched table that came last,
    struct shadow_way code;    // of its instruction
    struct shadow_hw hw;
    struct shadow_view *next;
};

// Takes its memory from p2m->frames: ERR_NOMEM. RAM may be in the p2m by now, and all that comes later is
// announced by shadow_p2m_adding.
int shadow_init(struct shadow *s, struct p2m *p2m, const struct shadow_config *config) must_check;

// The machine frames are about to be mapped as RAM. ERR_NOMEM: they cannot be, with nothing changed.
int shadow_p2m_adding(struct shadow *s, mfn_t first, u64 count) must_check;

// From now on it works by `config`, of which the pool is as it was. While it has no view. Forgets everything
// if another strategy or another kind of entries makes it useless.
void shadow_configure(struct shadow *s, const struct shadow_config *config);

// Makes a view of the tables for a processor, without a root. `walk`: MAXPHYADDR and 1G pages of its guest.
// Takes a frame below 4 GiB from p2m->frames: ERR_NOMEM.
int shadow_view_init(struct shadow_view *view, struct shadow *s, const struct walk_context *walk,
                     const struct shadow_hw *hw) must_check;

// The processor goes: its root is no root any more, its frame is free. Its TLB is the caller's business. When
// the last one goes, tables that outlive root loads are kept, and the first root that is loaded then makes
// them follow what the guest has done unseen.
void shadow_view_leave(struct shadow_view *view);

// Makes the table for the guest's root current, and returns what CR3 is to hold: its machine address; if it
// is in place, the guest's own CR3. Drops what the strategy drops at a root load, synchronises, flushes.
// `walk.regs` must be PAGING_4LEVEL, or PAGING_NONE: then the address is that of a PDPT of PAE paging, below
// 4 GiB. Turning paging off or on is a root load: tables that are cached stay. Without paging every #PF must
// exit. *vpid: to run under. While the guest has CR4.PCIDE the address has its PCID, and `keeps` says that
// the guest's load flushes nothing.
u64 shadow_load_root(struct shadow_view *view, u16 *vpid);

// Whether error codes in the guest's paging state do not tell fetches from reads, although SMAP or keys allow
// the one and deny the other (SDM vol. 3, 4.6, 4.7). Then the processor must run with EFER.NXE, which makes
// them tell, and every #PF must exit, since the guest's own are other ones.
static inline bool shadow_hides_fetches(const struct paging_regs *regs)
{
    return regs->cr0 & CR0_PG && regs->cr4 & (CR4_SMAP | CR4_PKE) && !walk_tells_fetches(regs);
}

// Judges a #PF exit and repairs it if it is hidden: see mmu_fault. Of `fault` gva and error_code are given.
enum mmu_outcome shadow_fault(struct shadow_view *view, struct mmu_fault *fault);

// To be called before shadow_fault, which need not be called if this is true: the fault is one of the most
// common ones. A supervisor's write, by a supervisor's page, to a table of level 1 that alone stands for its
// frame: the table stays in sync, or leaves, MMU_TRACED or MMU_FIXED. Or a user's that the shadow tables
// judge while all are in sync: MMU_FIXED or MMU_GUEST_FAULT. Of `walk` only `regs` counts.
bool shadow_fault_watched(struct shadow_view *view, struct mmu_fault *fault, enum mmu_outcome *outcome);

// [hpa, hpa + bytes), within one page, has been written by or for the guest: the entries are made to follow
// if that is traced memory.
void shadow_written(struct shadow_view *view, u64 hpa, unsigned bytes);

// The same after MMU_TRACED, at fault->hpa, with nothing in between.
void shadow_carried_out(struct shadow_view *view, const struct mmu_fault *fault, unsigned bytes);

// The instruction that writes to the traced frame is not one that can be carried out: its tables go out of
// sync, so the frame becomes writable and the instruction can be run again.
void shadow_release(struct shadow_view *view, u64 hpa);

// INVLPG and INVPCID of one address: stale translations of gva are gone. Does not flush the TLB.
void shadow_invlpg(struct shadow_view *view, u64 gva);

// Where the tables lead gva now. False: nowhere.
bool shadow_translate(struct shadow_view *view, u64 gva, u64 *hpa);

// Forgets everything, the roots too, and flushes. Each view calls shadow_load_root before its guest runs
// again.
void shadow_drop_all(struct shadow *s);

// The p2m is about to change for [first, first + count), and still says what was there before: what was made
// of it is forgotten, also the tables that stand for guest tables there, and flushed. Each view calls
// shadow_load_root, after the change and before its guest runs again.
void shadow_p2m_changing(struct shadow *s, gfn_t first, u64 count);

// CR0, CR4 or EFER have been written: forgets and flushes what that makes the processor forget (SDM vol. 3,
// 4.10.4.1: CR4.PGE, CR4.PCIDE from 1 to 0, CR4.SMEP from 0 to 1), and what it makes wrong (EFER.NXE; of
// roles, SMEP, SMAP and PKE). The caller calls shadow_load_root before the guest runs again, which does the
// same for another paging mode: no two modes share a VPID, but where every root load flushes.
void shadow_paging_changed(struct shadow_view *view, const struct paging_regs *before,
                           const struct paging_regs *after);

// CR4.PGE alone has been written: what shadow_paging_changed and the root load do of it, where the root
// stays. False, with nothing done: root loads drop tables.
bool shadow_global_written(struct shadow_view *view, u64 cr4);

// Whether no table is out of sync and tables are traced: then the guest's INVLPG need not be seen.
static inline bool shadow_is_exact(const struct shadow *s)
{
    return s->config.strategy.trace && !s->out_of_sync;
}

// Whether a #PF without P is the guest's: then it need not exit. Not while a table is out of sync: the guest
// may have filled its entries, and the entries below a stale link are those of another place.
static inline bool shadow_absent_is_true(const struct shadow *s)
{
    return s->unknown && !s->out_of_sync;
}

// Whether the root in use lies where the guest's CR3 says.
static inline bool shadow_root_in_place(const struct shadow_view *view)
{
    return view->top && view->top->place;
}

// Whether the guest may load the targets unseen: the root in use is in place, and no table is out of sync,
// since a MOV to CR3 synchronises.
static inline bool shadow_targets_hold(const struct shadow_view *view)
{
    return shadow_root_in_place(view) && !view->s->out_of_sync;
}

// The values of CR3 that the guest may load unseen from now on, and how many there are. With CR4.PCIDE they
// have bit 63: such a load flushes nothing, and one without it exits. To be asked again after each call of
// the engine's, when target_changes or shadow_targets_hold has changed.
unsigned shadow_targets(const struct shadow_view *view, u64 cr3[SHADOW_TARGETS]);

// The guest has loaded a target unseen, by a MOV to CR3 that flushed the VPID in use as bare hardware does;
// the last one, if it were several. `cr3` is without bit 63, as CR3 does not keep it. To be called before any
// other call after an exit.
void shadow_root_switched(struct shadow_view *view, u64 cr3);

// All counters as of now.
struct shadow_stats shadow_stats_now(const struct shadow *s);

// What an audit found, and where: the first entry that is wrong, or, with level 0, the engine's lists as a
// whole.
struct shadow_finding {
    const char *wrong; // NULL: all that was looked at holds
    u64 frame;         // as struct shadow_table
    unsigned level, slot;
    u64 entry, guest_entry; // guest_entry: 0 in a splinter
};

// Checks every entry against the guest's tables, the p2m and the engine's own lists. NULL, or what is wrong.
const char *shadow_audit(const struct shadow_view *view);

// The same, with the place of what is wrong. True if all holds.
bool shadow_audit_all(const struct shadow_view *view, struct shadow_finding *finding);

// Checks only the next `count` tables that are in use, in turn; *at is where it goes on, 0 at first.
// `looked_at`: how many it were.
bool shadow_audit_some(const struct shadow_view *view, u32 *at, u32 count, u32 *looked_at,
                       struct shadow_finding *finding);
