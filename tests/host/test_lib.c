// arch/lib.c against the C library, under other names, with all small sizes, offsets and overlaps.
#include "support.h"

#define memcpy  lib_memcpy
#define memmove lib_memmove
#define memset  lib_memset
#define memcmp  lib_memcmp
#define strlen  lib_strlen
#define strcmp  lib_strcmp
#define strncmp lib_strncmp
#define strchr  lib_strchr
#include "arch/lib.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strcmp
#undef strncmp
#undef strchr

#define SIZE 96

static void fill_random(u8 *buffer)
{
    for (unsigned i = 0; i < SIZE; i++)
        buffer[i] = (u8)random_u64();
}

static void moves_agree(void **state)
{
    (void)state;
    u8 ours[SIZE], theirs[SIZE];
    for (unsigned round = 0; round < 200000; round++) {
        size_t size = random_below(40), from = random_below(SIZE - size), to = random_below(SIZE - size);
        fill_random(ours);
        memcpy(theirs, ours, SIZE);
        assert_ptr_equal(lib_memmove(ours + to, ours + from, size), ours + to);
        memmove(theirs + to, theirs + from, size);
        assert_memory_equal(ours, theirs, SIZE);
    }
}

static void copies_and_fills_agree(void **state)
{
    (void)state;
    u8 source[SIZE], ours[SIZE], theirs[SIZE];
    for (unsigned round = 0; round < 100000; round++) {
        size_t size = random_below(40), from = random_below(SIZE - size), to = random_below(SIZE - size);
        fill_random(source);
        fill_random(ours);
        memcpy(theirs, ours, SIZE);
        assert_ptr_equal(lib_memcpy(ours + to, source + from, size), ours + to);
        memcpy(theirs + to, source + from, size);
        assert_ptr_equal(lib_memset(ours + from, (int)source[0] - 256, size), ours + from);
        memset(theirs + from, source[0], size);
        assert_memory_equal(ours, theirs, SIZE);
    }
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void comparisons_agree(void **state)
{
    (void)state;
    char a[8], b[8];
    for (unsigned round = 0; round < 200000; round++) {
        for (unsigned i = 0; i < 8; i++) {
            a[i] = (char)("\0a\xff"[random_below(3)]);
            b[i] = random_below(4) ? a[i] : (char)("\0b\x80"[random_below(3)]);
        }
        a[7] = b[7] = 0;
        size_t size = random_below(9);
        assert_int_equal(sign(lib_memcmp(a, b, size)), sign(memcmp(a, b, size)));
        assert_int_equal(sign(lib_strncmp(a, b, size)), sign(strncmp(a, b, size)));
        assert_int_equal(sign(lib_strcmp(a, b)), sign(strcmp(a, b)));
        assert_int_equal(lib_strlen(a), strlen(a));
        int c = "\0ab\xff"[random_below(4)];
        assert_ptr_equal(lib_strchr(a, c), strchr(a, c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_agree),
        cmocka_unit_test(copies_and_fills_agree),
        cmocka_unit_test(comparisons_agree),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
