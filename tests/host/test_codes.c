// What leaves a machine as QR codes: gzip's format, judged by zlib; QR codes of every version, judged by
// zbarimg for one of each and by a slow reader for random ones; the texts in them, judged by the report's
// own reader.
// link: hv/report/gzip.c hv/report/qr.c hv/report/codes.c
// libs: -lz
#include "support.h"

#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include "codes.h"
#include "gzip.h"

static const char ALPHABET[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

// --- gzip ---

static struct gzip packer;

static void check_pack(const u8 *input, size_t size)
{
    size_t room = size * 2 + 1000;
    u8 *packed = malloc(room), *unpacked = malloc(size + 1);
    size_t used = gzip_pack(&packer, input, size, packed, room);
    assert_in_range(used, 18, room);
    u8 *exact = malloc(used - 1); // one byte too short: it says the same, and stays inside
    assert_int_equal(gzip_pack(&packer, input, size, exact, used - 1), used);
    assert_memory_equal(exact, packed, used - 1);
    free(exact);
    z_stream z = {
        .next_in = packed, .avail_in = (uInt)used, .next_out = unpacked, .avail_out = (uInt)size + 1};
    assert_int_equal(inflateInit2(&z, 16 + 15), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, size);
    assert_int_equal(z.avail_in, 0);
    assert_memory_equal(unpacked, input, size);
    inflateEnd(&z);
    free(packed);
    free(unpacked);
}

// Bytes of so many kinds, with pieces of what came before.
static void fill(u8 *bytes, size_t size, unsigned kinds, unsigned repeats)
{
    for (size_t i = 0; i < size;) {
        if (i && random_below(100) < repeats) {
            size_t from = random_below(i), count = random_below(400);
            for (; count && i < size; count--)
                bytes[i++] = bytes[from++];
        } else {
            bytes[i++] = (u8)random_below(kinds);
        }
    }
}

static void packs_anything(void **state)
{
    (void)state;
    static u8 bytes[200000];
    static const unsigned kinds[] = {1, 2, 10, 100, 256};
    for (unsigned round = 0; round < 120; round++) {
        size_t size = random_below(round % 20 ? 3000 : sizeof(bytes));
        fill(bytes, size, kinds[round % 5], (unsigned)random_below(3) * 10);
        check_pack(bytes, size);
    }
    for (size_t size = 0; size < 12; size++)
        check_pack(bytes, size);
    memset(bytes, 'a', sizeof(bytes));
    check_pack(bytes, sizeof(bytes));
}

// Counts like Fibonacci's numbers make codes longer than the format has; other bytes between them, in no
// order, so that matches do not take them.
static void packs_lopsided(void **state)
{
    (void)state;
    static u8 bytes[16000];
    size_t size = 0;
    for (u32 symbol = 0, count = 1, before = 0; symbol < 17; symbol++) {
        memset(bytes + size, (int)symbol, count);
        size += count;
        u32 next = count + before;
        before = count;
        count = next;
    }
    while (size < sizeof(bytes))
        bytes[size++] = (u8)(20 + random_below(230));
    for (size_t i = 0; i < size; i++) {
        size_t other = random_below(size);
        u8 byte = bytes[i];
        bytes[i] = bytes[other];
        bytes[other] = byte;
    }
    check_pack(bytes, size);
}

// Lines as the monitor's: not much larger than what zlib makes of them at its best.
static void packs_small(void **state)
{
    (void)state;
    static char text[100000];
    static u8 packed[100000];
    size_t size = 0;
    for (unsigned i = 0; i < 168; i++)
        size += (size_t)fmt(
            text + size, sizeof(text) - size,
            "{\"penumbra\":\"result\",\"word\":\"0123456789ab\",\"configuration\":\"ept,vpid=off\","
            "\"workload\":\"w%u\",\"median\":%lu,\"lowest\":%lu,\"highest\":%lu}\n",
            i % 21, random_below(9999999), random_below(9999999), random_below(9999999));
    uLong theirs = sizeof(packed);
    assert_int_equal(compress2(packed, &theirs, (u8 *)text, size, 9), Z_OK);
    size_t ours = gzip_pack(&packer, text, size, packed, sizeof(packed));
    assert_in_range(ours, 18, theirs * 103 / 100 + 50);
    assert_int_equal(gzip_crc(gzip_crc(0, text, 10), text + 10, size - 10), crc32(0, (u8 *)text, (uInt)size));
}

// --- QR codes, read by a slow reader ---

static struct qr code;

static bool dark(unsigned x, unsigned y)
{
    return code.dark[y * code.side + x];
}

// The format's 15 bits at both places must be the same, and a word of its BCH code. Returns the mask.
static unsigned read_format(void)
{
    static const u8 first_x[15] = {8, 8, 8, 8, 8, 8, 8, 8, 7, 5, 4, 3, 2, 1, 0};
    static const u8 first_y[15] = {0, 1, 2, 3, 4, 5, 7, 8, 8, 8, 8, 8, 8, 8, 8};
    unsigned first = 0, second = 0;
    for (unsigned i = 0; i < 15; i++) {
        first |= (unsigned)dark(first_x[i], first_y[i]) << i;
        second |= (unsigned)(i < 8 ? dark(code.side - 1 - i, 8) : dark(8, code.side - 15 + i)) << i;
    }
    assert_int_equal(first, second);
    assert_true(dark(8, code.side - 8));
    unsigned rest = first ^ 0x5412, value = rest >> 10;
    for (int bit = 14; bit >= 10; bit--)
        rest ^= rest >> bit & 1 ? 0x537u << (bit - 10) : 0;
    assert_int_equal(rest, 0);
    assert_int_equal(value >> 3, 0); // level M
    return value & 7;
}

static bool masked(unsigned mask, unsigned i, unsigned j) // as the standard has them: row i, column j
{
    const bool rules[8] = {(i + j) % 2 == 0,
                           i % 2 == 0,
                           j % 3 == 0,
                           (i + j) % 3 == 0,
                           (i / 2 + j / 3) % 2 == 0,
                           (i * j) % 2 + (i * j) % 3 == 0,
                           ((i * j) % 2 + (i * j) % 3) % 2 == 0,
                           ((i + j) % 2 + (i * j) % 3) % 2 == 0};
    return rules[mask];
}

// The data codewords of the code, taken apart by the numbers that qr_room leads to: the reader checks the
// text only; that blocks are as the standard says, and their error correction, is zbarimg's to judge.
static unsigned read_bits(u8 *bits)
{
    unsigned mask = read_format(), count = 0;
    for (int right = (int)code.side - 1, up = 1; right > 0; right -= 2, up = !up) {
        right -= right == 6;
        for (unsigned i = 0; i < code.side; i++) {
            unsigned y = up ? code.side - 1 - i : i;
            for (unsigned x = (unsigned)right; x + 1 >= (unsigned)right && x <= (unsigned)right; x--) {
                if (!code.fixed[y * code.side + x])
                    bits[count++] = dark(x, y) ^ masked(mask, y, x);
            }
        }
    }
    return count;
}

// GF(256) by discrete logarithms.
static u8 power[256], logarithm[256];

static void field_make(void)
{
    for (unsigned i = 0, value = 1; i < 255; i++) {
        power[i] = (u8)value;
        logarithm[value] = (u8)i;
        value = value << 1 ^ (value & 0x80 ? 0x11d : 0);
    }
}

static u8 times(u8 a, u8 b)
{
    return a && b ? power[(logarithm[a] + logarithm[b]) % 255] : 0;
}

// A block is a multiple of the generator: each of its powers' values is 0.
static void check_syndromes(const u8 *block, unsigned size, unsigned ecc)
{
    for (unsigned i = 0; i < ecc; i++) {
        u8 value = 0;
        for (unsigned j = 0; j < size; j++)
            value = times(value, power[i]) ^ block[j];
        assert_int_equal(value, 0);
    }
}

// Some of the versions' blocks at level M: {version, blocks, codewords of all, of them for error correction
// in each block}, from table 9.
static const struct {
    unsigned version, blocks, codewords, ecc;
} blocks_of[] = {{1, 1, 26, 10},   {5, 2, 134, 24},   {7, 4, 196, 18},    {10, 5, 346, 26},
                 {14, 9, 581, 24}, {18, 13, 901, 26}, {25, 21, 1588, 28}, {40, 49, 3706, 28}};

static void check_text(unsigned which, const char *text, size_t length)
{
    static u8 bits[QR_SIDE_MAX * QR_SIDE_MAX], sent[QR_CODEWORDS], data[QR_CODEWORDS];
    unsigned blocks = blocks_of[which].blocks, all = blocks_of[which].codewords, ecc = blocks_of[which].ecc;
    unsigned own = all - blocks * ecc, longer = own % blocks, at = 0;
    assert_in_range(read_bits(bits), all * 8, all * 8 + 7);
    memset(sent, 0, sizeof(sent));
    for (unsigned i = 0; i < all * 8; i++)
        sent[i / 8] |= (u8)(bits[i] << (7 - i % 8));
    for (unsigned b = 0; b < blocks; b++) {
        u8 block[200];
        unsigned size = 0;
        for (unsigned i = 0; i < own / blocks; i++)
            block[size++] = sent[i * blocks + b];
        if (b >= blocks - longer)
            block[size++] = sent[own / blocks * blocks + b - (blocks - longer)];
        memcpy(data + at, block, size);
        at += size;
        for (unsigned i = 0; i < ecc; i++)
            block[size++] = sent[own + i * blocks + b];
        check_syndromes(block, size, ecc);
    }
    unsigned bit = 0;
#define TAKE(n)                                                        \
    ({                                                                 \
        unsigned value = 0;                                            \
        for (unsigned k = 0; k < (n); k++, bit++)                      \
            value = value << 1 | (data[bit / 8] >> (7 - bit % 8) & 1); \
        value;                                                         \
    })
    assert_int_equal(TAKE(4), 2);
    unsigned version = blocks_of[which].version;
    assert_int_equal(TAKE(version < 10 ? 9 : version < 27 ? 11 : 13), length);
    for (size_t i = 0; i < length; i += 2) {
        unsigned value = i + 1 < length ? TAKE(11) : TAKE(6);
        if (i + 1 < length) {
            assert_int_equal(ALPHABET[value / 45], text[i]);
            assert_int_equal(ALPHABET[value % 45], text[i + 1]);
        } else {
            assert_int_equal(ALPHABET[value], text[i]);
        }
    }
}

static void random_text(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        text[i] = ALPHABET[random_below(45)];
}

static void random_codes_are_read(void **state)
{
    (void)state;
    static char text[5000];
    field_make();
    for (unsigned round = 0; round < 200; round++) {
        unsigned which = round % ARRAY_SIZE(blocks_of), version = blocks_of[which].version;
        size_t length = random_below(qr_room(version)) + 1;
        random_text(text, length);
        qr_make(&code, version, text, length);
        assert_int_equal(code.side, 17 + 4 * version);
        check_text(which, text, length);
    }
}

// As a picture, four pixels a module.
static void picture_write(const char *name)
{
    unsigned side = (code.side + 8) * 4;
    FILE *out = fopen(name, "wb");
    assert_non_null(out);
    fprintf(out, "P5\n%u %u\n255\n", side, side);
    for (unsigned y = 0; y < side; y++) {
        for (unsigned x = 0; x < side; x++) {
            unsigned row = y / 4 - 4, column = x / 4 - 4;
            fputc(row < code.side && column < code.side && dark(column, row) ? 0 : 255, out);
        }
    }
    fclose(out);
}

static size_t run_and_read(const char *command, char *text, size_t size)
{
    FILE *in = popen(command, "r");
    assert_non_null(in);
    size_t length = fread(text, 1, size - 1, in);
    text[length] = 0;
    pclose(in);
    return length;
}

static void zbarimg_reads_each_version(void **state)
{
    (void)state;
    static char text[5000], read[5100], command[200], name[64];
    fmt(name, sizeof(name), "/tmp/test_codes.%u.pgm", (unsigned)getpid());
    fmt(command, sizeof(command), "zbarimg --raw -q --nodbus -Sdisable -Sqrcode.enable %s", name);
    for (unsigned version = 1; version <= QR_VERSIONS; version++) {
        size_t length = qr_room(version);
        random_text(text, length);
        for (size_t i = 0; i < length; i++) // zbarimg ends its text with a newline
            text[i] = text[i] == ' ' ? 'X' : text[i];
        text[length] = 0;
        qr_make(&code, version, text, length);
        picture_write(name);
        assert_int_equal(run_and_read(command, read, sizeof(read)), length + 1);
        read[length] = 0;
        assert_string_equal(read, text);
    }
    unlink(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_anything),
        cmocka_unit_test(packs_lopsided),
        cmocka_unit_test(packs_small),
        cmocka_unit_test(random_codes_are_read),
        cmocka_unit_test(zbarimg_reads_each_version),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
