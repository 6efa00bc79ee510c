// See qr.h. The numbers in brackets are clauses of ISO/IEC 18004:2015.
#include "qr.h"

#include <arch/lib.h>

#define MASKS       8u
#define FORMAT_M    0u // level M, as the format tells it (7.9.1)
#define ECC_MAX     30u
#define ALPHABET    45u
#define PAD_ONE     0xecu
#define PAD_OTHER   0x11u
#define FINDER      7u
#define TIMING      6u // row and column of the timing patterns
#define VERSION_MIN 7u // of codes that tell their version

// Level M of table 9: error-correction codewords of a block, and blocks.
static const u8 block_ecc[QR_VERSIONS + 1] = {0,  10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22,
                                              24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28,
                                              28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28};
static const u8 block_count[QR_VERSIONS + 1] = {0,  1,  1,  1,  2,  2,  4,  4,  4,  5,  5,  5,  8,  9,
                                                9,  10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25,
                                                26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49};

static unsigned alignments(unsigned version)
{
    return version == 1 ? 0 : version / 7 + 2;
}

// Modules that are neither pattern nor format nor version, in bytes (table 1).
static unsigned codewords(unsigned version)
{
    unsigned side = QR_SIDE(version), count = alignments(version);
    unsigned modules = side * side - 3 * 64 - 2 * (side - 16) - 31;
    if (count)
        modules -= 25 * (count * count - 3) - 10 * (count - 2);
    if (version >= VERSION_MIN)
        modules -= 36;
    return modules / 8;
}

static unsigned data_codewords(unsigned version)
{
    return codewords(version) - block_ecc[version] * block_count[version];
}

static unsigned length_bits(unsigned version)
{
    return version < 10 ? 9 : version < 27 ? 11 : 13;
}

unsigned qr_room(unsigned version)
{
    unsigned bits = data_codewords(version) * 8 - 4 - length_bits(version);
    return bits / 11 * 2 + (bits % 11 >= 6);
}

// --- The text as bits (7.4.4) ---

struct bits {
    u8 *bytes;
    unsigned count;
};

static void bits_put(struct bits *b, unsigned value, unsigned count)
{
    while (count--) {
        b->bytes[b->count / 8] |= (u8)((value >> count & 1) << (7 - b->count % 8));
        b->count++;
    }
}

static unsigned character_value(char c)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
    return (unsigned)(strchr(alphabet, c) - alphabet);
}

static void text_put(struct bits *b, const char *text, size_t length)
{
    for (; length >= 2; text += 2, length -= 2)
        bits_put(b, character_value(text[0]) * ALPHABET + character_value(text[1]), 11);
    if (length)
        bits_put(b, character_value(text[0]), 6);
}

static void data_make(struct qr *q, unsigned version, const char *text, size_t length)
{
    unsigned size = data_codewords(version);
    struct bits bits = {.bytes = q->data};
    memset(q->data, 0, sizeof(q->data));
    bits_put(&bits, 2, 4); // alphanumeric mode
    bits_put(&bits, (unsigned)length, length_bits(version));
    text_put(&bits, text, length);
    unsigned left = size * 8 - bits.count;
    bits_put(&bits, 0, left < 4 ? left : 4); // the end
    bits_put(&bits, 0, (8 - bits.count % 8) % 8);
    for (unsigned i = bits.count / 8; i < size; i++)
        q->data[i] = (i - bits.count / 8) % 2 ? PAD_OTHER : PAD_ONE;
}

// --- Error correction (7.5) ---

// In GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1.
static u8 multiply(u8 a, u8 b)
{
    unsigned product = 0;
    for (unsigned bit = 8; bit--;) {
        product = product << 1 ^ (product >> 7 & 1) * 0x11d;
        product ^= (b >> bit & 1) * a;
    }
    return (u8)product;
}

// The product of x - 2^i for i below `degree`, without its leading 1, the highest power first.
static void generator_make(u8 *generator, unsigned degree)
{
    u8 root = 1;
    memset(generator, 0, degree);
    generator[degree - 1] = 1;
    for (unsigned i = 0; i < degree; i++, root = multiply(root, 2)) {
        for (unsigned j = 0; j < degree; j++)
            generator[j] = multiply(generator[j], root) ^ (j + 1 < degree ? generator[j + 1] : 0);
    }
}

static void remainder_make(u8 *remainder, const u8 *generator, unsigned degree, const u8 *data, unsigned size)
{
    memset(remainder, 0, degree);
    for (unsigned i = 0; i < size; i++) {
        u8 factor = data[i] ^ remainder[0];
        memmove(remainder, remainder + 1, degree - 1);
        remainder[degree - 1] = 0;
        for (unsigned j = 0; j < degree; j++)
            remainder[j] ^= multiply(generator[j], factor);
    }
}

