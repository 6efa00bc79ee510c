// Saving and restoring x87, SSE, AVX, AVX-512 and MXCSR state: FXSAVE, XSAVE, XSAVEOPT, and, in a group of
// their own that does not run by default, XSAVEC and XSAVES, which Bochs 2.7 gets wrong (README.md).
// Registers are filled and read by plain moves, so no form is tested by itself. Neighbour: cpu.h.
#include "cpu.h"

enum component {
    X87 = 1 << 0,
    SSE = 1 << 1,
    AVX = 1 << 2,
    OPMASK = 1 << 5,
    ZMM_HI256 = 1 << 6,
    HI16_ZMM = 1 << 7,
    AVX512 = OPMASK | ZMM_HI256 | HI16_ZMM,
    TESTED = X87 | SSE | AVX | AVX512,
    MXCSR = 1 << 16, // here: is not its initial value. It goes with SSE
};
#define COMPACTED    BIT(63)
#define MXCSR_INIT   0x1F80u
#define AREA_BYTES   8192u
#define AREA_HEADER  512u
#define AREA_MXCSR   24u
#define AREA_CLEAR   0xCC
#define LEGACY_BYTES 416u // used: the 96 bytes up to the header are software's

struct state {
    u8 vector[32][64];
    u64 mask[8];
    u8 x87[8][16];
    u32 mxcsr;
};

static u8 area[AREA_BYTES] __attribute__((aligned(64)));
static u8 other_area[AREA_BYTES] __attribute__((aligned(64)));
static u8 legacy[512] __attribute__((aligned(64)));
static u32 enabled; // XCR0

static void xcr0_write(u32 value)
{
    asm volatile("xsetbv" ::"a"(value), "d"(0), "c"(0) : "memory");
}

static bool start(void)
{
    bool present = cpuid_read(1, 0).ecx >> 26 & 1;
    cr0_write(cr0_read() & ~(u64)8);
    cr4_write(cr4_read() | CR4_OSFXSR | (present ? CR4_OSXSAVE : 0));
    enabled = present ? cpuid_read(0xD, 0).eax & TESTED : X87 | SSE;
    if (present)
        xcr0_write(enabled);
    return present;
}

static void finish(void)
{
    xcr0_write(X87);
}

#define EACH_8  "0,1,2,3,4,5,6,7"
#define EACH_16 EACH_8 ",8,9,10,11,12,13,14,15"
#define EACH_32 EACH_16 ",16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define EACH(numbers, code, pointer) \
    asm volatile(".irp i," numbers "\n\t" code "\n\t.endr" ::"r"(pointer) : "memory")

static void vectors_load(const struct state *s)
{
    if (enabled & ZMM_HI256) {
        EACH(EACH_32, "vmovdqu64 64*\\i(%0), %%zmm\\i", s->vector);
        EACH(EACH_8, "kmovq 8*\\i(%0), %%k\\i", s->mask);
    } else if (enabled & AVX) {
        EACH(EACH_16, "vmovdqu 64*\\i(%0), %%ymm\\i", s->vector);
    } else {
        EACH(EACH_16, "movdqu 64*\\i(%0), %%xmm\\i", s->vector);
    }
    asm volatile("ldmxcsr %0" ::"m"(s->mxcsr));
}

static void vectors_store(struct state *s)
{
    if (enabled & ZMM_HI256) {
        EACH(EACH_32, "vmovdqu64 %%zmm\\i, 64*\\i(%0)", s->vector);
        EACH(EACH_8, "kmovq %%k\\i, 8*\\i(%0)", s->mask);
    } else if (enabled & AVX) {
        EACH(EACH_16, "vmovdqu %%ymm\\i, 64*\\i(%0)", s->vector);
    } else {
        EACH(EACH_16, "movdqu %%xmm\\i, 64*\\i(%0)", s->vector);
    }
    asm volatile("stmxcsr %0" : "=m"(s->mxcsr));
}

// The x87 stack is full or empty.
static void x87_load(const struct state *s)
{
    asm volatile("fninit");
    if (s->x87[0][9])
        EACH("7,6,5,4,3,2,1,0", "fldt 16*\\i(%0)", s->x87);
}

static void x87_store(struct state *s)
{
    asm volatile("fxsave64 %0" : "=m"(legacy));
    bool used = legacy[4];
    for (unsigned i = 0; used && i < 8; i++)
        memcpy(s->x87[i], legacy + 32 + 16 * i, 10);
}

static void state_load(const struct state *s)
{
    x87_load(s);
    vectors_load(s);
}

static void state_read(struct state *s)
{
    memset(s, 0, sizeof(*s));
    vectors_store(s);
    x87_store(s);
}

