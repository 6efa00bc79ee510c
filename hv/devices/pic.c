// See pic.h. Intel's 8259A data sheet. Pure: also on the host.
#include "pic.h"

#include <arch/lib.h>

#define CASCADE  2
#define SPURIOUS 7
#define INPUTS   8u // of a chip
#define NONE     INPUTS

#define ICW1         0x10
#define ICW1_ICW4    0x01
#define ICW2_BASE    0xf8
#define ICW4_AEOI    0x02
#define OCW3         0x08 // of bits 4:3, else it is OCW2
#define OCW3_SMM     0x40 // special mask mode is set or reset, as SET says
#define OCW3_SMM_SET 0x20
#define OCW3_POLL    0x04
#define OCW3_READ    0x02 // which register is read is chosen, as ISR says
#define OCW3_ISR     0x01
#define POLL_ANY     0x80

// OCW2, bits 7:5.
enum {
    OCW2_ROTATE_AEOI_CLEAR,
    OCW2_EOI,
    OCW2_NOTHING,
    OCW2_SPECIFIC_EOI,
    OCW2_ROTATE_AEOI_SET,
    OCW2_ROTATE_EOI,
    OCW2_SET_PRIORITY,
    OCW2_ROTATE_SPECIFIC_EOI
};

// The input of the highest priority among the bits, or NONE.
static unsigned highest(const struct pic_chip *c, u8 bits)
{
    for (unsigned i = 1; i <= INPUTS; i++) {
        unsigned input = (c->lowest + i) % INPUTS;
        if (bits & BIT(input))
            return input;
    }
    return NONE;
}

static unsigned rank(const struct pic_chip *c, unsigned input)
{
    return input == NONE ? INPUTS : (input + INPUTS - 1 - c->lowest) % INPUTS;
}

// The input that the chip asks for, or NONE: above all that is being served. In special mask mode what is
// served and masked holds nothing back.
static unsigned wanted(const struct pic_chip *c)
{
    u8 serving = c->special_mask ? c->isr & ~c->imr : c->isr;
    unsigned input = highest(c, c->irr & ~c->imr);
    return rank(c, input) < rank(c, highest(c, serving)) ? input : NONE;
}

// The second chip's output is the first one's input 2, and asks as long as it is high.
static void cascade(struct pic *p)
{
    bool asks = wanted(&p->chip[1]) != NONE;
    u8 others = (u8)(p->chip[0].irr & ~BIT(CASCADE));
    p->chip[0].irr = asks ? (u8)(others | BIT(CASCADE)) : others;
}

static void end_of_interrupt(struct pic_chip *c, unsigned input, bool rotate)
{
    if (input == NONE)
        return;
    c->isr = (u8)(c->isr & ~BIT(input));
    if (rotate)
        c->lowest = (u8)input;
}

// The highest in service, of those that the special mask mode does not hide.
static unsigned serving(const struct pic_chip *c)
{
    return highest(c, c->special_mask ? c->isr & ~c->imr : c->isr);
}

static void serve(struct pic_chip *c, unsigned input)
{
    c->irr = (u8)(c->irr & ~BIT(input));
    if (!c->auto_eoi)
        c->isr = (u8)(c->isr | BIT(input));
    else if (c->rotate_on_auto_eoi)
        c->lowest = (u8)input;
}

static void write_ocw2(struct pic_chip *c, u8 value)
{
    unsigned input = value & 7;
    switch (value >> 5) {
    case OCW2_ROTATE_AEOI_CLEAR:
    case OCW2_ROTATE_AEOI_SET:
        c->rotate_on_auto_eoi = value >> 5 == OCW2_ROTATE_AEOI_SET;
        break;
    case OCW2_EOI:
    case OCW2_ROTATE_EOI:
        end_of_interrupt(c, serving(c), value >> 5 == OCW2_ROTATE_EOI);
        break;
    case OCW2_SPECIFIC_EOI:
    case OCW2_ROTATE_SPECIFIC_EOI:
        end_of_interrupt(c, input, value >> 5 == OCW2_ROTATE_SPECIFIC_EOI);
        break;
    case OCW2_SET_PRIORITY:
        c->lowest = (u8)input;
        break;
    default:
        break;
    }
}

static void write_ocw3(struct pic_chip *c, u8 value)
{
    if (value & OCW3_SMM)
        c->special_mask = value & OCW3_SMM_SET;
    if (value & OCW3_READ)
        c->read_isr = value & OCW3_ISR;
    c->poll = value & OCW3_POLL;
}

static void start_init(struct pic_chip *c, u8 icw1)
{
    u8 lines = c->lines;
    *c = (struct pic_chip){.lines = lines, .lowest = INPUTS - 1, .init = 2, .wants_icw4 = icw1 & ICW1_ICW4};
}

static void write_init(struct pic_chip *c, u8 value)
{
    if (c->init == 2) {
        c->base = value & ICW2_BASE;
        c->init = 3;
    } else if (c->init == 3) {
        c->init = c->wants_icw4 ? 4 : 0; // how the chips are wired is known
    } else {
        c->auto_eoi = value & ICW4_AEOI;
        c->init = 0;
    }
}

void pic_write(struct pic *p, unsigned chip, bool data, u8 value)
{
    struct pic_chip *c = &p->chip[chip];
    if (!data && value & ICW1)
        start_init(c, value);
    else if (!data && value & OCW3)
        write_ocw3(c, value);
    else if (!data)
        write_ocw2(c, value);
    else if (c->init)
        write_init(c, value);
    else
        c->imr = value;
    cascade(p);
}

static u8 poll(struct pic_chip *c)
{
    unsigned input = wanted(c);
    c->poll = false;
    if (input == NONE)
        return 0;
    serve(c, input);
    return (u8)(POLL_ANY | input);
}

u8 pic_read(struct pic *p, unsigned chip, bool data)
{
    struct pic_chip *c = &p->chip[chip];
    u8 value = c->poll ? poll(c) : data ? c->imr : c->read_isr ? c->isr : c->irr;
    cascade(p);
    return value;
}

void pic_set_line(struct pic *p, unsigned input, bool level)
{
    struct pic_chip *c = &p->chip[input / INPUTS];
    u8 bit = (u8)BIT(input % INPUTS);
    if (level && !(c->lines & bit))
        c->irr |= bit;
    c->lines = (u8)(level ? c->lines | bit : c->lines & ~bit);
    cascade(p);
}

bool pic_output(const struct pic *p)
{
    return wanted(&p->chip[0]) != NONE;
}

static u8 acknowledge(struct pic_chip *c)
{
    unsigned input = wanted(c);
    if (input == NONE)
        return c->base + SPURIOUS;
    serve(c, input);
    return (u8)(c->base + input);
}

u8 pic_acknowledge(struct pic *p)
{
    bool second = wanted(&p->chip[0]) == CASCADE;
    u8 vector = acknowledge(&p->chip[0]);
    if (second)
        vector = acknowledge(&p->chip[1]);
    cascade(p);
    return vector;
}

bool pic_listens(const struct pic *p, unsigned input)
{
    const struct pic_chip *c = &p->chip[input / INPUTS];
    bool passes = input < INPUTS || !(p->chip[0].imr & BIT(CASCADE));
    return passes && !((c->imr | c->irr) & BIT(input % INPUTS));
}

void pic_init(struct pic *p)
{
    memset(p, 0, sizeof(*p));
    for (unsigned i = 0; i < ARRAY_SIZE(p->chip); i++) {
        p->chip[i].lowest = INPUTS - 1;
        p->chip[i].imr = 0xff;
        p->chip[i].base = i ? 0x70 : 0x08;
    }
}
