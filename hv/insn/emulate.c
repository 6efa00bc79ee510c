// What the instructions of decode.h do: one table of operations on values, and around it the operands:
// registers here, memory by callbacks. Everything is computed before the first change, so that a failing
// callback leaves no trace. Decoding is in decode.c, guest memory and devices are the caller's.
#include "emulate.h"

// One operation: destination a, source b, both of `size` bytes with the bits above clear.
struct operation {
    u64 a;
    u64 b;
    u64 accumulator; // RAX, or EDX:EAX for CMPXCHG8B
    u64 rflags;
    u8 size;
    u8 source_size; // of b where it is narrower: MOVZX, MOVSX
    bool differs;   // CMPXCHG: a is not the accumulator, which is to become a
};

static u64 size_mask(unsigned size)
{
    return ~0ull >> (64 - 8 * size);
}

static u64 sign_bit(unsigned size)
{
    return 1ull << (8 * size - 1);
}

static u64 flag_if(bool condition, u64 flag)
{
    return condition ? flag : 0;
}

static void set_flags(struct operation *o, u64 which, u64 value)
{
    o->rflags = (o->rflags & ~which) | (value & which);
}

// SF, ZF and PF (of the lowest byte: 0x9669 has a bit for each nibble of even parity).
static u64 result_flags(const struct operation *o, u64 result)
{
    unsigned nibble = (unsigned)(result ^ result >> 4) & 15;
    return flag_if(result == 0, RFLAGS_ZF) | flag_if(result & sign_bit(o->size), RFLAGS_SF) |
           flag_if(0x9669u >> nibble & 1, RFLAGS_PF);
}

// a + b + carry. Each bit's carry out is the majority of both operands and the inverted result.
static u64 sum(struct operation *o, u64 a, u64 b, u64 carry)
{
    u64 result = (a + b + carry) & size_mask(o->size);
    u64 carries = (a & b) | ((a | b) & ~result);
    u64 flags = result_flags(o, result) | ((a ^ b ^ result) & RFLAGS_AF) |
                flag_if(carries & sign_bit(o->size), RFLAGS_CF) |
                flag_if((a ^ result) & (b ^ result) & sign_bit(o->size), RFLAGS_OF);
    set_flags(o, RFLAGS_STATUS, flags);
    return result;
}

// a - b - borrow, likewise.
static u64 difference(struct operation *o, u64 a, u64 b, u64 borrow)
{
    u64 result = (a - b - borrow) & size_mask(o->size);
    u64 borrows = (~a & b) | ((~a | b) & result);
    u64 flags = result_flags(o, result) | ((a ^ b ^ result) & RFLAGS_AF) |
                flag_if(borrows & sign_bit(o->size), RFLAGS_CF) |
                flag_if((a ^ b) & (a ^ result) & sign_bit(o->size), RFLAGS_OF);
    set_flags(o, RFLAGS_STATUS, flags);
    return result;
}

// CF and OF become 0, and so does AF, which the SDM leaves undefined.
static u64 logical(struct operation *o, u64 result)
{
    set_flags(o, RFLAGS_STATUS, result_flags(o, result));
    return result;
}

static u64 do_add(struct operation *o)
{
    return sum(o, o->a, o->b, 0);
}

static u64 do_or(struct operation *o)
{
    return logical(o, o->a | o->b);
}

static u64 do_adc(struct operation *o)
{
    return sum(o, o->a, o->b, o->rflags & RFLAGS_CF);
}

static u64 do_sbb(struct operation *o)
{
    return difference(o, o->a, o->b, o->rflags & RFLAGS_CF);
}

static u64 do_and(struct operation *o)
{
    return logical(o, o->a & o->b);
}

static u64 do_sub(struct operation *o)
{
    return difference(o, o->a, o->b, 0);
}

static u64 do_xor(struct operation *o)
{
    return logical(o, o->a ^ o->b);
}

static u64 do_not(struct operation *o)
{
    return ~o->a & size_mask(o->size);
}

static u64 do_neg(struct operation *o)
{
    return difference(o, 0, o->a, 0);
}

