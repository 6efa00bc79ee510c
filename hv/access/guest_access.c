// See guest_access.h.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <arch/phys.h>
#include <hv/log.h>

#include "debug.h"
#include "devices.h"
#include "event.h"
#include "guest_access.h"
#include "vm_memory.h"

void guest_access_init(struct guest_access *a, struct vcpu *v)
{
    *a = (struct guest_access){
        .v = v,
        .dr7 = debug_enabled(v),
        .code_bits = vcpu_code_bits(v),
    };
    vcpu_walk_context(v, &a->walk);
}

static int leave_fault(struct guest_access *a, unsigned vector, u32 error_code)
{
    a->fault_vector = (u8)vector;
    a->fault_error = error_code;
    return GUEST_FAULT;
}

// Access rights of a segment (SDM vol. 3, table 25-2; types: table 3-1).
#define RIGHTS_UNUSABLE    BIT(16)
#define RIGHTS_DB          BIT(14)
#define RIGHTS_CODE        BIT(3)
#define RIGHTS_EXPAND_DOWN BIT(2) // of data
#define RIGHTS_ACCESS      BIT(1) // data: may be written; code: may be read

static u64 segment_field(enum vmcs_field of_es, struct insn_address at)
{
    return vmcs_read(of_es + 2 * (enum vmcs_field)at.segment);
}

// SDM vol. 3, 5.5. Real and virtual-8086 mode know no types.
static bool type_allows(const struct guest_access *a, u64 rights, bool write)
{
    if (!(a->walk.regs.cr0 & CR0_PE) || a->walk.rflags & RFLAGS_VM)
        return true;
    bool code = rights & RIGHTS_CODE, access = rights & RIGHTS_ACCESS;
    return write ? !code && access : !code || access;
}

// SDM vol. 3, 5.3. In a segment of 4 GiB an access that crosses its end goes on at its start.
static bool limit_allows(u64 rights, u64 limit, u64 first, unsigned bytes)
{
    u64 last = first + bytes - 1;
    if ((rights & (RIGHTS_CODE | RIGHTS_EXPAND_DOWN)) == RIGHTS_EXPAND_DOWN)
        return first > limit && last <= (rights & RIGHTS_DB ? 0xffffffff : 0xffff);
    return last <= limit || limit == 0xffffffff;
}

static bool segment_allows(const struct guest_access *a, struct insn_address at, unsigned bytes, bool write)
{
    if (a->code_bits == 64 || at.segment == GUEST_FLAT)
        return true;
    u64 rights = segment_field(GUEST_ES_ACCESS_RIGHTS, at);
    return !(rights & RIGHTS_UNUSABLE) && type_allows(a, rights, write) &&
           limit_allows(rights, segment_field(GUEST_ES_LIMIT, at), at.offset, bytes);
}

static u64 linear(unsigned code_bits, struct insn_address at)
{
    bool has_base = at.segment != GUEST_FLAT && (code_bits != 64 || at.segment >= INSN_FS);
    u64 gva = at.offset + (has_base ? segment_field(GUEST_ES_BASE, at) : 0);
    return code_bits == 64 ? gva : (u32)gva;
}

u64 guest_linear(const struct vcpu *v, struct insn_address at)
{
    return linear(vcpu_code_bits(v), at);
}

static bool alignment_counts(const struct guest_access *a)
{
    return a->walk.cpl == 3 && a->walk.rflags & RFLAGS_AC && a->walk.regs.cr0 & CR0_AM;
}

// Everything that is checked before paging. 0 and the linear address, or GUEST_FAULT.
static int segment_check(struct guest_access *a, struct insn_address at, unsigned bytes, bool write, u64 *gva)
{
    *gva = linear(a->code_bits, at);
    bool canonical = a->code_bits != 64 || (walk_canonical(*gva) && walk_canonical(*gva + bytes - 1));
    if (!segment_allows(a, at, bytes, write) || !canonical)
        return leave_fault(a, at.segment == INSN_SS ? VECTOR_SS : VECTOR_GP, 0);
    if (at.segment == GUEST_FLAT || *gva % bytes == 0)
        return 0;
    if (bytes == 16) // CMPXCHG16B (SDM vol. 2)
        return leave_fault(a, VECTOR_GP, 0);
    return alignment_counts(a) ? leave_fault(a, VECTOR_AC, 0) : 0;
}

