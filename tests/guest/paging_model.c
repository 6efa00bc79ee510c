// See paging_model.h. Tables and sections are those of SDM vol. 3, chapter 4.
#include "paging_model.h"

void access_user_read(void);
void access_user_write(void);
void access_user_fetch(void);

static struct paging_features features;

struct paging_features paging_features(void)
{
    u32 extended = cpuid_read(0x80000001, 0).edx;
    features = (struct paging_features){
        .physical_bits = cpuid_read(0x80000008, 0).eax & 0xFF,
        .nx = extended >> 20 & 1,
        .large_1g = extended >> 26 & 1,
        .smep = cpuid7_ebx() >> 7 & 1,
        .smap = cpuid7_ebx() >> 20 & 1,
    };
    return features;
}

bool gpa_is_ram(u64 gpa)
{
    for (unsigned i = 0; i < info.ram_count; i++) {
        if (gpa >= info.ram[i].start && gpa < info.ram[i].end)
            return true;
    }
    return false;
}

static bool maps_page(unsigned level, u64 entry)
{
    return level == 1 || (level == 2 && entry & PAGE_PS) ||
           (level == 3 && entry & PAGE_PS && features.large_1g);
}

// Tables 4-15 to 4-20: what is "Reserved (must be 0)".
static bool has_reserved(unsigned level, u64 entry, bool nxe)
{
    u64 reserved = BIT(52) - BIT(features.physical_bits);
    if (!nxe)
        reserved |= PAGE_NX;
    if (level == 4 || (level == 3 && !features.large_1g))
        reserved |= PAGE_PS;
    if (level == 3 && maps_page(3, entry))
        reserved |= BIT(30) - BIT(13);
    if (level == 2 && maps_page(2, entry))
        reserved |= BIT(21) - BIT(13);
    return entry & reserved;
}

bool model_leads_on(unsigned level, u64 entry, bool nxe)
{
    return entry & PAGE_P && !has_reserved(level, entry, nxe) && !maps_page(level, entry);
}

// 4.5.4: how the entries are found.
static void model_path(struct model_walk *m, u64 root, u64 gva, bool nxe)
{
    u64 table = root & ~0xFFFull;
    m->count = 0;
    for (m->level = 4;; m->level--) {
        u64 gpa = table + (gva >> (12 + 9 * (m->level - 1)) & 0x1FF) * 8;
        u64 *entry = gpa_is_ram(gpa) ? (u64 *)gpa : NULL;
        u64 value = entry ? *(volatile u64 *)entry : ~0ull;
        m->entry[m->count] = entry;
        m->before[m->count++] = value;
        if (!model_leads_on(m->level, value, nxe))
            return;
        table = value & 0xFFFFFFFFFF000;
    }
}

// 4.6.1 in the order of its lists. The access rights are those of all entries together.
static bool permitted(const struct model_walk *m, const struct controls *c, struct access a)
{
    bool user_address = true, writable = true, xd = false;
    for (unsigned i = 0; i < m->count; i++) {
        user_address = user_address && m->before[i] & PAGE_U;
        writable = writable && m->before[i] & PAGE_W;
        xd = xd || m->before[i] & PAGE_NX;
    }
    if (a.user) {
        if (!user_address)
            return false;
        return a.kind == ACCESS_READ ? true : a.kind == ACCESS_WRITE ? writable : !(c->nxe && xd);
    }
    if (a.kind == ACCESS_FETCH)
        return !(c->nxe && xd) && !(user_address && c->smep);
    if (user_address && c->smap && !c->ac)
        return false;
    return a.kind == ACCESS_READ || writable || !c->wp;
}

// 4.7: the error code.
static u64 error_code(const struct controls *c, struct access a, bool present, bool reserved)
{
    u64 error = (present ? 1 : 0) | (reserved ? 8 : 0);
    if (a.kind == ACCESS_WRITE)
        error |= 2;
    if (a.user)
        error |= 4;
    if (a.kind == ACCESS_FETCH && (c->nxe || c->smep))
        error |= 16;
    return error;
}

// 4.8: accessed flags of all entries, dirty of the last one.
static void mark(struct model_walk *m, struct access a)
{
    for (unsigned i = 0; i < m->count; i++)
        m->after[i] = m->before[i] | PAGE_A;
    if (a.kind == ACCESS_WRITE)
        m->after[m->count - 1] |= PAGE_D;
}