// Of a vector register, which component a byte belongs to.
static u32 vector_component(unsigned number, unsigned byte)
{
    return number >= 16 ? HI16_ZMM : byte < 16 ? SSE : byte < 32 ? AVX : ZMM_HI256;
}

// The components of `from` that are in the set take its values.
static void state_merge(struct state *to, const struct state *from, u32 set)
{
    for (unsigned n = 0; n < 32; n++) {
        for (unsigned byte = 0; byte < 64; byte += 16) {
            if (vector_component(n, byte) & set)
                memcpy(&to->vector[n][byte], &from->vector[n][byte], 16);
        }
    }
    if (set & OPMASK)
        memcpy(to->mask, from->mask, sizeof(to->mask));
    if (set & X87)
        memcpy(to->x87, from->x87, sizeof(to->x87));
    if (set & MXCSR)
        to->mxcsr = from->mxcsr;
}

// No byte is 0 and no two registers are equal.
static void state_make(struct state *s, u32 set, u8 seed)
{
    static struct state full;
    for (unsigned n = 0; n < 32; n++) {
        for (unsigned byte = 0; byte < 64; byte++)
            full.vector[n][byte] = (u8)(seed + n * 7 + byte) | 1;
    }
    for (unsigned n = 0; n < 8; n++) {
        full.mask[n] = 0x0101010101010101ull * (seed + n);
        full.x87[n][0] = (u8)(seed + n);
        full.x87[n][7] = 0x80; // normal numbers
        full.x87[n][8] = seed;
        full.x87[n][9] = 0x3F;
    }
    full.mxcsr = MXCSR_INIT | (seed & 3u) << 13;
    memset(s, 0, sizeof(*s));
    s->mxcsr = MXCSR_INIT;
    state_merge(s, &full, set & (enabled | MXCSR));
}

// The components in which two states differ.
static u32 state_differences(const struct state *a, const struct state *b)
{
    u32 set = a->mxcsr != b->mxcsr ? MXCSR : 0;
    for (unsigned n = 0; n < 32; n++) {
        for (unsigned byte = 0; byte < 64; byte++)
            set |= a->vector[n][byte] != b->vector[n][byte] ? vector_component(n, byte) : 0;
    }
    set |= memcmp(a->mask, b->mask, sizeof(a->mask)) ? OPMASK : 0;
    return set | (memcmp(a->x87, b->x87, sizeof(a->x87)) ? X87 : 0);
}

// The forms of saving and the restoring instruction that belongs to each.
#define FORM(name, save, restore)                                               \
    static void save_##name(u8 *to, u32 set)                                    \
    {                                                                           \
        asm volatile(save " (%0)" ::"r"(to), "a"(set), "d"(0) : "memory");      \
    }                                                                           \
    static struct trap restore_##name(u8 *from, u32 set)                        \
    {                                                                           \
        return TRAP(restore " (%0)", ::"r"(from), "a"(set), "d"(0) : "memory"); \
    }
FORM(fxsave, "fxsave64", "fxrstor64")
FORM(xsave, "xsave64", "xrstor64")
FORM(xsaveopt, "xsaveopt64", "xrstor64")
FORM(xsavec, "xsavec64", "xrstor64")
FORM(xsaves, "xsaves64", "xrstors64")
#undef FORM

struct form {
    const char *name;
    void (*save)(u8 *to, u32 set);
    struct trap (*restore)(u8 *from, u32 set);
    bool compacted;
};
static const struct form fxsave = {"FXSAVE", save_fxsave, restore_fxsave, false};
static const struct form xsave = {"XSAVE", save_xsave, restore_xsave, false};
static const struct form xsaveopt = {"XSAVEOPT", save_xsaveopt, restore_xsaveopt, false};
static const struct form xsavec = {"XSAVEC", save_xsavec, restore_xsavec, true};
static const struct form xsaves = {"XSAVES", save_xsaves, restore_xsaves, true};

// Where the component lies in an area of these components (SDM vol. 1, 13.4.3); for 32, the area's size.
static u32 area_offset(u32 set, bool compacted, unsigned component)
{
    u32 end = AREA_HEADER + 64;
    for (unsigned i = 2; i < 32; i++) {
        struct cpuid c = cpuid_read(0xD, i);
        u32 offset = !compacted ? c.ebx : c.ecx & 2 ? (end + 63) & ~63u : end;
        if (i == component)
            return offset;
        if (set >> i & 1 && offset + c.eax > end)
            end = offset + c.eax;
    }
    return end;
}

static void area_clear(u8 *at)
{
    memset(at, AREA_CLEAR, AREA_BYTES);
    memset(at + AREA_HEADER, 0, 64);
}

