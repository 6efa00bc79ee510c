// The interrupt controllers against slow ones, which keep the inputs as a list in order of priority and walk
// it. Random lines, commands, acknowledgements and polls; then what kernels do.

// link: hv/devices/pic.c
#include "support.h"

#include "hv/devices/pic.h"

struct slow {
    unsigned order[8]; // inputs, the highest priority first
    bool requested[8], served[8], masked[8], line[8];
    bool auto_eoi, rotate_auto, special;
    unsigned base;
};

static struct pic pic;
static struct slow slow[2];

// The input that asks, or 8: the list down to what is being served.
static unsigned slow_wanted(const struct slow *s)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned input = s->order[i];
        if (s->served[input] && !(s->special && s->masked[input]))
            return 8;
        if (s->requested[input] && !s->masked[input])
            return input;
    }
    return 8;
}

static void slow_cascade(void)
{
    slow[0].requested[2] = slow_wanted(&slow[1]) != 8;
}

static void slow_to_the_end(struct slow *s, unsigned input)
{
    while (s->order[7] != input) {
        unsigned first = s->order[0];
        memmove(s->order, s->order + 1, 7 * sizeof(s->order[0]));
        s->order[7] = first;
    }
}

static unsigned slow_serve(struct slow *s)
{
    unsigned input = slow_wanted(s);
    if (input == 8)
        return 8;
    s->requested[input] = false;
    s->served[input] = !s->auto_eoi;
    if (s->auto_eoi && s->rotate_auto)
        slow_to_the_end(s, input);
    return input;
}

static unsigned slow_acknowledge(void)
{
    unsigned first = slow_serve(&slow[0]), vector = slow[0].base + (first == 8 ? 7 : first);
    if (first == 2) {
        unsigned second = slow_serve(&slow[1]);
        vector = slow[1].base + (second == 8 ? 7 : second);
    }
    slow_cascade();
    return vector;
}

static void slow_eoi(struct slow *s, unsigned input, bool rotate)
{
    s->served[input] = false;
    if (rotate)
        slow_to_the_end(s, input);
}

static void slow_nonspecific_eoi(struct slow *s, bool rotate)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned input = s->order[i];
        if (s->served[input] && !(s->special && s->masked[input])) {
            slow_eoi(s, input, rotate);
            return;
        }
    }
}

static void initialise(unsigned chip, unsigned base, unsigned icw4)
{
    static const struct slow fresh = {.order = {0, 1, 2, 3, 4, 5, 6, 7}};
    bool line[8];
    memcpy(line, slow[chip].line, sizeof(line));
    slow[chip] = fresh;
    memcpy(slow[chip].line, line, sizeof(line));
    slow[chip].base = base & 0xf8;
    slow[chip].auto_eoi = icw4 & 2;
    pic_write(&pic, chip, false, 0x11);
    pic_write(&pic, chip, true, (u8)base);
    pic_write(&pic, chip, true, chip ? 2 : 4);
    pic_write(&pic, chip, true, (u8)icw4);
}

static void command(unsigned chip, unsigned what, unsigned input)
{
    struct slow *s = &slow[chip];
    pic_write(&pic, chip, false, (u8)(what << 5 | input));
    if (what == 0 || what == 4)
        s->rotate_auto = what == 4;
    else if (what == 1 || what == 5)
        slow_nonspecific_eoi(s, what == 5);
    else if (what == 3 || what == 7)
        slow_eoi(s, input, what == 7);
    else if (what == 6)
        slow_to_the_end(s, input);
}

static unsigned byte_of(const bool bits[8])
{
    unsigned byte = 0;
    for (unsigned i = 0; i < 8; i++)
        byte |= (unsigned)bits[i] << i;
    return byte;
}

static void check_registers(unsigned chip)
{
    pic_write(&pic, chip, false, 0x0a);
    assert_int_equal(pic_read(&pic, chip, false), byte_of(slow[chip].requested));
    pic_write(&pic, chip, false, 0x0b);
    assert_int_equal(pic_read(&pic, chip, false), byte_of(slow[chip].served));
    assert_int_equal(pic_read(&pic, chip, true), byte_of(slow[chip].masked));
}

static void set_line(unsigned input, bool level)
{
    struct slow *s = &slow[input / 8];
    s->requested[input % 8] |= level && !s->line[input % 8];
    s->line[input % 8] = level;
    pic_set_line(&pic, input, level);
}

static void random_step(void)
{
    unsigned chip = (unsigned)random_below(2), value = (unsigned)random_below(256);
    unsigned input = (unsigned)random_below(16);
    switch (random_below(16)) {
    case 0:
        if (!random_below(8))
            initialise(chip, value, random_below(4) ? 1 : 3);
        break;
    case 1:
    case 2:
        pic_write(&pic, chip, true, (u8)value);
        for (unsigned i = 0; i < 8; i++)
            slow[chip].masked[i] = value >> i & 1;
        break;
    case 3:
    case 4:
    case 5:
        command(chip, random_below(3) ? 1 : value >> 5, value & 7);
        break;
    case 6:
        slow[chip].special = value & 1;
        pic_write(&pic, chip, false, value & 1 ? 0x68 : 0x48);
        break;
    case 7:
        pic_write(&pic, chip, false, 0x0c); // poll: the next read acknowledges
        value = slow_serve(&slow[chip]);
        assert_int_equal(pic_read(&pic, chip, value & 1), value == 8 ? 0 : 0x80 | value);
        break;
    case 8:
    case 9:
    case 10:
        assert_int_equal(pic_acknowledge(&pic), slow_acknowledge());
        break;
    default:
        if (input != 2)
            set_line(input, random_below(2));
    }
}

static void against_slow_ones(void **state)
{
    (void)state;
    random_start();
    memset(slow, 0, sizeof(slow));
    pic_init(&pic);
    initialise(0, 0x20, 1);
    initialise(1, 0x28, 1);
    for (unsigned step = 0; step < 500000; step++) {
        random_step();
        slow_cascade();
        assert_int_equal(pic_output(&pic), slow_wanted(&slow[0]) != 8);
        check_registers(0);
        check_registers(1);
    }
}

// As firmware leaves it: all masked, so that nothing comes before a kernel has asked.
static void at_the_start(void **state)
{
    (void)state;
    pic_init(&pic);
    for (unsigned input = 0; input < PIC_INPUTS; input++) {
        if (input == 2)
            continue;
        assert_false(pic_listens(&pic, input));
        pic_set_line(&pic, input, true);
        assert_false(pic_output(&pic));
    }
}

static void listens(void **state)
{
    (void)state;
    pic_init(&pic);
    initialise(0, 0x20, 1);
    assert_true(pic_listens(&pic, 0));
    pic_set_line(&pic, 0, true); // pending: it need not be looked for
    assert_false(pic_listens(&pic, 0));
    assert_int_equal(pic_acknowledge(&pic), 0x20);
    assert_true(pic_listens(&pic, 0));
    initialise(1, 0x28, 1);
    assert_true(pic_listens(&pic, 8));
    pic_write(&pic, 0, true, 0x04);
    assert_false(pic_listens(&pic, 8));
    assert_int_equal(pic_acknowledge(&pic), 0x27); // spurious
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_slow_ones),
        cmocka_unit_test(at_the_start),
        cmocka_unit_test(listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
