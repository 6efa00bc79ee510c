// The decoder of instructions that touch memory: two opcode tables, one table of the groups that ModRM.reg
// selects from, and the operand formats of SDM vol. 2, chapter 2. It does not say what an instruction does
// (emulate.c) and knows nothing of VMX. The order of the steps is that of the bytes: prefixes, opcode, ModRM,
// SIB, displacement, immediate.
#include "decode.h"

enum kind { UNKNOWN, MODRM, GROUP, MOFFS, STRING, ESCAPE, REX, PREFIX, REPEAT, SEGMENT };

#define BYTE     BIT(0)  // operands of one byte
#define IMM      BIT(1)  // an immediate of operand size, at most 4 bytes
#define IMM8     BIT(2)  // an immediate of one byte
#define LOCKABLE BIT(3)  // LOCK is allowed where the destination is memory
#define MEM8     BIT(4)  // memory is one byte, whatever the register
#define MEM16    BIT(5)  // memory is two bytes
#define MEM32    BIT(6)  // memory is at most four bytes
#define NOT64    BIT(7)  // not in 64-bit mode
#define ONLY64   BIT(8)  // only there
#define PLAIN    BIT(9)  // undefined after 66, F2 or F3
#define PAIR     BIT(10) // memory is twice 4 or 8 bytes, whatever 66 says

#define UNUSUAL (MEM8 | MEM16 | MEM32 | NOT64 | ONLY64 | PLAIN | PAIR)

struct row {
    u8 op;   // enum insn_op; of GROUP: which; of a prefix: its bit, or the segment
    u8 kind; // enum kind
    u8 form; // enum insn_form; of GROUP: none, its rows have it
    u32 flags;
};

#define ROW(o, k, f, fl)                                   \
    {                                                      \
        .op = (o), .kind = (k), .form = (f), .flags = (fl) \
    }

// Four rows from opcode `o`: r/m8 r8, r/m r, r8 r/m8, r r/m.
#define ROWS4(o, op, lock)                                                                               \
    [(o)] = ROW(op, MODRM, INSN_MEM_REG, BYTE | (lock)), [(o) + 1] = ROW(op, MODRM, INSN_MEM_REG, lock), \
    [(o) + 2] = ROW(op, MODRM, INSN_REG_MEM, BYTE), [(o) + 3] = ROW(op, MODRM, INSN_REG_MEM, 0)

// Two rows from opcode `o`: operands of one byte, of operand size.
#define ROWS2(o, op, kind, form, flags) \
    [(o)] = ROW(op, kind, form, (flags) | BYTE), [(o) + 1] = ROW(op, kind, form, flags)

enum group { GROUP_80, GROUP_C6, GROUP_F6, GROUP_FE, GROUP_0FBA, GROUP_0FC7, GROUPS };

// SDM vol. 2, table A-2.
static const struct row one_byte[256] = {
    ROWS4(0x00, INSN_ADD, LOCKABLE),
    ROWS4(0x08, INSN_OR, LOCKABLE),
    ROWS4(0x10, INSN_ADC, LOCKABLE),
    ROWS4(0x18, INSN_SBB, LOCKABLE),
    ROWS4(0x20, INSN_AND, LOCKABLE),
    ROWS4(0x28, INSN_SUB, LOCKABLE),
    ROWS4(0x30, INSN_XOR, LOCKABLE),
    ROWS4(0x38, INSN_CMP, 0),
    [0x0f] = ROW(0, ESCAPE, 0, 0),
    [0x26] = ROW(INSN_ES, SEGMENT, 0, 0),
    [0x2e] = ROW(INSN_CS, SEGMENT, 0, 0),
    [0x36] = ROW(INSN_SS, SEGMENT, 0, 0),
    [0x3e] = ROW(INSN_DS, SEGMENT, 0, 0),
    [0x40 ... 0x4f] = ROW(0, REX, 0, 0),
    [0x63] = ROW(INSN_MOVSX, MODRM, INSN_REG_MEM, MEM32 | ONLY64),
    [0x64] = ROW(INSN_FS, SEGMENT, 0, 0),
    [0x65] = ROW(INSN_GS, SEGMENT, 0, 0),
    [0x66] = ROW(BIT(6), PREFIX, 0, 0),
    [0x67] = ROW(BIT(7), PREFIX, 0, 0),
    ROWS2(0x80, GROUP_80, GROUP, 0, IMM),
    [0x82] = ROW(GROUP_80, GROUP, 0, BYTE | IMM | NOT64),
    [0x83] = ROW(GROUP_80, GROUP, 0, IMM8),
    ROWS2(0x84, INSN_TEST, MODRM, INSN_MEM_REG, 0),
    ROWS2(0x86, INSN_XCHG, MODRM, INSN_MEM_REG, LOCKABLE),
    ROWS4(0x88, INSN_MOV, 0),
    ROWS2(0xa0, INSN_MOV, MOFFS, INSN_REG_MEM, 0),
    ROWS2(0xa2, INSN_MOV, MOFFS, INSN_MEM_REG, 0),
    ROWS2(0xa4, INSN_MOVS, STRING, INSN_STRING, 0),
    ROWS2(0xaa, INSN_STOS, STRING, INSN_STRING, 0),
    ROWS2(0xac, INSN_LODS, STRING, INSN_STRING, 0),
    ROWS2(0xc6, GROUP_C6, GROUP, 0, 0),
    [0xf0] = ROW(INSN_LOCK, PREFIX, 0, 0),
    [0xf2] = ROW(INSN_REPNE, REPEAT, 0, 0),
    [0xf3] = ROW(INSN_REP, REPEAT, 0, 0),
    ROWS2(0xf6, GROUP_F6, GROUP, 0, 0),
    ROWS2(0xfe, GROUP_FE, GROUP, 0, 0),
};