static u64 do_inc(struct operation *o)
{
    u64 carry = o->rflags & RFLAGS_CF;
    u64 result = sum(o, o->a, 1, 0);
    set_flags(o, RFLAGS_CF, carry);
    return result;
}

static u64 do_dec(struct operation *o)
{
    u64 carry = o->rflags & RFLAGS_CF;
    u64 result = difference(o, o->a, 1, 0);
    set_flags(o, RFLAGS_CF, carry);
    return result;
}

static u64 do_mov(struct operation *o)
{
    return o->b;
}

static u64 do_movsx(struct operation *o)
{
    u64 sign = sign_bit(o->source_size);
    return ((o->b ^ sign) - sign) & size_mask(o->size);
}

static u64 do_cmpxchg(struct operation *o)
{
    difference(o, o->accumulator, o->a, 0);
    o->differs = o->a != o->accumulator;
    return o->differs ? o->a : o->b;
}

// Only ZF.
static u64 do_cmpxchg8b(struct operation *o)
{
    o->differs = o->a != o->accumulator;
    set_flags(o, RFLAGS_ZF, flag_if(!o->differs, RFLAGS_ZF));
    return o->differs ? o->a : o->b;
}

// Sets CF to the selected bit, and returns that bit alone. The other flags, undefined but ZF, stay.
static u64 select_bit(struct operation *o)
{
    u64 bit = 1ull << (o->b & (8u * o->size - 1));
    set_flags(o, RFLAGS_CF, flag_if(o->a & bit, RFLAGS_CF));
    return bit;
}

static u64 do_bts(struct operation *o)
{
    return o->a | select_bit(o);
}

static u64 do_btr(struct operation *o)
{
    return o->a & ~select_bit(o);
}

static u64 do_btc(struct operation *o)
{
    return o->a ^ select_bit(o);
}

static const struct semantics {
    u64 (*result)(struct operation *o); // the destination's new value
    bool discards;                      // the destination stays as it is
    bool swaps;                         // the register gets the destination's old value
} semantics[INSN_OPS] = {
    [INSN_ADD] = {.result = do_add},
    [INSN_OR] = {.result = do_or},
    [INSN_ADC] = {.result = do_adc},
    [INSN_SBB] = {.result = do_sbb},
    [INSN_AND] = {.result = do_and},
    [INSN_SUB] = {.result = do_sub},
    [INSN_XOR] = {.result = do_xor},
    [INSN_CMP] = {.result = do_sub, .discards = true},
    [INSN_TEST] = {.result = do_and, .discards = true},
    [INSN_NOT] = {.result = do_not},
    [INSN_NEG] = {.result = do_neg},
    [INSN_INC] = {.result = do_inc},
    [INSN_DEC] = {.result = do_dec},
    [INSN_MOV] = {.result = do_mov},
    [INSN_MOVZX] = {.result = do_mov},
    [INSN_MOVSX] = {.result = do_movsx},
    [INSN_XCHG] = {.result = do_mov, .swaps = true},
    [INSN_XADD] = {.result = do_add, .swaps = true},
    [INSN_CMPXCHG] = {.result = do_cmpxchg},
    [INSN_CMPXCHG8B] = {.result = do_cmpxchg8b},
    [INSN_BT] = {.result = select_bit, .discards = true},
    [INSN_BTS] = {.result = do_bts},
    [INSN_BTR] = {.result = do_btr},
    [INSN_BTC] = {.result = do_btc},
};

// Writes the low `size` bytes of a register as the processor does: 4 bytes clear those above.
static void gpr_write(struct gprs *gprs, unsigned reg, unsigned size, u64 value)
{
    u64 mask = size == 4 ? ~0ull : size_mask(size);
    gprs->r[reg] = (gprs->r[reg] & ~mask) | (value & size_mask(size));
}

static u64 operand_read(const struct insn *insn, const struct gprs *gprs)
{
    return gprs->r[insn->reg] >> (insn->high_byte ? 8 : 0) & size_mask(insn->reg_size);
}

static void operand_write(const struct insn *insn, struct gprs *gprs, u64 value)
{
    if (insn->high_byte)
        gprs->r[insn->reg] = (gprs->r[insn->reg] & ~0xff00ull) | value << 8;
    else
        gpr_write(gprs, insn->reg, insn->reg_size, value);
}

