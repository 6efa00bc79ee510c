// See gzip.h. Matches are found by chains of places with equal hashes; a match waits if the next byte begins
// a longer one. Each block has Huffman codes of its own (RFC 1951, 3.2.7): the results are mostly digits,
// which take half as many bits then as by the fixed codes.
#include "gzip.h"

#include <arch/lib.h>

#define MATCH_MIN  3u
#define MATCH_MAX  258u
#define CHAIN      256u  // places that are tried for a match
#define NEAR       4096u // three bytes from farther away are dearer than themselves
#define END        256u  // of a block
#define LENGTHS    29u
#define DISTANCES  30u
#define CODE_BITS  15u // longest code of a literal or distance
#define PLAIN      19u // symbols that code lengths are told in
#define PLAIN_BITS 7u

struct tree {
    unsigned symbols;
    u32 counts[GZIP_SYMBOLS];
    u8 bits[GZIP_SYMBOLS];   // of each symbol's code; 0: it does not occur
    u16 codes[GZIP_SYMBOLS]; // as they are sent, first bit lowest
};

// RFC 1951, 3.2.5.
static const u16 length_base[LENGTHS] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                         31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const u8 length_extra[LENGTHS] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                         2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const u16 distance_base[DISTANCES] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                             33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                             1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};

u32 gzip_crc(u32 crc, const void *bytes, size_t size)
{
    const u8 *at = bytes;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void put_byte(struct gzip *z, u8 byte)
{
    if (z->used < z->room)
        z->output[z->used] = byte;
    z->used++;
}

static void put_bits(struct gzip *z, u64 value, unsigned count)
{
    z->bits |= value << z->bit_count;
    z->bit_count += count;
    for (; z->bit_count >= 8; z->bit_count -= 8, z->bits >>= 8)
        put_byte(z, (u8)z->bits);
}

// The two nodes of a forest that weigh least are one, until there is one tree: parent[] says of which node
// each is part.
struct forest {
    u32 weight[2 * GZIP_SYMBOLS];
    u16 parent[2 * GZIP_SYMBOLS];
    unsigned nodes;
};

static unsigned lightest(const struct forest *f)
{
    unsigned best = f->nodes;
    for (unsigned i = 0; i < f->nodes; i++) {
        if (f->weight[i] && !f->parent[i] && (best == f->nodes || f->weight[i] < f->weight[best]))
            best = i;
    }
    return best;
}

// The longest code.
static unsigned depths_find(struct tree *t)
{
    struct forest f = {.nodes = t->symbols};
    memcpy(f.weight, t->counts, t->symbols * sizeof(u32));
    for (;;) {
        unsigned one = lightest(&f);
        f.parent[one] = (u16)f.nodes;
        unsigned other = lightest(&f);
        if (other == f.nodes) {
            f.parent[one] = 0;
            break;
        }
        f.parent[other] = (u16)f.nodes;
        f.weight[f.nodes] = f.weight[one] + f.weight[other];
        f.nodes++;
    }
    unsigned longest = 0;
    for (unsigned i = 0; i < t->symbols; i++) {
        unsigned depth = 0;
        for (unsigned node = i; f.parent[node]; node = f.parent[node])
            depth++;
        t->bits[i] = (u8)depth;
        longest = depth > longest ? depth : longest;
    }
    return longest;
}

static u16 reversed(unsigned code, unsigned bits)
{
    unsigned result = 0;
    for (unsigned i = 0; i < bits; i++)
        result |= (code >> i & 1) << (bits - 1 - i);
    return (u16)result;
}

// RFC 1951, 3.2.2: codes of one length are consecutive, in the order of their symbols.
static void codes_number(struct tree *t)
{
    unsigned code = 0;
    for (unsigned bits = 1; bits <= CODE_BITS; bits++, code <<= 1) {
        for (unsigned i = 0; i < t->symbols; i++) {
            if (t->bits[i] == bits)
                t->codes[i] = reversed(code++, bits);
        }
    }
}

// Codes for what is counted, none longer than `limit`: where some are, rare symbols are taken for less rare.
// A tree of one symbol would be incomplete, so two are there always.
static void tree_make(struct tree *t, unsigned limit)
{
    unsigned used = 0;
    for (unsigned i = 0; i < t->symbols; i++)
        used += t->counts[i] > 0;
    for (unsigned i = 0; used < 2; i++) {
        used += !t->counts[i];
        t->counts[i] += !t->counts[i];
    }
    while (depths_find(t) > limit) {
        for (unsigned i = 0; i < t->symbols; i++)
            t->counts[i] = t->counts[i] / 2 + (t->counts[i] & 1);
    }
    codes_number(t);
}

static void put_symbol(struct gzip *z, const struct tree *t, unsigned symbol)
{
    put_bits(z, t->codes[symbol], t->bits[symbol]);
}

static unsigned length_index(unsigned length)
{
    unsigned i = LENGTHS - 1;
    while (length < length_base[i])
        i--;
    return i;
}

static unsigned distance_index(unsigned distance)
{
    unsigned i = DISTANCES - 1;
    while (distance < distance_base[i])
        i--;
    return i;
}

static unsigned distance_extra(unsigned index)
{
    return index < 4 ? 0 : index / 2 - 1;
}

#define TOKEN_LENGTH(token)   ((token)&0xffff)
#define TOKEN_DISTANCE(token) ((token) >> 16)

static void put_match(struct gzip *z, const struct tree *literals, const struct tree *distances, u32 token)
{
    unsigned length = length_index(TOKEN_LENGTH(token));
    unsigned distance = distance_index(TOKEN_DISTANCE(token));
    put_symbol(z, literals, END + 1 + length);
    put_bits(z, TOKEN_LENGTH(token) - length_base[length], length_extra[length]);
    put_symbol(z, distances, distance);
    put_bits(z, TOKEN_DISTANCE(token) - distance_base[distance], distance_extra(distance));
}

static void tokens_count(const struct gzip *z, struct tree *literals, struct tree *distances)
{
    for (unsigned i = 0; i < z->token_count; i++) {
        u32 token = z->tokens[i];
        if (!TOKEN_DISTANCE(token)) {
            literals->counts[token]++;
            continue;
        }
        literals->counts[END + 1 + length_index(TOKEN_LENGTH(token))]++;
        distances->counts[distance_index(TOKEN_DISTANCE(token))]++;
    }
    literals->counts[END]++;
}

// The lengths of both trees' codes, each as a symbol of `plain`: no runs are told, which would save some
// bytes a block.
static void put_trees(struct gzip *z, const struct tree *literals, const struct tree *distances)
{
    // RFC 1951, 3.2.7: the order in which the lengths of the lengths' codes are told.
    static const u8 order[PLAIN] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    u8 lengths[GZIP_SYMBOLS + DISTANCES];
    struct tree plain = {.symbols = PLAIN};
    memcpy(lengths, literals->bits, GZIP_SYMBOLS);
    memcpy(lengths + GZIP_SYMBOLS, distances->bits, DISTANCES);
    for (unsigned i = 0; i < sizeof(lengths); i++)
        plain.counts[lengths[i]]++;
    tree_make(&plain, PLAIN_BITS);
    put_bits(z, GZIP_SYMBOLS - 257, 5);
    put_bits(z, DISTANCES - 1, 5);
    put_bits(z, PLAIN - 4, 4);
    for (unsigned i = 0; i < PLAIN; i++)
        put_bits(z, plain.bits[order[i]], 3);
    for (unsigned i = 0; i < sizeof(lengths); i++)
        put_symbol(z, &plain, lengths[i]);
}

static void put_block(struct gzip *z, bool last)
{
    struct tree literals = {.symbols = GZIP_SYMBOLS}, distances = {.symbols = DISTANCES};
    tokens_count(z, &literals, &distances);
    tree_make(&literals, CODE_BITS);
    tree_make(&distances, CODE_BITS);
    put_bits(z, last, 1);
    put_bits(z, 2, 2);
    put_trees(z, &literals, &distances);
    for (unsigned i = 0; i < z->token_count; i++) {
        if (TOKEN_DISTANCE(z->tokens[i]))
            put_match(z, &literals, &distances, z->tokens[i]);
        else
            put_symbol(z, &literals, z->tokens[i]);
    }
    put_symbol(z, &literals, END);
    z->token_count = 0;
}

static void put_token(struct gzip *z, u32 token)
{
    if (z->token_count == GZIP_TOKENS)
        put_block(z, false);
    z->tokens[z->token_count++] = token;
}

static unsigned hash_of(const u8 *at)
{
    return (at[0] * 0x9e5fu ^ at[1] * 0x1f35u ^ at[2] * 0x3d1u) % GZIP_HASHES;
}

static unsigned common_length(const struct gzip *z, size_t one, size_t other)
{
    unsigned length = 0;
    while (length < MATCH_MAX && one + length < z->size && z->input[one + length] == z->input[other + length])
        length++;
    return length;
}

static bool is_worth(unsigned length, size_t distance)
{
    return length > MATCH_MIN || (length == MATCH_MIN && distance <= NEAR);
}

// The longest match at `at`, the nearest of equal ones, as a token; 0: none.
static u32 match_find(const struct gzip *z, size_t at)
{
    u32 best = 0;
    if (z->size - at < MATCH_MIN)
        return 0;
    u32 place = z->newest[hash_of(z->input + at)];
    for (unsigned i = 0; i < CHAIN && place && at - (place - 1) <= GZIP_WINDOW - 1; i++) {
        size_t distance = at - (place - 1);
        unsigned length = common_length(z, at, place - 1);
        if (length > TOKEN_LENGTH(best) && is_worth(length, distance))
            best = (u32)(distance << 16) | length;
        place = z->older[(place - 1) % GZIP_WINDOW];
    }
    return best;
}

static void place_enter(struct gzip *z, size_t at)
{
    if (z->size - at < MATCH_MIN)
        return;
    u32 *newest = &z->newest[hash_of(z->input + at)];
    z->older[at % GZIP_WINDOW] = *newest;
    *newest = (u32)at + 1;
}

static void tokens_find(struct gzip *z)
{
    u32 match = z->size ? match_find(z, 0) : 0;
    for (size_t at = 0; at < z->size;) {
        place_enter(z, at);
        u32 next = at + 1 < z->size ? match_find(z, at + 1) : 0;
        if (!match || TOKEN_LENGTH(next) > TOKEN_LENGTH(match)) {
            put_token(z, z->input[at++]);
            match = next;
            continue;
        }
        put_token(z, match);
        for (size_t end = at++ + TOKEN_LENGTH(match); at < end; at++)
            place_enter(z, at);
        match = at < z->size ? match_find(z, at) : 0;
    }
}

static void put_u32(struct gzip *z, u32 value)
{
    for (unsigned i = 0; i < 4; i++)
        put_byte(z, (u8)(value >> 8 * i));
}

size_t gzip_pack(struct gzip *z, const void *input, size_t size, u8 *output, size_t room)
{
    static const u8 header[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    memset(z, 0, sizeof(*z));
    z->input = input;
    z->size = size;
    z->output = output;
    z->room = room;
    for (unsigned i = 0; i < sizeof(header); i++)
        put_byte(z, header[i]);
    tokens_find(z);
    put_block(z, true);
    put_bits(z, 0, (8 - z->bit_count) % 8);
    put_u32(z, gzip_crc(0, input, size));
    put_u32(z, (u32)size);
    return z->used;
}
