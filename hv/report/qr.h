// QR codes (ISO/IEC 18004) of digits, capital letters and the signs of their alphanumeric mode, at error
// correction level M. Pure: also a part of a program for the guest (guest-images/codes).
#pragma once

#include <arch/types.h>

#define QR_VERSIONS      40u
#define QR_SIDE(version) (17 + 4 * (version))
#define QR_SIDE_MAX      QR_SIDE(QR_VERSIONS)
#define QR_CODEWORDS     3706u
#define QR_QUIET         4u // modules of light margin that a reader wants around a code

struct qr {
    unsigned side;                             // in modules
    u8 dark[QR_SIDE_MAX * QR_SIDE_MAX];        // row by row: 1 is dark
    u8 fixed[QR_SIDE_MAX * QR_SIDE_MAX];       // the module is no data
    u8 data[QR_CODEWORDS], sent[QR_CODEWORDS]; // codewords in the text's order, and as they are laid out
};

// How many characters a code of this version (1 to QR_VERSIONS) holds.
unsigned qr_room(unsigned version);

// Makes the code of `text`: 0-9, A-Z, space and $%*+-./: only, at most qr_room(version) of them.
void qr_make(struct qr *q, unsigned version, const char *text, size_t length);