static u64 pair_read(const struct gprs *gprs, unsigned high, unsigned low)
{
    return gprs->r[high] << 32 | (gprs->r[low] & size_mask(4));
}

// Sets up the operation; `memory` is the memory operand's value.
static struct operation operation_prepare(const struct insn *insn, const struct gprs *gprs, u64 rflags,
                                          u64 memory)
{
    struct operation o = {.a = memory, .rflags = rflags, .size = insn->size, .source_size = insn->size};
    o.accumulator = gprs->r[GPR_RAX] & size_mask(insn->size);
    if (insn->form == INSN_MEM_IMM) {
        o.b = (u64)insn->immediate & size_mask(insn->size);
    } else if (insn->form == INSN_MEM_REG) {
        o.b = operand_read(insn, gprs);
    } else if (insn->form == INSN_REG_MEM) {
        o.a = operand_read(insn, gprs);
        o.b = memory;
        o.size = insn->reg_size;
    } else if (insn->op == INSN_CMPXCHG8B) {
        o.accumulator = pair_read(gprs, GPR_RDX, GPR_RAX);
        o.b = pair_read(gprs, GPR_RCX, GPR_RBX);
    }
    return o;
}

// Writes the registers that change beside memory: all of them after memory is done.
static void operation_commit(const struct insn *insn, struct gprs *gprs, const struct operation *o,
                             u64 result)
{
    const struct semantics *s = &semantics[insn->op];
    if (insn->form == INSN_REG_MEM && !s->discards)
        operand_write(insn, gprs, result);
    if (s->swaps)
        operand_write(insn, gprs, o->a);
    if (o->differs && insn->op == INSN_CMPXCHG) {
        gpr_write(gprs, GPR_RAX, insn->size, o->a);
    } else if (o->differs) {
        gpr_write(gprs, GPR_RAX, 4, o->a);
        gpr_write(gprs, GPR_RDX, 4, o->a >> 32);
    }
}

bool insn_write_value(const struct insn *insn, struct gprs *gprs, u64 *rflags, u64 old, u64 *new)
{
    if (insn->op == INSN_MOV && insn->form != INSN_REG_MEM) {
        *new = insn->form == INSN_MEM_REG ? operand_read(insn, gprs)
                                          : (u64)insn->immediate &size_mask(insn->size);
        return true;
    }
    if (insn->op == INSN_XCHG && insn->form == INSN_MEM_REG) {
        *new = operand_read(insn, gprs);
        operand_write(insn, gprs, old & size_mask(insn->size));
        return true;
    }
    if (insn->form == INSN_STRING || insn->size == 16 || !insn_writes_memory(insn))
        return false;
    struct operation o = operation_prepare(insn, gprs, *rflags, old & size_mask(insn->size));
    *new = semantics[insn->op].result(&o);
    operation_commit(insn, gprs, &o, *new);
    *rflags = o.rflags;
    return true;
}

// BT and its kin with a register: the signed number selects a bit of memory as of an array of operands.
static u64 bit_displacement(const struct insn *insn, const struct emulation *e)
{
    if (insn->op < INSN_BT || insn->op > INSN_BTC || insn->form != INSN_MEM_REG)
        return 0;
    u64 sign = sign_bit(insn->size);
    s64 bit = (s64)((operand_read(insn, e->gprs) ^ sign) - sign);
    return (u64)(bit >> 3) & ~(u64)(insn->size - 1);
}

struct insn_address emulate_address(const struct insn *insn, const struct emulation *e)
{
    const struct insn_memory *m = &insn->memory;
    u64 offset = (u64)insn->displacement + bit_displacement(insn, e);
    if (m->base == INSN_RIP)
        offset += e->rip + insn->length;
    else if (m->base != INSN_NO_REG)
        offset += e->gprs->r[m->base];
    if (m->index != INSN_NO_REG)
        offset += e->gprs->r[m->index] << m->scale;
    return (struct insn_address){offset & size_mask(insn->address_size), m->segment};
}

