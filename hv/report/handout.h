// What a person takes home from a machine without a serial line: at the end the screen pages through the
// results, and shows their lines of JSON, compressed, as QR codes. iso/report reads what a phone makes of
// them.
#pragma once

#include <arch/console.h>
#include <arch/frames.h>

#include "codes.h"
#include "gzip.h"

#define HANDOUT_ROUNDS 3 // before the machine goes

struct handout {
    struct console_text pages, json; // to be filled by console_divert
    char page_bytes[256 * KIB];
    char json_bytes[1 * MIB];
    u8 packed[384 * KIB];
    struct gzip gzip;
    struct qr qr;
};

// An empty one, of memory that is the monitor's. NULL: there is none left.
struct handout *handout_make(struct frames *frames) must_check;

// Shows the pages and then the codes, `rounds` times; 0: for ever. A key on the serial line ends it.
void handout_show(struct handout *h, u64 tsc_hz, unsigned rounds);