// Blocks side by side, byte by byte; the last ones of them have one more byte of data than the first ones
// (7.6).
static void blocks_interleave(struct qr *q, unsigned version)
{
    unsigned count = block_count[version], ecc = block_ecc[version], size = data_codewords(version);
    unsigned shorter = count - size % count, length = size / count;
    u8 generator[ECC_MAX], remainder[ECC_MAX];
    generator_make(generator, ecc);
    const u8 *from = q->data;
    for (unsigned block = 0; block < count; block++) {
        unsigned own = length + (block >= shorter);
        remainder_make(remainder, generator, ecc, from, own);
        for (unsigned i = 0; i < own; i++)
            q->sent[i < length ? i * count + block : length * count + block - shorter] = from[i];
        for (unsigned i = 0; i < ecc; i++)
            q->sent[size + i * count + block] = remainder[i];
        from += own;
    }
}

// --- Patterns (6.3) ---

static void set_fixed(struct qr *q, unsigned x, unsigned y, bool dark)
{
    q->dark[y * q->side + x] = dark;
    q->fixed[y * q->side + x] = 1;
}

static unsigned distance(unsigned a, unsigned b)
{
    return a > b ? a - b : b - a;
}

// Squares within squares around a centre, as far as they are in the code.
static void put_squares(struct qr *q, unsigned x, unsigned y, unsigned reach, unsigned light, unsigned margin)
{
    for (unsigned row = y < reach ? 0 : y - reach; row <= y + reach && row < q->side; row++) {
        for (unsigned column = x < reach ? 0 : x - reach; column <= x + reach && column < q->side; column++) {
            unsigned dx = distance(column, x), dy = distance(row, y), ring = dx > dy ? dx : dy;
            set_fixed(q, column, row, ring != light && ring != margin);
        }
    }
}

static void put_finder(struct qr *q, unsigned x, unsigned y)
{
    put_squares(q, x, y, 4, 2, 4);
}

// The places of alignment patterns in a row or column (annex E): the first beside the timing pattern, the
// others at equal even steps back from the far edge.
static unsigned alignment_at(unsigned version, unsigned index)
{
    unsigned count = alignments(version);
    unsigned step = version == 32 ? 26 : (version * 4 + count * 2 + 1) / (count * 2 - 2) * 2;
    return index ? QR_SIDE(version) - FINDER - (count - 1 - index) * step : TIMING;
}

static void put_alignments(struct qr *q, unsigned version)
{
    unsigned last = alignments(version) - 1;
    for (unsigned i = 0; version > 1 && i <= last; i++) {
        for (unsigned j = 0; j <= last; j++) {
            bool finder = (i == 0 && j == 0) || (i == 0 && j == last) || (i == last && j == 0);
            if (!finder)
                put_squares(q, alignment_at(version, i), alignment_at(version, j), 2, 1, 3);
        }
    }
}

static void put_timing(struct qr *q)
{
    for (unsigned i = 0; i < q->side; i++) {
        set_fixed(q, i, TIMING, i % 2 == 0);
        set_fixed(q, TIMING, i, i % 2 == 0);
    }
}

// What remains of the value's bits, moved up by the generator's degree, in a BCH code (annexes C and D).
static unsigned bch(unsigned value, unsigned generator, unsigned degree)
{
    unsigned rest = value << degree;
    for (unsigned bit = 31; bit >= degree; bit--)
        rest ^= (rest >> bit & 1) * (generator << (bit - degree));
    return value << degree | rest;
}

static void put_version(struct qr *q, unsigned version)
{
    unsigned bits = bch(version, 0x1f25, 12);
    for (unsigned i = 0; version >= VERSION_MIN && i < 18; i++) {
        unsigned near = i / 3, far = q->side - 11 + i % 3;
        set_fixed(q, near, far, bits >> i & 1);
        set_fixed(q, far, near, bits >> i & 1);
    }
}

// Twice: around the first finder, and along the other two (7.9.1).
static void put_format(struct qr *q, unsigned mask)
{
    unsigned bits = bch(FORMAT_M << 3 | mask, 0x537, 10) ^ 0x5412, end = q->side - 1;
    for (unsigned i = 0; i < 15; i++) {
        bool dark = bits >> i & 1;
        unsigned near = i < 6 ? i : i < 8 ? i + 1 : 14 - i;
        if (i < 8)
            set_fixed(q, 8, near, dark);
        else
            set_fixed(q, i == 8 ? 7 : near, 8, dark);
        if (i < 8)
            set_fixed(q, end - i, 8, dark);
        else
            set_fixed(q, 8, end - 14 + i, dark);
    }
    set_fixed(q, 8, end - 7, true);
}

