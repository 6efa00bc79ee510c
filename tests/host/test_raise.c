// What the boot loader has left in memory moves to the top: modules, symbols and their names, on odd memory
// maps, against a model that looks at each frame.

// link: arch/memory.c arch/paging.c arch/phys_bits.c arch/device_map.c tests/host/fake_cpu.c
#include "support.h"

#include <arch/cpu.h>
#include <arch/layout.h>
#include <arch/memory.h>

#include "arch/page_table.h"
#include "arch/paging.h"
#include "fake_cpu.h"

#define MACHINE (4 * GIB + 32 * MIB)
#define LOW     (64 * MIB) // RAM below 4 GiB ends here
#define FRAMES  (MACHINE / PAGE_SIZE)
#define IMAGE   8192u // bytes
#define PIECES  (BOOT_MODULES + 2)

u64 boot_pml4[ENTRIES] __attribute__((aligned(4096)));
__asm__(".bss\n.balign 4096\n.globl image_start, image_end\nimage_start: .skip 8192\nimage_end: .text");

static struct frames frames;
static struct boot_info boot;
static u64 image;

// What lies where: symbols, their names, then the modules.
struct piece {
    u64 at, bytes;
    u8 fill;
};
static struct piece pieces[PIECES];
static unsigned count;
static u8 model[FRAMES];

static int start(void **state)
{
    (void)state;
    fake_cpu_reset();
    fake_cr3 = (uintptr_t)boot_pml4;
    memset(boot_pml4, 0, sizeof(boot_pml4));
    memory_make(MACHINE, &frames);
    boot = (struct boot_info){.bytes = 4096};
    count = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

static void again(void)
{
    stop(NULL);
    start(NULL);
}

static void add_ram(u64 from, u64 to)
{
    boot.ranges[boot.range_count++] = (struct boot_range){from, to, BOOT_MEMORY_RAM};
}

// The order is that in which they move.
static void add_piece(u64 at, u64 bytes)
{
    struct piece *p = &pieces[count];
    *p = (struct piece){at, bytes, (u8)(count + 1)};
    memset(phys_ptr(at), p->fill, bytes);
    if (count == 0) {
        boot.symbols.symbols_hpa = at;
        boot.symbols.symbols_bytes = bytes;
    } else if (count == 1) {
        boot.symbols.strings_hpa = at;
        boot.symbols.strings_bytes = bytes;
    } else {
        boot.modules[boot.module_count++] = (struct boot_module){at, at + bytes, ""};
    }
    count++;
}

static u64 piece_now(unsigned i)
{
    return i == 0 ? boot.symbols.symbols_hpa : i == 1 ? boot.symbols.strings_hpa : boot.modules[i - 2].start;
}

static u64 last_frame(u64 at, u64 bytes)
{
    return (at + bytes - 1) / PAGE_SIZE;
}

static void model_set(u64 at, u64 bytes, enum frame_owner owner)
{
    for (u64 f = at / PAGE_SIZE; bytes && f <= last_frame(at, bytes); f++)
        model[f] = (u8)owner;
}

static bool whole_in_ram(u64 frame)
{
    for (unsigned i = 0; i < boot.range_count; i++)
        if (boot.ranges[i].start <= frame * PAGE_SIZE && (frame + 1) * PAGE_SIZE <= boot.ranges[i].end)
            return frame != 0;
    return false;
}

static bool somebody_is_at(u64 frame)
{
    bool here = false;
    for (unsigned i = 0; i < count; i++)
        here |= pieces[i].bytes && pieces[i].at / PAGE_SIZE <= frame &&
                frame <= last_frame(pieces[i].at, pieces[i].bytes);
    return here;
}

// What memory_init has taken for page tables is taken as it is.
static void model_init(void)
{
    for (u64 f = 0; f < FRAMES; f++) {
        model[f] = f < frames.limit && whole_in_ram(f) ? FRAME_FREE : FRAME_NONE;
        if (f < frames.limit && frames_owned(&frames, mfn(f), 1, FRAME_MONITOR))
            model[f] = FRAME_MONITOR;
    }
    for (unsigned i = 0; i < count; i++)
        model_set(pieces[i].at, pieces[i].bytes, FRAME_NONE);
    model_set(image, IMAGE, FRAME_NONE);
    model_set(ptr_hpa(frames.state), frames.limit, FRAME_NONE);
}

static u64 model_highest(u64 wanted)
{
    for (u64 first = FRAMES - wanted; first > 0; first--) {
        u64 have = 0;
        while (have < wanted && model[first + have] == FRAME_FREE)
            have++;
        if (have == wanted)
            return first;
    }
    return 0;
}

// Returns the bytes that move.
static u64 model_raise(void)
{
    struct piece before[PIECES];
    u64 sum = 0;
    memcpy(before, pieces, sizeof(before));
    for (unsigned i = 0; i < count; i++) {
        struct piece *p = &pieces[i];
        u64 wanted = p->bytes ? last_frame(p->at, p->bytes) - p->at / PAGE_SIZE + 1 : 0;
        u64 to = wanted ? model_highest(wanted) : 0;
        if (to * PAGE_SIZE <= p->at)
            continue;
        model_set(to * PAGE_SIZE, wanted * PAGE_SIZE, FRAME_MONITOR);
        p->at = to * PAGE_SIZE + p->at % PAGE_SIZE;
        sum += wanted * PAGE_SIZE;
    }
    for (unsigned i = 0; i < count; i++)
        for (u64 f = before[i].at / PAGE_SIZE;
             before[i].bytes && f <= last_frame(before[i].at, before[i].bytes); f++)
            if (model[f] == FRAME_NONE && whole_in_ram(f) && !somebody_is_at(f))
                model[f] = FRAME_FREE;
    return sum;
}

static void check(void)
{
    for (u64 f = 0; f < frames.limit; f++)
        if (!frames_owned(&frames, mfn(f), 1, model[f]))
            fail_msg("frame 0x%llx is not %u's", (unsigned long long)f, model[f]);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(piece_now(i), pieces[i].at);
        for (u64 byte = 0; byte < pieces[i].bytes; byte++)
            assert_int_equal(((u8 *)phys_ptr(pieces[i].at))[byte], pieces[i].fill);
    }
    for (unsigned i = 0; i < boot.module_count; i++)
        assert_int_equal(boot.modules[i].end - boot.modules[i].start, pieces[i + 2].bytes);
    for (u64 byte = 0; byte < IMAGE; byte++)
        assert_int_equal(((u8 *)phys_ptr(image))[byte], 0xee);
}