// A piece of an access that lies in one page.
struct piece {
    u64 gpa;
    unsigned bytes;
};

// What of [gva, gva + bytes) lies in its first page.
static unsigned bytes_in_page(u64 gva, unsigned bytes)
{
    unsigned left = (unsigned)(PAGE_SIZE - (gva & (PAGE_SIZE - 1)));
    return left < bytes ? left : bytes;
}

// Translates an access into at most two pieces. 0 or GUEST_FAULT.
static int translate(struct guest_access *a, u64 gva, unsigned bytes, enum access kind, struct piece piece[2])
{
    piece[0].bytes = bytes_in_page(gva, bytes);
    piece[1].bytes = bytes - piece[0].bytes;
    for (unsigned i = 0; i < 2 && piece[i].bytes; i++) {
        struct walk walk;
        u64 at = i ? gva + piece[0].bytes : gva;
        if (a->code_bits != 64)
            at = (u32)at;
        churn_uncover(a->v, &a->walk, at, kind == ACCESS_WRITE);
        if (walk_guest(&a->walk, at, (struct walk_access){.kind = kind}, true, &walk)) {
            a->fault_gva = at;
            return leave_fault(a, VECTOR_PF, walk.error_code);
        }
        piece[i].gpa = walk.gpa;
    }
    return 0;
}

// Data breakpoints do not see what is fetched.
static int resolve(struct guest_access *a, struct insn_address at, unsigned bytes, enum access kind,
                   struct piece piece[2])
{
    static const enum watches watched[] = {
        [ACCESS_READ] = WATCHES_READ, [ACCESS_WRITE] = WATCHES_WRITE, [ACCESS_FETCH] = WATCHES_NONE};
    u64 gva;
    int error = segment_check(a, at, bytes, kind == ACCESS_WRITE, &gva);
    if (!error)
        error = translate(a, gva, bytes, kind, piece);
    if (!error && a->dr7)
        a->hits |= debug_match(a->dr7, gva, bytes, watched[kind]);
    return error;
}

// The largest access that is aligned at gpa.
static unsigned bus_bytes(u64 gpa, unsigned bytes)
{
    unsigned part = 8;
    while (part > bytes || gpa % part)
        part /= 2;
    return part;
}

static void device_access(struct vcpu *v, u64 gpa, u8 *data, unsigned bytes, bool write)
{
    for (unsigned part; bytes; gpa += part, data += part, bytes -= part) {
        u64 value = 0;
        part = bus_bytes(gpa, bytes);
        if (write) {
            memcpy(&value, data, part);
            devices_page_write(v, gpa, part, value);
        } else {
            value = devices_page_read(v, gpa, part);
            memcpy(data, &value, part);
        }
    }
}

// RAM may hold a page table that the back end watches.
static void ram_write(struct vcpu *v, u64 hpa, const void *data, unsigned bytes)
{
    memcpy(phys_ptr(hpa), data, bytes);
    if (v->mmu->ops->written)
        mmu_written(v, hpa, bytes);
}

// The machine's local APIC has registers of 4 bytes at multiples of 16, and may be read and written so only
// (SDM vol. 3, 11.4.1).
static void direct_access(u64 hpa, u8 *data, unsigned bytes, bool write)
{
    volatile u32 *at = phys_ptr(hpa);
    bool is_register = bytes == sizeof(u32) && hpa % 16 == 0;
    u32 value = 0xffffffff;
    if (is_register && write) {
        memcpy(&value, data, sizeof(value));
        *at = value;
    } else if (is_register) {
        value = *at;
        memcpy(data, &value, sizeof(value));
    } else if (!write) {
        memset(data, 0xff, bytes);
    }
}

// A guest that works in a hole, with its stack there, say, can do so for ever: it is told once.
#define MANY_HOLE_ACCESSES 10000

static void hole_access(struct vm *vm, u64 gpa)
{
    if (++vm->hole_accesses == MANY_HOLE_ACCESSES)
        log_warn("the guest has accessed addresses where there is nothing %u times, at last gpa 0x%lx",
                 MANY_HOLE_ACCESSES, gpa);
}

