// The decoder of instructions that touch memory: what a guest does to a device register, or to a page-table
// page that is write-protected. It knows the integer instructions that compilers and kernels use for that,
// and no others; it knows them exactly (SDM vol. 2). It reads only the bytes it is given, has no state, and
// takes about 100 instructions for a MOV. What the instruction does is in emulate.h.
#pragma once

#include <arch/gprs.h>
#include <arch/types.h>

enum insn_op {
    INSN_ADD, // ADD to CMP: in the order of their encoding
    INSN_OR,
    INSN_ADC,
    INSN_SBB,
    INSN_AND,
    INSN_SUB,
    INSN_XOR,
    INSN_CMP,
    INSN_TEST,
    INSN_NOT,
    INSN_NEG,
    INSN_INC,
    INSN_DEC,
    INSN_MOV, // also MOVNTI
    INSN_MOVZX,
    INSN_MOVSX, // also MOVSXD
    INSN_XCHG,
    INSN_XADD,
    INSN_CMPXCHG,
    INSN_CMPXCHG8B, // size 16: CMPXCHG16B
    INSN_BT,
    INSN_BTS,
    INSN_BTR,
    INSN_BTC,
    INSN_MOVS,
    INSN_STOS,
    INSN_LODS,
    INSN_OPS
};

// Which operands there are, the destination first.
enum insn_form {
    INSN_MEM_REG,
    INSN_REG_MEM,
    INSN_MEM_IMM,
    INSN_MEM,    // memory only; CMPXCHG8B has its registers implied
    INSN_STRING, // memory at RSI and/or RDI, RAX implied
};

// Segments in the order of their encoding.
enum insn_segment { INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS };

// Where an operand is: an offset as wide as the instruction's addresses, in a segment. Nothing is checked.
struct insn_address {
    u64 offset;
    u8 segment; // enum insn_segment
};

#define INSN_NO_REG 0xff // no base, no index
#define INSN_RIP    16   // as base: relative to the next instruction

#define INSN_LOCK  BIT(0)
#define INSN_REP   BIT(1) // F3
#define INSN_REPNE BIT(2) // F2: MOVS, STOS and LODS take it for REP

#define INSN_MAX_LENGTH 15

struct insn_memory {
    u8 segment; // enum insn_segment; MOVS: of the source, its destination is always ES:RDI
    u8 base;    // register number, INSN_RIP or INSN_NO_REG
    u8 index;   // register number or INSN_NO_REG
    u8 scale;   // the index is shifted left by it: 0..3
};

struct insn {
    u8 length; // bytes
    u8 op;     // enum insn_op
    u8 form;   // enum insn_form
    u8 bits;   // 16, 32, 64: as given to insn_decode

    u8 size;         // bytes of the memory operand: 1, 2, 4, 8, 16
    u8 reg_size;     // bytes of the register operand: not `size` for MOVZX and MOVSX
    u8 address_size; // bytes: 2, 4, 8
    u8 prefixes;     // INSN_LOCK, INSN_REP, INSN_REPNE

    u8 reg;       // number of the register operand, 0..15 (RAX where it is implied)
    u8 high_byte; // 1: it is AH, CH, DH or BH, and reg is 0..3
    u8 stores;    // set by insn_cache_decode alone: 1: as kernels write page tables
    struct insn_memory memory;

    s64 displacement; // sign-extended; an absolute 64-bit address for A0 to A3
    s64 immediate;    // sign-extended
};

// As operand or in the address.
static inline bool insn_uses_stack_pointer(const struct insn *insn)
{
    return insn->reg == GPR_RSP || insn->memory.base == GPR_RSP;
}

enum decode_result {
    DECODE_OK = 0,
    DECODE_TRUNCATED = ERR_INVALID, // more bytes are needed
    DECODE_UNKNOWN = ERR_ABSENT,    // touches no memory, is not supported, or is undefined
    DECODE_UD = -16,                // a supported opcode with a LOCK that it does not allow: #UD
    DECODE_GP = -17,                // longer than 15 bytes: #GP(0)
};

// Decodes the instruction that starts at `bytes`, of which `count` may be read; more than 15 are never looked
// at. `bits` is 64 with CS.L, else 32 or 16 by CS.D (16 in real and virtual-8086 mode). `insn` holds sensible
// values only after DECODE_OK.
int insn_decode(struct insn *insn, const u8 *bytes, size_t count, unsigned bits) must_check;

// Whether it can change its memory operand: then a fault of its read is that of a write, too (error code W).
bool insn_writes_memory(const struct insn *insn);
