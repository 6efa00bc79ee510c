// libFuzzer: any bytes through the decoder in each mode, and what it accepts through the emulation, with
// memory that also fails. The sanitizers judge, and the few things that always hold are checked here.

// link: hv/insn/decode.c hv/insn/emulate.c

// max: 40
#include <arch/lib.h>

#include "hv/insn/emulate.h"

#define require(condition)    \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

// Memory that is a small array, again and again; the callback whose number is `fail_at` fails.
struct memory {
    u8 bytes[32];
    unsigned calls;
    unsigned fail_at;
};

static int memory_read(void *context, struct insn_address at, void *data, unsigned size, bool update)
{
    (void)update;
    struct memory *m = context;
    for (unsigned i = 0; i < size; i++)
        ((u8 *)data)[i] = m->bytes[(at.offset + at.segment + i) % sizeof(m->bytes)];
    return ++m->calls == m->fail_at;
}

static int memory_write(void *context, struct insn_address at, const void *data, unsigned size)
{
    struct memory *m = context;
    if (++m->calls == m->fail_at)
        return 1;
    for (unsigned i = 0; i < size; i++)
        m->bytes[(at.offset + at.segment + i) % sizeof(m->bytes)] = ((const u8 *)data)[i];
    return 0;
}

static void check_fields(const struct insn *insn, size_t count)
{
    require(insn->length >= 1 && insn->length <= INSN_MAX_LENGTH && insn->length <= count);
    require(insn->op < INSN_OPS && insn->form <= INSN_STRING && insn->reg < GPRS);
    require(insn->memory.base <= INSN_RIP || insn->memory.base == INSN_NO_REG);
    require(insn->memory.index < GPRS || insn->memory.index == INSN_NO_REG);
    require(insn->memory.segment <= INSN_GS && insn->memory.scale <= 3);
}

// Registers and memory are made of the bytes, too.
static void emulate(const struct insn *insn, const u8 *data, size_t size)
{
    static const struct emulate_ops ops = {memory_read, memory_write};
    struct gprs gprs;
    struct memory memory = {.fail_at = data[size - 1] % 8};
    for (unsigned i = 0; i < sizeof(gprs); i++)
        ((u8 *)&gprs)[i] = (u8)(data[i % size] * (i + 1));
    for (unsigned i = 0; i < sizeof(memory.bytes); i++)
        memory.bytes[i] = data[(i + 7) % size];
    struct gprs before = gprs;
    struct emulation e = {&gprs, 0x1000, (u64)(data[0] * 0x101u) & RFLAGS_STATUS, &ops, &memory};
    u64 rflags = e.rflags, new;
    int result = insn_emulate(insn, &e);
    if (result && insn->form != INSN_STRING)
        require(e.rip == 0x1000 && e.rflags == rflags && memcmp(&gprs, &before, sizeof(gprs)) == 0);
    if (insn_write_value(insn, &before, &rflags, 0x1234, &new))
        require(insn->size == 8 || new >> (8 * insn->size) == 0);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    for (unsigned bits = 16; size && bits <= 64; bits *= 2) {
        struct insn insn, exact;
        int result = insn_decode(&insn, data, size, bits);
        require(result != DECODE_TRUNCATED || size < INSN_MAX_LENGTH);
        require(result != DECODE_GP || size >= INSN_MAX_LENGTH);
        if (result != DECODE_OK)
            continue;
        check_fields(&insn, size);
        require(insn_decode(&exact, data, insn.length, bits) == DECODE_OK);
        require(memcmp(&insn, &exact, sizeof(insn)) == 0);
        emulate(&insn, data, size);
    }
    return 0;
}