static void physical_access(struct vcpu *v, u64 gpa, u8 *data, unsigned bytes, bool write)
{
    struct p2m_leaf leaf = p2m_lookup(&v->vm->p2m, gpa_gfn(gpa));
    u64 hpa = mfn_hpa(leaf.mfn) | (gpa & (PAGE_SIZE - 1));
    if (leaf.type == P2M_HOLE)
        hole_access(v->vm, gpa);
    if (leaf.type == P2M_DEVICE)
        device_access(v, gpa, data, bytes, write);
    else if (leaf.type == P2M_DIRECT)
        direct_access(hpa, data, bytes, write);
    else if (leaf.type == P2M_RAM && write)
        ram_write(v, hpa, data, bytes);
    else if (p2m_is_ram(leaf.type) && !write)
        memcpy(data, phys_ptr(hpa), bytes);
    else if (!write)
        memset(data, 0xff, bytes);
}

static int access(struct guest_access *a, struct insn_address at, u8 *data, unsigned bytes,
                  enum access rights, bool write)
{
    struct piece piece[2];
    int error = resolve(a, at, bytes, rights, piece);
    if (error)
        return error;
    for (unsigned i = 0; i < 2 && piece[i].bytes; i++) {
        physical_access(a->v, piece[i].gpa, data, piece[i].bytes, write);
        data += piece[i].bytes;
    }
    return 0;
}

int guest_read(struct guest_access *a, struct insn_address at, void *to, unsigned bytes, bool for_write)
{
    return access(a, at, to, bytes, for_write ? ACCESS_WRITE : ACCESS_READ, false);
}

int guest_write(struct guest_access *a, struct insn_address at, const void *from, unsigned bytes)
{
    u8 copy[16];
    memcpy(copy, from, bytes);
    return access(a, at, copy, bytes, ACCESS_WRITE, true);
}

int guest_may_write(struct guest_access *a, struct insn_address at, unsigned bytes)
{
    struct piece piece[2];
    return resolve(a, at, bytes, ACCESS_WRITE, piece);
}

// Code that lies in one page, and how it is found there: 0 and *gpa, or an error.
typedef int find_code_fn(struct guest_access *a, u64 gva, unsigned bytes, u64 *gpa);

static unsigned code_read(struct guest_access *a, u8 *to, unsigned bytes, find_code_fn *find)
{
    u64 gva = linear(a->code_bits, (struct insn_address){vmcs_read(GUEST_RIP), INSN_CS}), gpa;
    unsigned done = 0;
    while (done < bytes) {
        unsigned part = bytes_in_page(gva + done, bytes - done);
        if (find(a, gva + done, part, &gpa) || vm_ram_read(a->v->vm, gpa, to + done, part))
            break;
        done += part;
    }
    return done;
}

static int fetch(struct guest_access *a, u64 gva, unsigned bytes, u64 *gpa)
{
    struct piece piece[2];
    int error = resolve(a, (struct insn_address){gva, GUEST_FLAT}, bytes, ACCESS_FETCH, piece);
    if (!error)
        *gpa = piece[0].gpa;
    return error;
}

unsigned guest_fetch(struct guest_access *a, u8 *to, unsigned bytes)
{
    return code_read(a, to, bytes, fetch);
}

static int look(struct guest_access *a, u64 gva, unsigned bytes, u64 *gpa)
{
    (void)bytes;
    struct walk walk;
    if (!walk_canonical(gva))
        return ERR_INVALID;
    int error = walk_guest(&a->walk, gva, (struct walk_access){.kind = ACCESS_FETCH}, false, &walk);
    if (!error)
        *gpa = walk.gpa;
    return error;
}

unsigned guest_last_bytes(struct vcpu *v, u8 *to, unsigned bytes)
{
    struct guest_access a;
    guest_access_init(&a, v);
    return code_read(&a, to, bytes, look);
}

enum verdict guest_fault(struct guest_access *a)
{
    if (a->fault_vector == VECTOR_PF)
        return event_pf(a->v, a->fault_gva, a->fault_error);
    return event_exception(a->v, a->fault_vector, a->fault_error);
}
