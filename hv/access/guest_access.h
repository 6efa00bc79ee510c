// Access to the guest's memory as the guest itself would have it: through its segments, its page tables and
// their rights, to RAM, devices and holes. For instructions that the monitor completes: all that the
// processor would have checked for an access is checked here, in one place, whoever asks.
#pragma once

#include <hv/walk.h>

#include "decode.h"
#include "verdict.h"

struct guest_access {
    struct vcpu *v;
    struct walk_context walk;
    unsigned code_bits; // 64: the segments have no limits and types
    // After GUEST_FAULT: what the guest is to get. 0: nothing has faulted yet.
    u8 fault_vector;
    u32 fault_error;
    u64 fault_gva; // of #PF
    u64 dr7;       // 0: no breakpoint is enabled
    u64 hits;      // data breakpoints that were hit: debug_hit
};

// Result of the functions below beside 0: an exception that is left in the struct, nothing was accessed.
// #GP(0), for SS #SS(0): the segment is unusable, of a type that forbids it, too short, or the address is not
// canonical (SDM vol. 3, 5.3 to 5.5; vol. 1, 3.3.7.1); 16 bytes that are not aligned: #GP(0). #AC(0): CPL 3,
// CR0.AM and RFLAGS.AC. #PF. In this order.
#define GUEST_FAULT 1

// In place of a segment: the offset is the linear address. Only that it is canonical is checked.
#define GUEST_FLAT (INSN_GS + 1)

// Takes the guest's state down, once for an exit.
void guest_access_init(struct guest_access *a, struct vcpu *v);

// Reads or writes `bytes`: 1 to 8, or 16. Both pages of an access that crosses are checked before anything is
// accessed. The rights of a read are those of a write where `for_write`. Linear addresses wrap at 4 GiB but
// in 64-bit code. A device sees aligned accesses of at most 8 bytes, in ascending order; what no device
// answers reads as ones.
int guest_read(struct guest_access *a, struct insn_address at, void *to, unsigned bytes,
               bool for_write) must_check;
int guest_write(struct guest_access *a, struct insn_address at, const void *from, unsigned bytes) must_check;

// Whether guest_write would do it: touches no device.
int guest_may_write(struct guest_access *a, struct insn_address at, unsigned bytes) must_check;

// Reads up to `bytes` (15 at most) of the instruction at RIP, from RAM; returns how many. Fewer: what follows
// is not RAM, or *a holds a fault.
unsigned guest_fetch(struct guest_access *a, u8 *to, unsigned bytes);

// The same for a guest that has ended: changes nothing, not even accessed bits, and asks no device.
unsigned guest_last_bytes(struct vcpu *v, u8 *to, unsigned bytes);

// The linear address of an operand, unchecked.
u64 guest_linear(const struct vcpu *v, struct insn_address at);

// Delivers the fault left in *a.
enum verdict guest_fault(struct guest_access *a);
