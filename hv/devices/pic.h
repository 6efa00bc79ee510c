// The guest's interrupt controllers: two 8259As behind ports 20H, 21H, A0H and A1H, the second at input 2 of
// the first. Inputs are edge-triggered. Not there: level triggering, the special fully nested mode, buffered
// mode, MCS-80 mode and ELCR. It does not know the processor: the owner asks for its output and acknowledges.
#pragma once

#include <arch/types.h>

#define PIC_INPUTS 16u

struct pic_chip {
    u8 irr, isr, imr;
    u8 lines;  // inputs as they are
    u8 base;   // vector of input 0
    u8 lowest; // input of the lowest priority
    u8 init;   // the initialisation word that is next, 2 to 4; 0: none
    bool wants_icw4;
    bool auto_eoi, rotate_on_auto_eoi, special_mask, read_isr, poll;
};

struct pic {
    struct pic_chip chip[2];
};

// Programmed as PC firmware leaves it, vectors 08H and 70H, and all masked.
void pic_init(struct pic *p);

// The guest's access to chip 0 (20H) or 1 (A0H), `data`: at the odd address.
u8 pic_read(struct pic *p, unsigned chip, bool data);
void pic_write(struct pic *p, unsigned chip, bool data, u8 value);

// The level at an input, 0 to 15; 2 is the second chip's own.
void pic_set_line(struct pic *p, unsigned input, bool level);

// Whether an interrupt is wanted, and the acknowledgement that gives its vector. Without one that is wanted:
// the spurious one of input 7.
bool pic_output(const struct pic *p);
u8 pic_acknowledge(struct pic *p);

// Whether this input's interrupt could reach the output now or later without a further write of the guest's
// to a mask, and is not pending yet.
bool pic_listens(const struct pic *p, unsigned input);