// RIP after the instruction, as wide as the code segment: EIP in 32-bit code, IP in 16-bit code.
static void rip_advance(const struct insn *insn, struct emulation *e)
{
    e->rip = (e->rip + insn->length) & size_mask(insn->bits / 8);
}

static int emulate_cmpxchg16b(const struct insn *insn, struct emulation *e)
{
    u64 *r = e->gprs->r, old[2], new[2] = {r[GPR_RBX], r[GPR_RCX]};
    struct insn_address at = emulate_address(insn, e);
    int result = e->ops->read(e->context, at, old, sizeof(old), true);
    if (result)
        return result;
    bool same = old[0] == r[GPR_RAX] && old[1] == r[GPR_RDX];
    result = e->ops->write(e->context, at, same ? new : old, sizeof(old));
    if (result)
        return result;
    e->rflags = (e->rflags & ~RFLAGS_ZF) | flag_if(same, RFLAGS_ZF);
    if (!same) {
        r[GPR_RAX] = old[0];
        r[GPR_RDX] = old[1];
    }
    rip_advance(insn, e);
    return 0;
}

// All but the string instructions and 16 bytes. A MOV to memory does not read it.
static int emulate_operation(const struct insn *insn, struct emulation *e)
{
    u64 memory = 0;
    struct insn_address at = emulate_address(insn, e);
    bool writes = insn_writes_memory(insn);
    int result = 0;
    if (insn->op != INSN_MOV || !writes)
        result = e->ops->read(e->context, at, &memory, insn->size, writes);
    if (result)
        return result;
    struct operation o = operation_prepare(insn, e->gprs, e->rflags, memory);
    u64 value = semantics[insn->op].result(&o);
    if (writes)
        result = e->ops->write(e->context, at, &value, insn->size);
    if (result)
        return result;
    operation_commit(insn, e->gprs, &o, value);
    e->rflags = o.rflags;
    rip_advance(insn, e);
    return 0;
}

static void string_advance(const struct insn *insn, struct emulation *e, enum gpr reg)
{
    u64 step = e->rflags & RFLAGS_DF ? -(u64)insn->size : insn->size;
    gpr_write(e->gprs, reg, insn->address_size, e->gprs->r[reg] + step);
}

// One iteration: from memory (MOVS, LODS) or RAX to memory (MOVS, STOS) or RAX.
static int string_step(const struct insn *insn, struct emulation *e)
{
    u64 value = e->gprs->r[GPR_RAX];
    int result = 0;
    if (insn->op != INSN_STOS)
        result = e->ops->read(e->context, emulate_address(insn, e), &value, insn->size, false);
    if (result == 0 && insn->op != INSN_LODS) {
        struct insn_address to = {e->gprs->r[GPR_RDI] & size_mask(insn->address_size), INSN_ES};
        result = e->ops->write(e->context, to, &value, insn->size);
    }
    if (result)
        return result;
    if (insn->op == INSN_LODS)
        gpr_write(e->gprs, GPR_RAX, insn->size, value);
    if (insn->op != INSN_STOS)
        string_advance(insn, e, GPR_RSI);
    if (insn->op != INSN_LODS)
        string_advance(insn, e, GPR_RDI);
    return 0;
}

// Repeated, each iteration is as an instruction of its own (SDM vol. 2, REP): a fault leaves those before it
// done, and a trap flag stops after one.
static int emulate_string(const struct insn *insn, struct emulation *e)
{
    bool repeated = insn->prefixes & (INSN_REP | INSN_REPNE);
    unsigned run = e->rflags & RFLAGS_TF ? 1 : EMULATE_RUN;
    u64 count = repeated ? e->gprs->r[GPR_RCX] & size_mask(insn->address_size) : 1;
    for (; count > 0 && run > 0; run--) {
        int result = string_step(insn, e);
        if (result)
            return result;
        count--;
        if (repeated)
            gpr_write(e->gprs, GPR_RCX, insn->address_size, count);
    }
    if (count == 0)
        rip_advance(insn, e);
    return 0;
}

int insn_emulate(const struct insn *insn, struct emulation *e)
{
    if (insn->form == INSN_STRING)
        return emulate_string(insn, e);
    return insn->size == 16 ? emulate_cmpxchg16b(insn, e) : emulate_operation(insn, e);
}
