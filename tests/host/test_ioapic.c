// The IOAPIC model: registers as Linux finds and programs them, edges, levels, and random operations against
// a model that keeps each field of each entry by itself.

// link: hv/devices/ioapic.c
#include "hv/devices/ioapic.h"
#include "support.h"

enum { ID = 0, VERSION = 1, ARBITRATION = 2, REDIRECTION = 0x10 };
#define LEVEL  0x08000u
#define MASKED 0x10000u

struct chip {
    struct ioapic io;
    unsigned messages;
    unsigned vector, mode, destination; // of the last message
};

static void delivered(void *context, u8 vector, enum ioapic_delivery mode, u8 destination)
{
    struct chip *c = context;
    c->messages++;
    c->vector = vector;
    c->mode = mode;
    c->destination = destination;
}

static struct chip *chip_make(void)
{
    static struct chip c;
    memset(&c, 0, sizeof(c));
    ioapic_init(&c.io, delivered, &c);
    return &c;
}

static u32 get(struct chip *c, u32 reg)
{
    ioapic_write(&c->io, 0x00, 4, reg);
    assert_int_equal(ioapic_read(&c->io, 0x00, 4), reg);
    return ioapic_read(&c->io, 0x10, 4);
}

static void set(struct chip *c, u32 reg, u32 value)
{
    ioapic_write(&c->io, 0x00, 4, reg);
    ioapic_write(&c->io, 0x10, 4, value);
}

// As Linux does: the high half first, so that the entry is whole when it is unmasked.
static void program(struct chip *c, unsigned pin, u32 low, u8 destination)
{
    set(c, REDIRECTION + 2 * pin + 1, (u32)destination << 24);
    set(c, REDIRECTION + 2 * pin, low);
}

static void test_reset(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    assert_int_equal(get(c, ID), 0);
    assert_int_equal(get(c, VERSION), 0x00170020);
    assert_int_equal(get(c, ARBITRATION), 0);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        assert_int_equal(get(c, REDIRECTION + 2 * pin), MASKED);
        assert_int_equal(get(c, REDIRECTION + 2 * pin + 1), 0);
        ioapic_set_line(&c->io, pin, true);
    }
    assert_int_equal(c->messages, 0);
}

static void test_registers(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    set(c, ID, 0xffffffff);
    assert_int_equal(get(c, ID), 0x0f000000);
    assert_int_equal(get(c, ARBITRATION), 0x0f000000);
    set(c, VERSION, 0);
    assert_int_equal(get(c, VERSION), 0x00170020);
    set(c, REDIRECTION + 46, 0xffffffff);
    set(c, REDIRECTION + 47, 0xffffffff);
    assert_int_equal(get(c, REDIRECTION + 46), 0x0001afff);
    assert_int_equal(get(c, REDIRECTION + 47), 0xff000000);
    for (unsigned reg = 3; reg < 256; reg++) { // what is not there
        if (reg == REDIRECTION)
            reg += 2 * IOAPIC_PINS;
        set(c, reg, 0xffffffff);
        assert_int_equal(get(c, reg), 0);
    }
}

static void test_access_sizes(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    set(c, REDIRECTION, 0x12345);
    for (u32 offset = 0; offset < PAGE_SIZE; offset++) {
        for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
            bool there = bytes == 4 && (offset == 0 || offset == 0x10);
            if (!there && !(bytes == 4 && offset == 0x40))
                ioapic_write(&c->io, offset, bytes, 0xffffffff);
            if (!there)
                assert_int_equal(ioapic_read(&c->io, offset, bytes), 0);
        }
    }
    assert_int_equal(ioapic_read(&c->io, 0, 4), REDIRECTION);
    assert_int_equal(ioapic_read(&c->io, 0x10, 4), 0x12345 & 0x1afff);
}

static void test_edge(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    program(c, 4, 0x31, 7);
    assert_int_equal(c->messages, 0);
    ioapic_set_line(&c->io, 4, true);
    assert_int_equal(c->messages, 1);
    assert_int_equal(c->vector, 0x31);
    assert_int_equal(c->mode, IOAPIC_FIXED);
    assert_int_equal(c->destination, 7);
    ioapic_set_line(&c->io, 4, true);
    ioapic_resample(&c->io, 4);
    ioapic_write(&c->io, 0x40, 4, 0x31);
    ioapic_set_line(&c->io, 4, false);
    assert_int_equal(c->messages, 1);
    ioapic_set_line(&c->io, 4, true);
    assert_int_equal(c->messages, 2);
}

static void test_edge_while_masked_is_lost(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    program(c, 4, MASKED | 0x31, 0);
    ioapic_set_line(&c->io, 4, true);
    program(c, 4, 0x31, 0);
    assert_int_equal(c->messages, 0);
    ioapic_set_line(&c->io, 4, false);
    ioapic_set_line(&c->io, 4, true);
    assert_int_equal(c->messages, 1);
}

