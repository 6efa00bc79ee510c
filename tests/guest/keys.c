// Protection keys for user-mode pages (SDM vol. 3, 4.6.2): CR4.PKE, PKRU and the key of the last entry, with
// every right of it and of the entry above, read, written and executed in both rings. WRPKRU acts on
// translations that are cached, and on pages of 4K and 2M. What else decides is paging_model.c's. Without
// keys in the processor nothing is tried. Neighbour: matrix.c.
#include "paging_model.h"

#define KEYED       (3ull << 39)
#define VALUE       0x24681357u
#define KEY_SHIFT   59
#define PF_KEY      0x20u
#define ACCESSES    6 // kinds of access in two rings
#define CPUID_PKU   (1u << 3)
#define CPUID_OSPKE (1u << 4)

static u64 key_pdpt[512] __attribute__((aligned(4096)));
static u64 key_pd[512] __attribute__((aligned(4096)));
static u64 key_pt[512] __attribute__((aligned(4096)));
static u8 key_frame[4096] __attribute__((aligned(4096)));

static struct {
    struct controls controls;
    u64 gva;
    u64 *leaf, *above;
    bool large; // the leaf maps 2 MiB
    u32 pkru;
    u64 accesses, denied;
} k;

static u32 pkru_read(void)
{
    u32 value;
    asm volatile("rdpkru" : "=a"(value) : "c"(0) : "rdx");
    return value;
}

static void pkru_write(u32 value)
{
    k.pkru = value;
    asm volatile("wrpkru" ::"a"(value), "c"(0), "d"(0) : "memory");
}

static bool start(bool large)
{
    k.gva = KEYED + (u64)key_frame;
    k.large = large;
    k.accesses = k.denied = 0;
    u64 *pd = &key_pd[k.gva >> 21 & 511], *pt = &key_pt[k.gva >> 12 & 511];
    k.leaf = large ? pd : pt;
    k.above = large ? &key_pdpt[k.gva >> 30 & 511] : pd;
    u64 open = PAGE_P | PAGE_W | PAGE_U;
    boot_pml4[k.gva >> 39] = (u64)key_pdpt | open;
    key_pdpt[k.gva >> 30 & 511] = (u64)key_pd | open;
    *pd = (u64)key_pt | open;
    access_code(key_frame, VALUE);
    paging_features();
    return cpuid7_ecx() & CPUID_PKU;
}

static void finish(void)
{
    controls_set(&(struct controls){true, true, false, false, false});
    boot_pml4[k.gva >> 39] = 0;
    print("# keys: %lu accesses, %lu denied by keys\n", k.accesses, k.denied);
}

static void pke_set(bool on)
{
    u64 cr4 = cr4_read();
    cr4_write(on ? cr4 | CR4_PKE : cr4 & ~(u64)CR4_PKE);
    expect("CPUID.OSPKE", !!(cpuid7_ecx() & CPUID_OSPKE), on);
}

// The leaf has this key and of W, U bits 0 and 1 of the rights, the entry above bits 2 and 3.
static void put(unsigned key, unsigned rights)
{
    u64 page = k.large ? (u64)key_frame & ~(BIT(21) - 1) : (u64)key_frame;
    *(volatile u64 *)k.leaf = page | PAGE_P | (k.large ? PAGE_PS : 0) | (u64)key << KEY_SHIFT |
                              (rights & 1 ? PAGE_W : 0) | (rights & 2 ? PAGE_U : 0);
    *(volatile u64 *)k.above = (k.large ? (u64)key_pd : (u64)key_pt) | PAGE_P | (rights & 4 ? PAGE_W : 0) |
                               (rights & 8 ? PAGE_U : 0);
    asm volatile("invlpg (%0)" ::"r"(k.gva) : "memory");
}

// 4.6.2, for an access whose walk came to a page: what the keys alone say of it.
static bool key_denies(const struct model_walk *w, struct access a)
{
    u64 all = ~0ull;
    for (unsigned i = 0; i < w->count; i++)
        all &= w->before[i];
    if (!(cr4_read() & CR4_PKE) || !(all & PAGE_U) || a.kind == ACCESS_FETCH)
        return false;
    u32 rule = k.pkru >> (w->before[w->count - 1] >> KEY_SHIFT & 15) * 2;
    return rule & 1 || (rule & 2 && a.kind == ACCESS_WRITE && (a.user || k.controls.wp));
}