// The first byte from..to that a save has written, or `to`.
static u32 area_written(const u8 *at, u32 from, u32 to, u8 clear)
{
    while (from < to && at[from] == clear)
        from++;
    return from;
}

static void check_area(const struct form *form, const u8 *at, u32 used, u32 set)
{
    u64 in_use = *(const u64 *)(at + AREA_HEADER), format = *(const u64 *)(at + AREA_HEADER + 8);
    expect("XCOMP_BV", format, form->compacted ? COMPACTED | set : 0);
    if (in_use & ~(u64)set || (used & set & ~X87 & TESTED) & ~in_use)
        fail("%s of %x with %x in use: got XSTATE_BV %lx", form->name, set, used, in_use);
    u32 size = area_offset(set, form->compacted, 32);
    static const char *const text = "%s of %x with %x in use: expected byte %u unchanged";
    u32 software = area_written(at, LEGACY_BYTES, AREA_HEADER, AREA_CLEAR);
    if (software != AREA_HEADER)
        fail(text, form->name, set, used, software);
    u32 header = area_written(at, AREA_HEADER + 16, AREA_HEADER + 64, 0);
    if (header != AREA_HEADER + 64)
        fail(text, form->name, set, used, header);
    u32 behind = area_written(at, size, AREA_BYTES, AREA_CLEAR);
    if (behind != AREA_BYTES)
        fail(text, form->name, set, used, behind);
}

// What belongs to the set of a save besides its components. MXCSR goes with AVX too in the standard form.
static u32 with_mxcsr(const struct form *form, u32 set)
{
    return set & SSE || (!form->compacted && set & AVX) ? set | MXCSR : set;
}

static void check_restored(const struct form *form, const struct state *want, u32 used, u32 set)
{
    static struct state got;
    state_read(&got);
    u32 differ = state_differences(&got, want);
    if (differ)
        fail("%s and restore of %x with %x in use: got components %x wrong", form->name, set, used, differ);
}

// Fill, save, clobber, restore, compare.
static void round_trip(const struct form *form, u32 used, u32 set)
{
    static struct state saved, want;
    set &= enabled;
    state_make(&saved, used, 0x11);
    state_make(&want, TESTED | MXCSR, 0x42);
    area_clear(area);
    state_load(&saved);
    form->save(area, set);
    if (form != &fxsave)
        check_area(form, area, used & (enabled | MXCSR), set);
    state_load(&want);
    expect_trap(form->name, form->restore(area, set), NO_TRAP, 0);
    state_merge(&want, &saved, with_mxcsr(form, set));
    check_restored(form, &want, used & (enabled | MXCSR), set);
}

static const u32 patterns[] = {
    0,
    X87,
    SSE,
    MXCSR,
    AVX,
    SSE | AVX,
    X87 | SSE | AVX | MXCSR,
    OPMASK,
    ZMM_HI256,
    HI16_ZMM,
    SSE | OPMASK | HI16_ZMM,
    TESTED | MXCSR,
};

// Bochs 2.7 clears ZMM_Hi256 too when XRSTOR initialises AVX alone, so these two are asked for together.
static void round_trips(const struct form *form, u32 set)
{
    if (set & AVX)
        set |= ZMM_HI256;
    for (unsigned i = 0; i < ARRAY_SIZE(patterns); i++)
        round_trip(form, patterns[i], set);
}

// Every set of two or fewer components, and all but one.
static void all_subsets(const struct form *form)
{
    for (unsigned a = 0; a < 8; a++) {
        for (unsigned b = 0; b <= a; b++)
            round_trips(form, 1u << a | 1u << b);
        round_trips(form, TESTED & ~(1u << a));
    }
}

static void test_fxsave(void)
{
    bool present = start();
    round_trips(&fxsave, X87 | SSE);
    if (present)
        finish();
}

// feature: the bit of CPUID.(DH,1):EAX.
static void run_form(void (*run)(const struct form *), const struct form *form, int feature)
{
    if (!start())
        return;
    if (feature < 0 || cpuid_read(0xD, 1).eax >> feature & 1)
        run(form);
    finish();
}

static void run_all(const struct form *form)
{
    round_trips(form, TESTED);
}

// The modified optimisation (SDM vol. 1, 13.9): what a restore left unchanged need not be written again to
// the same area, but must be to another, and what has changed must be.
static void run_modified(const struct form *form)
{
    static struct state first, second;
    state_make(&first, TESTED | MXCSR, 0x11);
    state_make(&second, TESTED | MXCSR, 0x42);
    area_clear(area);
    area_clear(other_area);
    state_load(&first);
    form->save(area, enabled);
    expect_trap("restore", form->restore(area, enabled), NO_TRAP, 0);
    form->save(other_area, enabled);
    state_load(&second);
    expect_trap("restore", form->restore(other_area, enabled), NO_TRAP, 0);
    check_restored(form, &first, TESTED, enabled);
    expect_trap("restore", form->restore(area, enabled), NO_TRAP, 0);
    state_load(&second);
    form->save(area, enabled);
    state_load(&first);
    expect_trap("restore", form->restore(area, enabled), NO_TRAP, 0);
    check_restored(form, &second, TESTED, enabled);
}