// SDM vol. 2, table A-3: opcodes after 0F.
static const struct row two_byte[256] = {
    [0xa3] = ROW(INSN_BT, MODRM, INSN_MEM_REG, 0),
    [0xab] = ROW(INSN_BTS, MODRM, INSN_MEM_REG, LOCKABLE),
    ROWS2(0xb0, INSN_CMPXCHG, MODRM, INSN_MEM_REG, LOCKABLE),
    [0xb3] = ROW(INSN_BTR, MODRM, INSN_MEM_REG, LOCKABLE),
    [0xb6] = ROW(INSN_MOVZX, MODRM, INSN_REG_MEM, MEM8),
    [0xb7] = ROW(INSN_MOVZX, MODRM, INSN_REG_MEM, MEM16),
    [0xba] = ROW(GROUP_0FBA, GROUP, 0, IMM8),
    [0xbb] = ROW(INSN_BTC, MODRM, INSN_MEM_REG, LOCKABLE),
    [0xbe] = ROW(INSN_MOVSX, MODRM, INSN_REG_MEM, MEM8),
    [0xbf] = ROW(INSN_MOVSX, MODRM, INSN_REG_MEM, MEM16),
    ROWS2(0xc0, INSN_XADD, MODRM, INSN_MEM_REG, LOCKABLE),
    [0xc3] = ROW(INSN_MOV, MODRM, INSN_MEM_REG, PLAIN),
    [0xc7] = ROW(GROUP_0FC7, GROUP, 0, 0),
};

// SDM vol. 2, table A-6: opcodes that ModRM.reg extends. Flags add to those of the opcode.
static const struct row groups[GROUPS][8] = {
    [GROUP_80] = {ROW(INSN_ADD, MODRM, INSN_MEM_IMM, LOCKABLE), ROW(INSN_OR, MODRM, INSN_MEM_IMM, LOCKABLE),
                  ROW(INSN_ADC, MODRM, INSN_MEM_IMM, LOCKABLE), ROW(INSN_SBB, MODRM, INSN_MEM_IMM, LOCKABLE),
                  ROW(INSN_AND, MODRM, INSN_MEM_IMM, LOCKABLE), ROW(INSN_SUB, MODRM, INSN_MEM_IMM, LOCKABLE),
                  ROW(INSN_XOR, MODRM, INSN_MEM_IMM, LOCKABLE), ROW(INSN_CMP, MODRM, INSN_MEM_IMM, 0)},
    [GROUP_C6] = {ROW(INSN_MOV, MODRM, INSN_MEM_IMM, IMM)},
    [GROUP_F6] = {ROW(INSN_TEST, MODRM, INSN_MEM_IMM, IMM), ROW(INSN_TEST, MODRM, INSN_MEM_IMM, IMM),
                  ROW(INSN_NOT, MODRM, INSN_MEM, LOCKABLE), ROW(INSN_NEG, MODRM, INSN_MEM, LOCKABLE)},
    [GROUP_FE] = {ROW(INSN_INC, MODRM, INSN_MEM, LOCKABLE), ROW(INSN_DEC, MODRM, INSN_MEM, LOCKABLE)},
    [GROUP_0FBA] = {[4] = ROW(INSN_BT, MODRM, INSN_MEM_IMM, 0),
                    ROW(INSN_BTS, MODRM, INSN_MEM_IMM, LOCKABLE),
                    ROW(INSN_BTR, MODRM, INSN_MEM_IMM, LOCKABLE),
                    ROW(INSN_BTC, MODRM, INSN_MEM_IMM, LOCKABLE)},
    [GROUP_0FC7] = {[1] = ROW(INSN_CMPXCHG8B, MODRM, INSN_MEM, LOCKABLE | PAIR)},
};

