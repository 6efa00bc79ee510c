// See codes.h.
#include "codes.h"

#include <arch/lib.h>

#include "gzip.h"

#define HEAD     "PENUMBRA %08X %u/%u %u "
#define HEAD_MAX 31 // sizeof("PENUMBRA 1A2B3C4D 999/999 9999 ") - 1
#define CRC_SIZE 4
#define BASE     41

// What a code of this version carries beside its head and its own CRC.
static size_t share_of(unsigned version)
{
    unsigned room = qr_room(version);
    return room < HEAD_MAX + 9 ? 0 : (room - HEAD_MAX) / 3 * 2 - CRC_SIZE;
}

static size_t divided(size_t size, size_t by)
{
    return (size + by - 1) / by;
}

bool codes_divide(struct codes *c, const u8 *bytes, size_t size, unsigned version)
{
    size_t most = share_of(version);
    if (!most || divided(size, most) > CODES_MAX)
        return false;
    size_t count = divided(size, most), share = divided(size, count);
    while (version > 1 && share_of(version - 1) >= share)
        version--;
    *c = (struct codes){.bytes = bytes,
                        .size = size,
                        .count = (unsigned)count,
                        .crc = gzip_crc(0, bytes, size),
                        .share = share,
                        .version = version};
    return true;
}

static void put_digits(char **at, unsigned value, unsigned count)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$%+-/";
    for (; count; count--, value /= BASE)
        *(*at)++ = digits[value % BASE];
}

// All as digits, two bytes at a time.
static void put_bytes(char **at, const u8 *bytes, size_t size)
{
    for (; size >= 2; bytes += 2, size -= 2)
        put_digits(at, bytes[0] * 256u + bytes[1], 3);
    if (size)
        put_digits(at, bytes[0], 2);
}

size_t codes_text(const struct codes *c, unsigned index, char text[CODES_TEXT])
{
    const u8 *bytes = c->bytes + index * c->share;
    size_t rest = c->size - index * c->share, size = rest < c->share ? rest : c->share;
    u32 crc = gzip_crc(0, bytes, size);
    u8 check[CRC_SIZE] = {(u8)(crc >> 24), (u8)(crc >> 16), (u8)(crc >> 8), (u8)crc};
    unsigned digits = (unsigned)(CRC_SIZE / 2 * 3 + size / 2 * 3 + size % 2 * 2);
    char *at = text + fmt(text, CODES_TEXT, HEAD, c->crc, index + 1, c->count, digits);
    put_bytes(&at, check, sizeof(check));
    put_bytes(&at, bytes, size);
    return (size_t)(at - text);
}

void codes_make(const struct codes *c, unsigned index, struct qr *q)
{
    char text[CODES_TEXT];
    qr_make(q, c->version, text, codes_text(c, index, text));
}