// Frames in [from, to) are held back meanwhile, as far ones are.
static void raise_and_check(u64 from, u64 to)
{
    memset(phys_ptr(image), 0xee, IMAGE);
    assert_int_equal(memory_init(&frames, &boot, image), 0);
    model_init();
    u64 all = memory_kept_bytes();
    frames_hold(&frames, from, to);
    for (u64 f = from / PAGE_SIZE; f < to / PAGE_SIZE; f++)
        model[f] = model[f] == FRAME_FREE ? FRAME_HELD : model[f];
    u64 moves = model_raise();
    assert_int_equal(memory_raise(&frames, &boot, image), moves);
    assert_int_equal(memory_kept_bytes(), all - moves);
    check();
}

// GRUB's layout: the image at the top, all else at the bottom.
static void as_grub_leaves_it(void **state)
{
    (void)state;
    add_ram(0, 0x9f000);
    add_ram(MIB, LOW);
    image = LOW - 2 * MIB;
    add_piece(MIB + 0x40, 0x23456);
    add_piece(MIB + 0x23498, 0x11111); // in the frame in which the symbols end
    add_piece(2 * MIB, 14 * MIB + 5);
    add_piece(18 * MIB, MIB);
    raise_and_check(0, 0);
    assert_true(frames_owned(&frames, hpa_mfn(MIB), 30 * MIB / PAGE_SIZE, FRAME_FREE));
    assert_true(pieces[2].at > 40 * MIB && pieces[3].at > 40 * MIB);
}

// All goes above 4 GiB where there is RAM, but not where it is held back.
static void above_4_gib_unless_far(void **state)
{
    (void)state;
    for (unsigned far = 0; far < 2; far++, again()) {
        add_ram(MIB, LOW);
        add_ram(4 * GIB, MACHINE);
        image = LOW - 2 * MIB;
        add_piece(2 * MIB, 100);
        add_piece(2 * MIB + 100, 0);
        add_piece(3 * MIB, 10 * MIB);
        raise_and_check(4 * GIB, far ? MACHINE : 4 * GIB);
        assert_int_equal(pieces[2].at > 4 * GIB, !far);
    }
}

// What fits nowhere above itself stays, and others go.
static void no_room(void **state)
{
    (void)state;
    add_ram(MIB, LOW);
    image = 2 * MIB;
    add_piece(8 * MIB, PAGE_SIZE);
    add_piece(LOW - PAGE_SIZE, PAGE_SIZE);
    add_piece(9 * MIB, 40 * MIB);
    add_piece(4 * MIB, MIB);
    raise_and_check(0, 0);
    assert_int_equal(pieces[1].at, LOW - PAGE_SIZE);
    assert_int_equal(pieces[2].at, 9 * MIB);
    assert_true(pieces[3].at > 49 * MIB);
}

static bool is_taken(u64 at, u64 bytes)
{
    bool taken = at < image + IMAGE && image < at + bytes;
    for (unsigned i = 0; i < count; i++)
        taken |= at < pieces[i].at + pieces[i].bytes && pieces[i].at < at + bytes;
    return taken;
}

// Somewhere in RAM where nothing is; modules begin with a frame.
static void add_random_piece(void)
{
    const struct boot_range *r = &boot.ranges[random_below(boot.range_count)];
    u64 room = r->end - r->start, align = count < 2 ? 1 : PAGE_SIZE;
    u64 at = align_up(r->start + random_below(room), align);
    u64 bytes = random_below(random_below(2) ? 3 * PAGE_SIZE : 8 * MIB);
    if (at + bytes > r->end || at + bytes > 4 * GIB || is_taken(at, bytes))
        at = bytes = 0;
    add_piece(at, bytes);
}

static void random_map(void)
{
    for (u64 at = MIB; at < LOW - MIB;) {
        u64 end = lesser(LOW, at + MIB + random_below(30 * MIB));
        add_ram(at, end);
        at = end + random_below(2) * random_below(4 * MIB);
    }
    if (random_below(4) == 0)
        add_ram(4 * GIB + random_below(MIB), MACHINE - random_below(MIB));
}

static void anywhere(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 30; round++, again()) {
        u64 from = random_below(LOW), held = random_below(3) ? 0 : random_below(LOW - from);
        random_map();
        image = align_down(boot.ranges[0].start + 2 * MIB, 2 * MIB);
        if (image + IMAGE > boot.ranges[0].end)
            image = align_up(boot.ranges[0].start, PAGE_SIZE);
        for (u64 i = 2 + random_below(PIECES - 1); i; i--)
            add_random_piece();
        raise_and_check(align_down(from, PAGE_SIZE), align_down(from + held, PAGE_SIZE));
    }
}

#define WITH_MACHINE(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MACHINE(as_grub_leaves_it),
        WITH_MACHINE(above_4_gib_unless_far),
        WITH_MACHINE(no_room),
        WITH_MACHINE(anywhere),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
