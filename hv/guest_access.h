// Access to the guest's memory as the guest itself would have it: by gva, with its page tables and rights, to
// RAM, devices and holes. For instructions that the monitor completes.
#pragma once

#include <hv/walk.h>

#include "exit.h"

struct guest_access {
    struct vcpu *v;
    struct walk_context walk;
    u64 fault_gva; // after GUEST_FAULT: the #PF for the guest
    u32 fault_error;
};

// Result of the functions below beside 0: a #PF that is left in the struct, nothing was accessed.
#define GUEST_FAULT 1

// Takes the guest's paging state down, once for an exit.
void guest_access_init(struct guest_access *a, struct vcpu *v);

// Reads or writes `bytes` (1 to 16) at gva. Both pages of an access that crosses are checked before anything
// is accessed. The rights of a read are those of a write where `for_write`.
int guest_read(struct guest_access *a, u64 gva, void *to, unsigned bytes, bool for_write) must_check;
int guest_write(struct guest_access *a, u64 gva, const void *from, unsigned bytes) must_check;

// Atomically: where memory (1, 2, 4, 8 or 16 bytes) equals `old` it becomes `new`, else ERR_INVALID. Devices:
// a plain write.
int guest_exchange(struct guest_access *a, u64 gva, const void *old, const void *new,
                   unsigned bytes) must_check;

// Reads up to `bytes` of the instruction at RIP; returns how many, 0 where there is none (*a holds a fault).
unsigned guest_fetch(struct guest_access *a, u64 gva, u8 *to, unsigned bytes);

// Delivers the fault left in *a.
enum verdict guest_fault(struct guest_access *a);