// 4.7: bit 5 whenever the keys deny the access, whatever else denies it.
static void try_access(unsigned which)
{
    struct access a = {k.gva, which % ACCESS_KINDS, which >= ACCESS_KINDS};
    u64 value = 0x5A5A000000000000 + k.accesses++;
    struct model_walk w;
    model_walk(&w, &k.controls, (u64)boot_pml4, a);
    bool denied = key_denies(&w, a), fault = w.fault || denied;
    u64 error = denied  ? (a.kind == ACCESS_WRITE ? 2 : 0) | (a.user ? 4 : 0) | 1 | PF_KEY
                : fault ? w.error
                        : 0;
    if (a.kind == ACCESS_FETCH)
        access_code(key_frame, VALUE);
    struct outcome o = access_do(&k.controls, a, value);
    bool written = *(volatile u64 *)key_frame == value;
    if (o.fault != fault || (fault && (o.error != error || o.cr2 != a.gva)) ||
        written != (!fault && a.kind == ACCESS_WRITE))
        fail("PKRU %x WP %u %s kind %u entries %lx %lx: expected %s error %lx, got %s error %lx", k.pkru,
             k.controls.wp, a.user ? "user" : "supervisor", a.kind, *k.above, *k.leaf,
             fault ? "#PF" : "success", error, o.fault ? "#PF" : "success", o.fault ? o.error : 0);
    bool dirty = *(volatile u64 *)k.leaf & PAGE_D;
    if (dirty && fault && !(w.before[w.count - 1] & PAGE_D))
        fail("a write that faults sets the dirty flag: entry %lx", *k.leaf);
    k.denied += denied;
}

// What PKRU says of a key: that, and the opposite for all other keys but 0, which the rest of this guest has.
static u32 pkru_of(unsigned key, u32 rule)
{
    u32 others = ~rule & 3, value = 0;
    for (unsigned i = 1; i < 16; i++)
        value |= (i == key ? rule : others) << 2 * i;
    return value;
}

static void all_rules(unsigned key, bool anew, unsigned rights)
{
    for (u32 rule = 0; rule < 4; rule++) {
        for (unsigned which = 0; which < ACCESSES; which++) {
            if (anew)
                put(key, rights);
            pkru_write(pkru_of(key, rule));
            try_access(which);
        }
    }
    pkru_write(0);
}

// Whether the page is the supervisor's by its last entry alone.
static bool is_leaf_case(unsigned rights)
{
    return rights & 8 && !(rights & 2);
}

// All rights of two levels, WP and not; after each put, and with what an earlier access has cached.
static void all_rights(unsigned key, bool leaf_case)
{
    for (unsigned wp = 0; wp < 2; wp++) {
        k.controls = (struct controls){wp, true, false, false, false};
        controls_set(&k.controls);
        for (unsigned rights = 0; rights < 16; rights++) {
            if (is_leaf_case(rights) != leaf_case)
                continue;
            all_rules(key, true, rights);
            put(key, rights);
            all_rules(key, false, rights);
        }
    }
}

static void run(bool large, bool leaf_case)
{
    static const unsigned char keys[] = {1, 6, 15};
    if (start(large)) {
        pke_set(true);
        for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
            all_rights(keys[i], leaf_case);
        pke_set(false);
    }
    finish();
}

static void test_pages(void)
{
    run(false, false);
}

static void test_large(void)
{
    run(true, false);
}

// A group of its own that does not run by default: Bochs looks at the key before it looks at the last entry's
// U.
static void test_supervisor_leaf(void)
{
    run(false, true);
    run(true, true);
}

// CR4.PKE = 0: a key in an entry and what PKRU held before say nothing; RDPKRU and WRPKRU are #UD.
static void test_off(void)
{
    if (start(false)) {
        pke_set(true);
        pkru_write(pkru_of(5, 3));
        expect("PKRU", pkru_read(), pkru_of(5, 3));
        pke_set(false);
        expect_trap("RDPKRU", TRAP("rdpkru", ::"c"(0) : "rax", "rdx"), UD, 0);
        expect_trap("WRPKRU", TRAP("wrpkru", ::"a"(0), "c"(0), "d"(0)), UD, 0);
        k.controls = (struct controls){true, true, false, false, false};
        controls_set(&k.controls);
        for (unsigned which = 0; which < ACCESSES; which++) {
            put(5, 15);
            try_access(which);
        }
        pke_set(true);
        pkru_write(0);
        pke_set(false);
    }
    finish();
}

static const struct test tests[] = {
    {"pages", test_pages},
    {"large", test_large},
    {"off", test_off},
};
GROUP(group_keys, "keys", tests, true);

static const struct test leaf_tests[] = {{"supervisor", test_supervisor_leaf}};
GROUP(group_keyleaf, "keyleaf", leaf_tests, false);