// Each component in use alone: where XSAVEC writes it.
static void run_layout(const struct form *form)
{
    static struct state alone;
    for (unsigned i = 2; i < 8; i++) {
        if (!(enabled >> i & 1))
            continue;
        state_make(&alone, 1u << i, 0x11);
        area_clear(area);
        state_load(&alone);
        form->save(area, enabled);
        u32 at = area_written(area, LEGACY_BYTES, AREA_HEADER, AREA_CLEAR);
        if (at == AREA_HEADER)
            at = area_written(area, AREA_HEADER + 64, AREA_BYTES, AREA_CLEAR);
        if (at != area_offset(enabled, true, i))
            fail("component %u: expected at byte %u, got %u", i, area_offset(enabled, true, i), at);
    }
}

// A standard image as a compacted one of the set. There MXCSR counts as SSE state, which is then in use
// (13.10).
static void area_compact(u8 *to, const u8 *from, u32 set)
{
    area_clear(to);
    memcpy(to, from, LEGACY_BYTES);
    *(u64 *)(to + AREA_HEADER) = *(const u64 *)(from + AREA_HEADER) & set;
    if (*(const u32 *)(from + AREA_MXCSR) != MXCSR_INIT)
        *(u64 *)(to + AREA_HEADER) |= SSE & set;
    *(u64 *)(to + AREA_HEADER + 8) = COMPACTED | set;
    for (unsigned i = 2; i < 8; i++) {
        if (set >> i & 1)
            memcpy(to + area_offset(set, true, i), from + area_offset(set, false, i), cpuid_read(0xD, i).eax);
    }
}

// XRSTOR of compacted images that are made from standard ones.
static void run_compact_restore(const struct form *form)
{
    static struct state saved, clobber;
    state_make(&clobber, TESTED | MXCSR, 0x42);
    for (unsigned i = 0; i < ARRAY_SIZE(patterns); i++) {
        state_make(&saved, patterns[i], 0x11);
        area_clear(area);
        state_load(&saved);
        save_xsave(area, enabled);
        area_compact(other_area, area, enabled);
        state_load(&clobber);
        expect_trap("restore", form->restore(other_area, enabled), NO_TRAP, 0);
        check_restored(form, &saved, patterns[i], enabled);
    }
}

#define TEST(name, run, form, feature) \
    static void test_##name(void)      \
    {                                  \
        run_form(run, &form, feature); \
    }
TEST(xsave, run_all, xsave, -1)
TEST(xsave_subsets, all_subsets, xsave, -1)
TEST(xsave_modified, run_modified, xsave, -1)
TEST(xsaveopt, run_all, xsaveopt, 0)
TEST(xsaveopt_subsets, all_subsets, xsaveopt, 0)
TEST(xsaveopt_modified, run_modified, xsaveopt, 0)
TEST(compact_restore, run_compact_restore, xsavec, 1)
TEST(xsavec_layout, run_layout, xsavec, 1)
TEST(xsavec, run_all, xsavec, 1)
TEST(xsavec_subsets, all_subsets, xsavec, 1)
TEST(xsaves_layout, run_layout, xsaves, 3)
TEST(xsaves, run_all, xsaves, 3)
TEST(xsaves_subsets, all_subsets, xsaves, 3)
TEST(xsaves_modified, run_modified, xsaves, 3)

static const struct test tests[] = {
    {"fxsave", test_fxsave},
    {"xsave", test_xsave},
    {"xsave_subsets", test_xsave_subsets},
    {"xsave_modified", test_xsave_modified},
    {"xsaveopt", test_xsaveopt},
    {"xsaveopt_subsets", test_xsaveopt_subsets},
    {"xsaveopt_modified", test_xsaveopt_modified},
    {"compact_restore", test_compact_restore},
};
GROUP(group_xsave, "xsave", tests, true);

static const struct test compacted_tests[] = {
    {"xsavec_layout", test_xsavec_layout},
    {"xsaves_layout", test_xsaves_layout},
    {"xsavec", test_xsavec},
    {"xsavec_subsets", test_xsavec_subsets},
    {"xsaves", test_xsaves},
    {"xsaves_subsets", test_xsaves_subsets},
    {"xsaves_modified", test_xsaves_modified},
};
GROUP(group_compacted, "compacted", compacted_tests, false);
