// See guest_access.h.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <arch/phys.h>

#include "devices.h"
#include "event.h"
#include "guest_access.h"
#include "vm.h"

#define DPL_OF(rights) ((rights) >> 5 & 3)

unsigned vcpu_cpl(const struct vcpu *v)
{
    (void)v;
    return DPL_OF(vmcs_read(GUEST_SS_ACCESS_RIGHTS));
}

#define RIGHTS_L  BIT(13)
#define RIGHTS_DB BIT(14)

// "IA-32e mode guest" is EFER.LMA: where the guest can change it without an exit, exits store it there (SDM
// vol. 3, A.6, bit 5), and not every processor has the field GUEST_IA32_EFER.
unsigned vcpu_code_bits(const struct vcpu *v)
{
    (void)v;
    u64 rights = vmcs_read(GUEST_CS_ACCESS_RIGHTS);
    bool long_mode = vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E_GUEST;
    return long_mode && rights & RIGHTS_L ? 64 : rights & RIGHTS_DB ? 32 : 16;
}

// The processor's PKRU is the guest's. All the monitor's pages are supervisor pages, which have no keys; it
// turns CR4.PKE on only to read the register.
u32 vcpu_pkru(void)
{
    u32 pkru, high;
    __asm__ volatile(
        "mov %%cr4, %%r8\n mov %%r8, %%r9\n bts $22, %%r9\n mov %%r9, %%cr4\n rdpkru\n mov %%r8, %%cr4"
        : "=a"(pkru), "=d"(high)
        : "c"(0)
        : "r8", "r9", "memory");
    return pkru;
}

void guest_access_init(struct guest_access *a, struct vcpu *v)
{
    *a = (struct guest_access){
        .v = v,
        .walk =
            {
                .p2m = &v->vm->p2m,
                .regs = vcpu_paging(v),
                .rflags = vmcs_read(GUEST_RFLAGS),
                .cpl = vcpu_cpl(v),
                .physical_bits = v->physical_bits,
                .has_1g_pages = v->has_1g_pages,
            },
    };
    if (a->walk.regs.cr4 & CR4_PKE)
        a->walk.pkru = vcpu_pkru();
    if (walk_mode(&a->walk.regs) == PAGING_PAE) {
        static const enum vmcs_field pdptes[4] = {GUEST_PDPTE0, GUEST_PDPTE1, GUEST_PDPTE2, GUEST_PDPTE3};
        for (unsigned i = 0; i < 4; i++)
            a->walk.pdptes[i] = vmcs_read(pdptes[i]);
    }
}

// A piece of an access that lies in one page.
struct piece {
    u64 gpa;
    unsigned bytes;
};

// Translates [gva, gva + bytes) into at most two pieces. 0 or GUEST_FAULT.
static int translate(struct guest_access *a, u64 gva, unsigned bytes, enum access kind, struct piece piece[2])
{
    unsigned first = (unsigned)(PAGE_SIZE - (gva & (PAGE_SIZE - 1)));
    if (first > bytes)
        first = bytes;
    piece[0].bytes = first;
    piece[1].bytes = bytes - first;
    for (unsigned i = 0; i < 2 && piece[i].bytes; i++) {
        struct walk walk;
        u64 at = i ? gva + first : gva;
        churn_uncover(a->v, &a->walk, at, kind == ACCESS_WRITE);
        if (walk_guest(&a->walk, at, (struct walk_access){.kind = kind}, true, &walk)) {
            a->fault_gva = at;
            a->fault_error = walk.error_code;
            return GUEST_FAULT;
        }
        piece[i].gpa = walk.gpa;
    }
    return 0;
}

static void device_access(struct vcpu *v, u64 gpa, void *data, unsigned bytes, bool write)
{
    u64 value = 0;
    if (write) {
        memcpy(&value, data, bytes < 8 ? bytes : 8);
        devices_page_write(v, gpa, bytes, value);
    } else {
        value = devices_page_read(v, gpa, bytes);
        memcpy(data, &value, bytes < 8 ? bytes : 8);
    }
}

// RAM may hold a page table that the back end watches.
static void ram_write(struct vcpu *v, u64 gpa, mfn_t frame, const void *data, unsigned bytes)
{
    u64 hpa = mfn_hpa(frame) | (gpa & (PAGE_SIZE - 1));
    memcpy(phys_ptr(hpa), data, bytes);
    if (mmu->written)
        mmu_written(v, hpa, bytes);
}

static void physical_access(struct vcpu *v, u64 gpa, void *data, unsigned bytes, bool write)
{
    struct p2m_leaf leaf = p2m_lookup(&v->vm->p2m, gpa_gfn(gpa));
    bool ram = p2m_is_ram(leaf.type);
    if (leaf.type == P2M_DEVICE)
        device_access(v, gpa, data, bytes, write);
    else if (!ram && !write)
        memset(data, 0xff, bytes);
    else if (ram && !write)
        memcpy(data, phys_ptr(mfn_hpa(leaf.mfn) | (gpa & (PAGE_SIZE - 1))), bytes);
    else if (leaf.type == P2M_RAM)
        ram_write(v, gpa, leaf.mfn, data, bytes);
}

static int access(struct guest_access *a, u64 gva, void *data, unsigned bytes, enum access rights, bool write)
{
    struct piece piece[2];
    int error = translate(a, gva, bytes, rights, piece);
    if (error)
        return error;
    u8 *at = data;
    for (unsigned i = 0; i < 2 && piece[i].bytes; i++) {
        physical_access(a->v, piece[i].gpa, at, piece[i].bytes, write);
        at += piece[i].bytes;
    }
    return 0;
}

int guest_read(struct guest_access *a, u64 gva, void *to, unsigned bytes, bool for_write)
{
    return access(a, gva, to, bytes, for_write ? ACCESS_WRITE : ACCESS_READ, false);
}

int guest_write(struct guest_access *a, u64 gva, const void *from, unsigned bytes)
{
    u8 copy[16];
    memcpy(copy, from, bytes);
    return access(a, gva, copy, bytes, ACCESS_WRITE, true);
}

// There is one processor and it is in the monitor: reading, comparing and writing in turn is atomic.
int guest_exchange(struct guest_access *a, u64 gva, const void *old, const void *new, unsigned bytes)
{
    u8 now[16];
    int error = guest_read(a, gva, now, bytes, true);
    if (error)
        return error;
    return memcmp(now, old, bytes) ? ERR_INVALID : guest_write(a, gva, new, bytes);
}

unsigned guest_fetch(struct guest_access *a, u64 gva, u8 *to, unsigned bytes)
{
    unsigned in_page = (unsigned)(PAGE_SIZE - (gva & (PAGE_SIZE - 1)));
    unsigned first = bytes < in_page ? bytes : in_page;
    if (access(a, gva, to, first, ACCESS_FETCH, false))
        return 0;
    if (first < bytes && !access(a, gva + first, to + first, bytes - first, ACCESS_FETCH, false))
        return bytes;
    return first;
}

enum verdict guest_fault(struct guest_access *a)
{
    return event_pf(a->v, a->fault_gva, a->fault_error);
}