void model_walk(struct model_walk *m, const struct controls *c, u64 root, struct access a)
{
    model_path(m, root, a.gva, c->nxe);
    u64 last = m->before[m->count - 1];
    bool present = last & PAGE_P, reserved = present && has_reserved(m->level, last, c->nxe);
    m->fault = !present || reserved || !permitted(m, c, a);
    if (m->fault) {
        m->error = error_code(c, a, present, reserved);
        return;
    }
    u64 size = BIT(12 + 9 * (m->level - 1));
    m->gpa = (last & 0xFFFFFFFFFF000 & ~(size - 1)) | (a.gva & (size - 1));
    mark(m, a);
}

void controls_set(const struct controls *c)
{
    u64 cr0 = cr0_read(), cr4 = cr4_read(), efer = msr_read(IA32_EFER);
    u64 cr0_new = (cr0 & ~(u64)CR0_WP) | (c->wp ? CR0_WP : 0);
    u64 cr4_new = (cr4 & ~(u64)(CR4_SMEP | CR4_SMAP)) | (c->smep ? CR4_SMEP : 0) | (c->smap ? CR4_SMAP : 0);
    u64 efer_new = (efer & ~EFER_NXE) | (c->nxe ? EFER_NXE : 0);
    if (cr0_new != cr0)
        cr0_write(cr0_new);
    if (cr4_new != cr4)
        cr4_write(cr4_new);
    if (efer_new != efer)
        msr_write(IA32_EFER, efer_new);
}

// With the given RFLAGS, and 2 again afterwards; a trap restores them too.
#define SUPERVISOR(code, ...) TRAP("pushq %[flags]; popfq; " code "; pushq $2; popfq", __VA_ARGS__)

static struct trap supervisor_do(struct access a, u64 flags, u64 *value)
{
    switch (a.kind) {
    case ACCESS_READ:
        return SUPERVISOR("movq (%[gva]), %[value]",
                          : [value] "+a"(*value)
                          : [gva] "r"(a.gva), [flags] "r"(flags)
                          : "memory", "cc");
    case ACCESS_WRITE:
        return SUPERVISOR("movq %[value], (%[gva])",
                          : [value] "+a"(*value)
                          : [gva] "r"(a.gva), [flags] "r"(flags)
                          : "memory", "cc");
    default:
        return SUPERVISOR("callq *%[gva]",
                          : [value] "+a"(*value)
                          : [gva] "r"(a.gva), [flags] "r"(flags)
                          : "memory", "cc");
    }
}

static u8 access_stack[512] __attribute__((aligned(16)));

static struct trap user_do(struct access a, u64 flags, u64 *value)
{
    static void (*const code[])(void) = {access_user_read, access_user_write, access_user_fetch};
    u64 gva = a.gva;
    return TRAP("pushq %[ss]; pushq %[sp]; pushq %[flags]; pushq %[cs]; pushq %[ip]; iretq",
                : "+D"(gva), "+a"(*value)
                : [ss] "i"(USER_DATA), [sp] "r"(USER_ALIAS + (u64)access_stack + sizeof(access_stack)),
                  [cs] "i"(USER_CODE64), [ip] "r"(USER_ALIAS + (u64)code[a.kind]), [flags] "r"(flags)
                : "memory", "cc");
}

struct outcome access_do(const struct controls *c, struct access a, u64 value)
{
    u64 flags = 2 | (c->ac ? RFLAGS_AC : 0), gva = a.gva;
    if (a.user && a.kind == ACCESS_FETCH)
        a.gva += CODE_USER;
    struct trap t = a.user ? user_do(a, flags, &value) : supervisor_do(a, flags, &value);
    if (t.vector != (a.user ? 0x80 : NO_TRAP) && t.vector != PF)
        fail("access to %lx: expected success or #PF, got trap %lu error %lx rip %lx", gva, t.vector, t.error,
             t.rip);
    return (struct outcome){t.vector == PF, t.error, t.cr2 - (a.gva - gva), value};
}

// MOV EAX, value; and RET for the supervisor, INT 80 for the user.
void access_code(u8 *page, u32 value)
{
    static const u8 ends[2][3] = {{0xC3}, {0xCD, 0x80}};
    for (unsigned i = 0; i < 2; i++) {
        u8 *code = page + i * CODE_USER;
        code[0] = 0xB8;
        memcpy(code + 1, &value, 4);
        memcpy(code + 5, ends[i], 3);
    }
}
