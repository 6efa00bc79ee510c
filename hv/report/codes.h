// Bytes as a sequence of texts that QR codes carry, and that a person may photograph, paste and mail in any
// order. Pure: also a part of a program for the guest (guest-images/codes). iso/report/Report/Codes.pm reads
// them.
//
//     PENUMBRA 1A2B3C4D 3/7 412 TEXT
//
// The CRC-32 of all bytes, which says what belongs together; which code of how many; how many characters
// TEXT has. TEXT is the CRC-32 of this code's bytes, the highest byte first, and the bytes: each two of them
// are a number of three digits to the base of 41, the lowest first, a last odd one of two. The digits are
// 0-9, A-Z and $%+-/: whatever hands on a text leaves them alone, and blanks between them mean nothing.
#pragma once

#include "qr.h"

#define CODES_MAX         999u
#define CODES_TEXT        4400u // at most, of one code
#define CODES_VERSION_MAX 25u   // a phone's camera reads it without effort

struct codes {
    const u8 *bytes;
    size_t size;
    unsigned count;
    u32 crc;
    size_t share;     // of the bytes: of each code but the last
    unsigned version; // of each code
};

// Divides `size` (at least 1) bytes, which must stay, among codes of this version or smaller, as few as
// there can be. False: they would be more than CODES_MAX.
bool codes_divide(struct codes *c, const u8 *bytes, size_t size, unsigned version) must_check;

// The text of code `index`, below c->count. Returns its length; there is no NUL.
size_t codes_text(const struct codes *c, unsigned index, char text[CODES_TEXT]);

// Makes that code.
void codes_make(const struct codes *c, unsigned index, struct qr *q);