static void test_level(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    program(c, 9, LEVEL | 0x52, 0);
    ioapic_resample(&c->io, 9);
    assert_int_equal(c->messages, 0);
    ioapic_set_line(&c->io, 9, true);
    assert_int_equal(c->messages, 1);
    ioapic_set_line(&c->io, 9, true);
    assert_int_equal(c->messages, 1);
    ioapic_resample(&c->io, 9);
    assert_int_equal(c->messages, 2);
    ioapic_write(&c->io, 0x40, 4, 0x51);
    assert_int_equal(c->messages, 2);
    ioapic_write(&c->io, 0x40, 4, 0x52);
    assert_int_equal(c->messages, 3);
    ioapic_set_line(&c->io, 9, false);
    ioapic_resample(&c->io, 9);
    assert_int_equal(c->messages, 3);
}

static void test_level_mask(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    program(c, 9, LEVEL | MASKED | 0x52, 0);
    ioapic_set_line(&c->io, 9, true);
    ioapic_resample(&c->io, 9);
    assert_int_equal(c->messages, 0);
    program(c, 9, LEVEL | 0x52, 0);
    assert_int_equal(c->messages, 1);
    program(c, 9, LEVEL | 0x53, 1); // unmasked before: nothing new
    assert_int_equal(c->messages, 1);
    program(c, 9, 0x53, 1); // an edge-triggered pin does not look at its line
    assert_int_equal(c->messages, 1);
    program(c, 9, LEVEL | 0x53, 1);
    assert_int_equal(c->messages, 2);
    assert_int_equal(c->vector, 0x53);
}

static void test_delivery_modes(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    for (unsigned mode = 0; mode < 8; mode++) {
        for (unsigned vector = 0; vector < 256; vector++) {
            c->messages = 0;
            program(c, 3, mode << 8 | vector, 0xa5);
            ioapic_set_line(&c->io, 3, true);
            ioapic_set_line(&c->io, 3, false);
            bool expected = mode == 4 || (mode < 2 && vector >= 16);
            assert_int_equal(c->messages, expected);
            if (expected) {
                assert_int_equal(c->mode, mode);
                assert_int_equal(c->vector, vector);
                assert_int_equal(c->destination, 0xa5);
            }
        }
    }
}

static void set_line_24(void *io)
{
    ioapic_set_line(io, IOAPIC_PINS, true);
}
static void resample_24(void *io)
{
    ioapic_resample(io, IOAPIC_PINS);
}

static void test_no_such_pin(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    assert_non_null(expect_panic(set_line_24, &c->io));
    assert_non_null(expect_panic(resample_24, &c->io));
}

struct pin_model {
    bool asserted, level, masked;
    unsigned vector, mode;
    u8 destination;
};

static bool deliverable(const struct pin_model *p)
{
    return !p->masked && (p->mode == 4 || (p->mode < 2 && p->vector > 15));
}

static unsigned model_program(struct pin_model *p, u32 low)
{
    bool before = p->level && !p->masked;
    p->vector = low & 0xff;
    p->mode = low >> 8 & 7;
    p->level = low & LEVEL;
    p->masked = low & MASKED;
    return !before && p->level && p->asserted && deliverable(p);
}

// One random operation on the chip; returns how many messages the model expects.
static unsigned random_step(struct chip *c, struct pin_model *pins)
{
    unsigned pin = (unsigned)random_below(IOAPIC_PINS), expected = 0;
    struct pin_model *p = &pins[pin];
    u32 value = (u32)random_u64();
    switch (random_below(6)) {
    case 0:
        set(c, REDIRECTION + 2 * pin, value & (random_below(2) ? 0xfffff0ff : 0xffffffff));
        return model_program(p, (u32)c->io.entry[pin]);
    case 1:
        set(c, REDIRECTION + 2 * pin + 1, value);
        p->destination = value >> 24;
        return 0;
    case 2:
        ioapic_resample(&c->io, pin);
        return p->level && p->asserted && deliverable(p);
    case 3:
        ioapic_write(&c->io, 0x40, 4, value);
        for (unsigned i = 0; i < IOAPIC_PINS; i++)
            expected += pins[i].vector == (value & 0xff) && pins[i].level && pins[i].asserted &&
                        deliverable(&pins[i]);
        return expected;
    default:
        ioapic_set_line(&c->io, pin, value & 1);
        expected = (value & 1) && !p->asserted && deliverable(p);
        p->asserted = value & 1;
        return expected;
    }
}

static void test_random(void **state)
{
    (void)state;
    struct chip *c = chip_make();
    struct pin_model pins[IOAPIC_PINS] = {0};
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        pins[pin].masked = true;
    random_start();
    for (unsigned i = 0; i < 200000; i++) {
        c->messages = 0;
        unsigned expected = random_step(c, pins);
        assert_int_equal(c->messages, expected);
    }
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        assert_int_equal(get(c, REDIRECTION + 2 * pin + 1) >> 24, pins[pin].destination);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset),        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_access_sizes), cmocka_unit_test(test_edge),
        cmocka_unit_test(test_level),        cmocka_unit_test(test_edge_while_masked_is_lost),
        cmocka_unit_test(test_level_mask),   cmocka_unit_test(test_delivery_modes),
        cmocka_unit_test(test_no_such_pin),  cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