// Prefix bits beside INSN_LOCK, INSN_REP and INSN_REPNE: together the index of a row of `modes`.
#define OPERAND_SIZE BIT(6) // 66
#define ADDRESS_SIZE BIT(7) // 67
#define REX_W        8u
#define REX_X        2u
#define REX_B        1u

// Operand and address size in bytes, by bits / 32 and the two prefixes.
static const struct sizes {
    u8 operand;
    u8 address;
} modes[3][4] = {
    {{2, 2}, {4, 2}, {2, 4}, {4, 4}},
    {{4, 4}, {2, 4}, {4, 2}, {2, 2}},
    {{4, 8}, {2, 8}, {4, 4}, {2, 4}},
};

// What mod and r/m mean; `follow` is what must be done beyond taking a displacement.
enum follow { NOTHING, TAKE_SIB, ABSOLUTE };
struct addressing {
    struct insn_memory memory;
    u8 displacement; // bytes
    u8 follow;       // enum follow
};

#define AT(base, index, segment, displacement, follow)         \
    {                                                          \
        {INSN_##segment, base, index, 0}, displacement, follow \
    }
#define NONE INSN_NO_REG
#define MOD16(d, six)                                                                                      \
    AT(3, 6, DS, d, 0), AT(3, 7, DS, d, 0), AT(5, 6, SS, d, 0), AT(5, 7, SS, d, 0), AT(6, NONE, DS, d, 0), \
        AT(7, NONE, DS, d, 0), six, AT(3, NONE, DS, d, 0)
#define MOD32(d, five)                                                                          \
    AT(0, NONE, DS, d, 0), AT(1, NONE, DS, d, 0), AT(2, NONE, DS, d, 0), AT(3, NONE, DS, d, 0), \
        AT(4, NONE, SS, d, TAKE_SIB), five, AT(6, NONE, DS, d, 0), AT(7, NONE, DS, d, 0)

// SDM vol. 2, tables 2-1 (16-bit addresses) and 2-2, by mod * 8 + r/m.
static const struct addressing addressing16[24] = {
    MOD16(0, AT(NONE, NONE, DS, 2, 0)),
    MOD16(1, AT(5, NONE, SS, 1, 0)),
    MOD16(2, AT(5, NONE, SS, 2, 0)),
};
static const struct addressing addressing32[24] = {
    MOD32(0, AT(NONE, NONE, DS, 4, ABSOLUTE)),
    MOD32(1, AT(5, NONE, SS, 1, 0)),
    MOD32(4, AT(5, NONE, SS, 4, 0)),
};

// Inlined without exception, so that the cursor lives in registers: it halves the cost of a plain MOV.
#define hot static inline __attribute__((always_inline))

struct cursor {
    const u8 *at;
    const u8 *end;
    u8 count;    // bytes from the start to the end
    u8 bits;     // 16, 32, 64
    u8 prefixes; // INSN_LOCK, INSN_REP, INSN_REPNE, OPERAND_SIZE, ADDRESS_SIZE
    u8 override; // enum insn_segment, plus 1; 0: none
    u8 rex;      // the prefix, 0 without
};

// Reads n (1, 2, 4 or 8) bytes as a signed number.
hot bool take(struct cursor *c, unsigned n, s64 *value)
{
    int16_t two;
    int32_t four;
    if ((size_t)(c->end - c->at) < n)
        return false;
    if (n == 1) {
        *value = (int8_t)c->at[0];
    } else if (n == 2) {
        __builtin_memcpy(&two, c->at, sizeof(two));
        *value = two;
    } else if (n == 4) {
        __builtin_memcpy(&four, c->at, sizeof(four));
        *value = four;
    } else {
        __builtin_memcpy(value, c->at, sizeof(*value));
    }
    c->at += n;
    return true;
}

// A REX counts only directly before the opcode; of F2 and F3 the last counts, of the segments too, where
// 64-bit mode does not even see ES, CS, SS and DS.
hot void note_prefix(struct cursor *c, const struct row *row)
{
    c->rex = 0;
    if (row->kind == PREFIX)
        c->prefixes |= row->op;
    else if (row->kind == REPEAT)
        c->prefixes = (u8)((c->prefixes & ~(INSN_REP | INSN_REPNE)) | row->op);
    else if (c->bits != 64 || row->op >= INSN_FS)
        c->override = row->op + 1;
}

// Takes prefixes and opcode. False: the bytes end before.
hot bool take_opcode(struct cursor *c, struct row *row)
{
    while (c->at < c->end) {
        u8 byte = *c->at++;
        *row = one_byte[byte];
        if (row->kind < ESCAPE)
            return true;
        if (row->kind == ESCAPE) {
            if (c->at == c->end)
                return false;
            *row = two_byte[*c->at++];
            return true;
        }
        if (row->kind != REX) {
            note_prefix(c, row);
        } else if (c->bits == 64) {
            c->rex = byte;
        } else {
            row->kind = UNKNOWN;
            return true;
        }
    }
    return false;
}

// SDM vol. 2, tables 2-3 and 2-7. Index 4 means none, but REX.X makes it R12. Base 5 without displacement
// stands for a displacement alone, which without SIB is relative to RIP in 64-bit mode.
hot unsigned take_sib(struct cursor *c, struct insn_memory *m, const struct addressing *a)
{
    if (a->follow == ABSOLUTE) {
        m->base = c->bits == 64 ? INSN_RIP : INSN_NO_REG;
        return 4;
    }
    u8 sib = *c->at++;
    u8 index = (u8)((sib >> 3 & 7) | (c->rex & REX_X) << 2);
    if (index != 4) {
        m->index = index;
        m->scale = sib >> 6;
    }
    bool absolute = a->displacement == 0 && (sib & 7) == 5;
    m->base = absolute ? INSN_NO_REG : (u8)((sib & 7) | (c->rex & REX_B) << 3);
    m->segment = !absolute && (m->base & ~1u) == 4 ? INSN_SS : INSN_DS;
    return absolute ? 4 : a->displacement;
}

// The memory operand. False: the bytes end before.
hot bool take_memory(struct cursor *c, struct insn *insn, u8 modrm)
{
    const struct addressing *table = insn->address_size == 2 ? addressing16 : addressing32;
    const struct addressing *a = &table[(modrm >> 3 & 0x18) | (modrm & 7)];
    unsigned displacement = a->displacement;
    insn->memory = a->memory;
    if (a->follow) {
        if (a->follow == TAKE_SIB && c->at == c->end)
            return false;
        displacement = take_sib(c, &insn->memory, a);
    } else if (c->rex & REX_B) {
        insn->memory.base |= 8;
        insn->memory.segment = INSN_DS;
    }
    if (c->override)
        insn->memory.segment = c->override - 1;
    return !displacement || take(c, displacement, &insn->displacement);
}

// An opcode may be defined in some modes, or without some prefixes, only; and memory may be narrower or wider
// than the register. False: not defined here.
hot bool apply_unusual(const struct cursor *c, struct insn *insn, u32 flags)
{
    if (flags & (NOT64 | ONLY64) && !!(flags & ONLY64) != (c->bits == 64))
        return false;
    if (flags & PLAIN && c->prefixes & (OPERAND_SIZE | INSN_REP | INSN_REPNE))
        return false;
    if (flags & PLAIN && insn->size == 2)
        insn->size = insn->reg_size = 4;
    if (flags & (MEM8 | MEM16))
        insn->size = flags & MEM8 ? 1 : 2;
    if (flags & MEM32 && insn->size > 4)
        insn->size = 4;
    if (flags & PAIR)
        insn->size = insn->size == 8 ? 16 : 8;
    return true;
}

hot void set_sizes(const struct cursor *c, struct insn *insn, u32 flags)
{
    const struct sizes *sizes = &modes[c->bits / 32][c->prefixes / OPERAND_SIZE];
    insn->address_size = sizes->address;
    u8 size = c->rex & REX_W ? 8 : sizes->operand;
    if (flags & BYTE)
        size = 1;
    insn->size = size;
    insn->reg_size = size;
}

hot void set_register(const struct cursor *c, struct insn *insn, u32 flags, u8 modrm)
{
    u8 reg = modrm >> 3 & 7;
    if (flags & BYTE && !c->rex && reg >= 4) {
        reg &= 3;
        insn->high_byte = 1;
    }
    insn->reg = (u8)(reg | (c->rex & 4) << 1);
}

#define RAN_OUT 1 // the bytes end before the instruction does

// For a group, ModRM first selects the row. False: it selects none.
hot bool select_row(struct row *row, u8 modrm)
{
    if (row->kind == GROUP) {
        u32 flags = row->flags;
        *row = groups[row->op][modrm >> 3 & 7];
        row->flags |= flags;
    }
    return row->kind != UNKNOWN;
}

// ModRM and the memory operand it describes.
hot int take_modrm(struct cursor *c, struct insn *insn, struct row *row)
{
    if (c->at == c->end)
        return RAN_OUT;
    u8 modrm = *c->at++;
    if (!select_row(row, modrm))
        return DECODE_UNKNOWN;
    insn->op = row->op;
    insn->form = row->form;
    set_sizes(c, insn, row->flags);
    if (row->flags & UNUSUAL && !apply_unusual(c, insn, row->flags))
        return DECODE_UNKNOWN;
    if (modrm >= 0xc0)
        return c->prefixes & INSN_LOCK ? DECODE_UD : DECODE_UNKNOWN;
    if (row->form <= INSN_REG_MEM)
        set_register(c, insn, row->flags, modrm);
    return take_memory(c, insn, modrm) ? DECODE_OK : RAN_OUT;
}

// Opcodes without ModRM: the register is RAX, memory is at an absolute address or at RSI or RDI.
hot int take_implied(struct cursor *c, struct insn *insn, const struct row *row)
{
    insn->op = row->op;
    insn->form = row->form;
    set_sizes(c, insn, row->flags);
    insn->memory = (struct insn_memory){c->override ? c->override - 1 : INSN_DS, INSN_NO_REG, INSN_NO_REG, 0};
    if (row->kind == MOFFS)
        return take(c, insn->address_size, &insn->displacement) ? DECODE_OK : RAN_OUT;
    insn->memory.base = row->op == INSN_STOS ? 7 : 6;
    if (row->op == INSN_STOS)
        insn->memory.segment = INSN_ES;
    return DECODE_OK;
}

hot bool take_immediate(struct cursor *c, struct insn *insn, u32 flags)
{
    bool byte = flags & IMM8 || insn->size == 1;
    return take(c, byte ? 1 : insn->size == 2 ? 2 : 4, &insn->immediate);
}

// All that follows the opcode.
hot int take_operands(struct cursor *c, struct insn *insn, struct row row)
{
    *insn = (struct insn){.bits = c->bits, .prefixes = c->prefixes & (INSN_LOCK | INSN_REP | INSN_REPNE)};
    const u8 *bytes = c->end - c->count;
    int result = row.kind < MOFFS ? take_modrm(c, insn, &row) : take_implied(c, insn, &row);
    if (result)
        return result;
    if (row.flags & (IMM | IMM8) && !take_immediate(c, insn, row.flags))
        return RAN_OUT;
    insn->length = (u8)(c->at - bytes);
    bool locked = c->prefixes & INSN_LOCK;
    return locked && (!(row.flags & LOCKABLE) || row.form == INSN_REG_MEM) ? DECODE_UD : DECODE_OK;
}

static __attribute__((noinline)) int decode_any(struct insn *insn, const u8 *bytes, size_t count,
                                                unsigned bits)
{
    count = count < INSN_MAX_LENGTH ? count : INSN_MAX_LENGTH;
    struct cursor c = {.at = bytes, .end = bytes + count, .count = (u8)count, .bits = (u8)bits};
    struct row row;
    int result = RAN_OUT;
    if (take_opcode(&c, &row))
        result = row.kind == UNKNOWN ? DECODE_UNKNOWN : take_operands(&c, insn, row);
    if (result != RAN_OUT)
        return result;
    return count == INSN_MAX_LENGTH ? DECODE_GP : DECODE_TRUNCATED;
}

// Most instructions that touch a device or a page table are of the form [REX] opcode ModRM. For them, most of
// what take_operands can do is known not to be needed when this is compiled; the rest goes to decode_any.
int insn_decode(struct insn *insn, const u8 *bytes, size_t count, unsigned bits)
{
    if (bits != 64 || count < INSN_MAX_LENGTH)
        return decode_any(insn, bytes, count, bits);
    struct cursor c = {.at = bytes, .end = bytes + INSN_MAX_LENGTH, .count = INSN_MAX_LENGTH, .bits = 64};
    if ((*c.at & 0xf0) == 0x40)
        c.rex = *c.at++;
    struct row row = one_byte[*c.at++];
    if (row.kind != MODRM || row.flags & ~(BYTE | LOCKABLE))
        return decode_any(insn, bytes, count, bits);
    return take_operands(&c, insn, row);
}

bool insn_writes_memory(const struct insn *insn)
{
    if (insn->op == INSN_CMP || insn->op == INSN_TEST || insn->op == INSN_BT || insn->op == INSN_LODS)
        return false;
    return insn->form != INSN_REG_MEM;
}