static void put_patterns(struct qr *q, unsigned version)
{
    put_timing(q);
    put_finder(q, 3, 3);
    put_finder(q, q->side - 4, 3);
    put_finder(q, 3, q->side - 4);
    put_alignments(q, version);
    put_version(q, version);
    put_format(q, 0);
}

// --- Data and masks (7.7.3, 7.8) ---

static void put_bit(struct qr *q, unsigned x, unsigned y, unsigned *bit, unsigned bits)
{
    unsigned at = y * q->side + x;
    if (q->fixed[at])
        return;
    q->dark[at] = *bit < bits ? q->sent[*bit / 8] >> (7 - *bit % 8) & 1 : 0;
    (*bit)++;
}

// Columns in pairs from the right, up and down in turn; the timing column is in no pair.
static void put_data(struct qr *q, unsigned version)
{
    unsigned bit = 0, bits = codewords(version) * 8;
    bool up = true;
    for (unsigned right = q->side - 1; right <= q->side; right -= 2, up = !up) {
        right -= right == TIMING;
        for (unsigned i = 0; i < q->side; i++) {
            unsigned y = up ? q->side - 1 - i : i;
            put_bit(q, right, y, &bit, bits);
            put_bit(q, right - 1, y, &bit, bits);
        }
    }
}

// Table 10.
static bool mask_at(unsigned mask, unsigned x, unsigned y)
{
    switch (mask) {
    case 0:
        return (x + y) % 2 == 0;
    case 1:
        return y % 2 == 0;
    case 2:
        return x % 3 == 0;
    case 3:
        return (x + y) % 3 == 0;
    case 4:
        return (x / 3 + y / 2) % 2 == 0;
    case 5:
        return x * y % 2 + x * y % 3 == 0;
    case 6:
        return (x * y % 2 + x * y % 3) % 2 == 0;
    default:
        return ((x + y) % 2 + x * y % 3) % 2 == 0;
    }
}

// Applied twice it is gone again.
static void apply_mask(struct qr *q, unsigned mask)
{
    for (unsigned y = 0; y < q->side; y++) {
        for (unsigned x = 0; x < q->side; x++)
            q->dark[y * q->side + x] ^= !q->fixed[y * q->side + x] && mask_at(mask, x, y);
    }
}

// Modules of a row, or of a column: `step` apart.
static unsigned line_penalty(const u8 *line, unsigned side, unsigned step)
{
    unsigned penalty = 0, run = 0, last = 0;
    for (unsigned i = 0; i < side; i++) {
        run = i && line[i * step] == line[(i - 1) * step] ? run + 1 : 1;
        penalty += run == 5 ? 3 : run > 5;
        last = (last << 1 | line[i * step]) & 0x7ff;
        if (i >= 10 && (last == 0x5d0 || last == 0x05d)) // like a finder with a light margin
            penalty += 40;
    }
    return penalty;
}

static unsigned square_penalty(const struct qr *q)
{
    unsigned penalty = 0;
    for (unsigned y = 0; y + 1 < q->side; y++) {
        for (unsigned x = 0; x + 1 < q->side; x++) {
            const u8 *at = q->dark + y * q->side + x;
            unsigned dark = 0u + at[0] + at[1] + at[q->side] + at[q->side + 1];
            penalty += dark % 4 ? 0 : 3;
        }
    }
    return penalty;
}

// What makes a code hard to read (7.8.3).
static unsigned penalty_of(const struct qr *q)
{
    unsigned penalty = square_penalty(q), dark = 0, all = q->side * q->side;
    for (unsigned i = 0; i < q->side; i++) {
        penalty += line_penalty(q->dark + i * q->side, q->side, 1);
        penalty += line_penalty(q->dark + i, q->side, q->side);
    }
    for (unsigned i = 0; i < all; i++)
        dark += q->dark[i];
    return penalty + distance(dark * 20, all * 10) / all * 10;
}

static void choose_mask(struct qr *q)
{
    unsigned best = 0, least = ~0u;
    for (unsigned mask = 0; mask < MASKS; mask++) {
        put_format(q, mask);
        apply_mask(q, mask);
        unsigned penalty = penalty_of(q);
        if (penalty < least) {
            least = penalty;
            best = mask;
        }
        apply_mask(q, mask);
    }
    put_format(q, best);
    apply_mask(q, best);
}

void qr_make(struct qr *q, unsigned version, const char *text, size_t length)
{
    q->side = QR_SIDE(version);
    memset(q->fixed, 0, sizeof(q->fixed));
    data_make(q, version, text, length);
    blocks_interleave(q, version);
    put_patterns(q, version);
    put_data(q, version);
    choose_mask(q);
}
