// Makes text small, in the format of gzip (RFC 1952 over RFC 1951), which every system unpacks. Pure: also a
// part of a program for the guest (guest-images/codes).
#pragma once

#include <arch/types.h>

#define GZIP_WINDOW  32768u // how far back a match may be
#define GZIP_HASHES  8192u
#define GZIP_TOKENS  16384u // of one block
#define GZIP_SYMBOLS 286u

// What compressing needs beside its input. Nothing of it is kept from one call to the next.
struct gzip {
    const u8 *input;
    size_t size;
    u32 newest[GZIP_HASHES]; // the last place of each hash of three bytes, plus 1; 0: none
    u32 older[GZIP_WINDOW];  // of each place, modulo the window, the one before it of the same hash
    u32 tokens[GZIP_TOKENS]; // a byte; or a match: distance << 16 | length
    unsigned token_count;
    u8 *output;
    size_t room, used; // `used` goes on where there is no room left
    u64 bits;          // of the output, that are no whole byte yet
    unsigned bit_count;
};

// Compresses `size` bytes (below 4 GiB) into output[room]. Returns how many bytes that takes: if more than
// `room`, the output is cut there and useless.
size_t gzip_pack(struct gzip *z, const void *input, size_t size, u8 *output, size_t room);

// The CRC-32 of gzip's trailer, of this and what `crc` (0 at first) is of.
u32 gzip_crc(u32 crc, const void *bytes, size_t size);
