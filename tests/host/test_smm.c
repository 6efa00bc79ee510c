// The pages that an SMI uses at the SMBASE of reset: whose they are, and what is in them.

// link: arch/smm.c arch/multiboot2.c
#include "support.h"

#include <arch/phys.h>
#include <arch/smm.h>

#define CODE  0x38000ull
#define STATE 0x3f000ull

static struct frames frames;
static struct boot_info boot;

static void make(void)
{
    memory_make(2 * MIB, &frames);
    boot = (struct boot_info){.range_count = 2,
                              .ranges = {{MIB, 2 * MIB, BOOT_MEMORY_RAM}, {0, MIB, BOOT_MEMORY_RAM}}};
    memset(phys_ptr(CODE), 0xcc, PAGE_SIZE);
}

static bool owned(u64 hpa, enum frame_owner owner)
{
    return frames_owned(&frames, hpa_mfn(hpa), 1, owner);
}

static bool has_rsm(void)
{
    const u8 *code = phys_ptr(CODE);
    return code[0] == 0x0f && code[1] == 0xaa;
}

static void guarded(void **state)
{
    (void)state;
    make();
    assert_int_equal(smm_guard(&frames, &boot), SMM_GUARDED);
    assert_true(owned(CODE, FRAME_MONITOR) && owned(STATE, FRAME_MONITOR));
    assert_true(owned(CODE - PAGE_SIZE, FRAME_FREE) && owned(STATE + PAGE_SIZE, FRAME_FREE));
    assert_true(has_rsm());
    frames_keep(&frames);
    frames_rewind(&frames);
    assert_true(owned(CODE, FRAME_KEPT) && owned(STATE, FRAME_KEPT));
    memory_gone();
}

// What the firmware has is not written to, and the other page is no guest's either.
static void firmware(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        u64 gone = i ? CODE : STATE;
        make();
        boot.ranges[1].end = STATE - 8 * PAGE_SIZE;
        frames_reserve(&frames, gone, gone + 1);
        frames.state[hpa_mfn(gone).n] = FRAME_NONE;
        assert_int_equal(smm_guard(&frames, &boot), SMM_FIRMWARE);
        assert_true(owned(gone, FRAME_NONE) && owned(i ? STATE : CODE, FRAME_MONITOR));
        assert_false(has_rsm());
        memory_gone();
    }
}

// RAM that is not free has come from the boot loader.
static void in_use(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        make();
        frames_reserve(&frames, i ? CODE : STATE, (i ? CODE : STATE) + 1);
        assert_int_equal(smm_guard(&frames, &boot), SMM_IN_USE);
        assert_false(has_rsm());
        memory_gone();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guarded),
        cmocka_unit_test(firmware),
        cmocka_unit_test(in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
