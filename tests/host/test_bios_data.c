// The BIOS data area against the offsets of the PC/AT Technical Reference, byte by byte.

// link: hv/guest/bios_data.c
#include "support.h"

#include "hv/guest/bios_data.h"

static u8 memory[0xa0000], written[0xa0000];

static void copy(void *context, u64 gpa, const void *from, u64 bytes)
{
    (void)context;
    assert_true(gpa + bytes <= sizeof(memory));
    memcpy(memory + gpa, from, bytes);
    memset(written + gpa, 1, bytes);
}

static unsigned word(unsigned gpa)
{
    return memory[gpa] | memory[gpa + 1] << 8;
}

static void what_kernels_look_at(void **state)
{
    (void)state;
    const struct guest_ram ram = {copy, NULL, NULL};
    memset(memory, 0xcc, sizeof(memory));
    bios_data_write(&ram);
    assert_int_equal(word(0x400), 0x3f8);
    for (unsigned port = 0x402; port < 0x40e; port += 2) // COM2 to COM4, LPT1 to LPT3
        assert_int_equal(word(port), 0);
    assert_int_equal(word(0x40e), 0x9fc0);
    assert_int_equal(word(0x410), 0x202); // a numeric coprocessor, one serial port
    assert_int_equal(memory[0x412], 0);   // reserved
    assert_int_equal(word(0x413), 639);
    assert_int_equal(memory[0x9fc00], 1);
    assert_int_equal(word(0x40e) * 16 + memory[0x9fc00] * 1024, 0xa0000);
    assert_int_equal(word(0x413) * 1024, word(0x40e) * 16);
    for (unsigned gpa = 0; gpa < sizeof(memory); gpa++)
        assert_int_equal(written[gpa], (gpa >= 0x400 && gpa < 0x415) || gpa == 0x9fc00);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_kernels_look_at)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
