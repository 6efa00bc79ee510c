// The decoder against Zydis: every supported opcode with every ModRM byte under many prefixes in the three
// modes, then random bytes. Both directions: what we claim to know must be what Zydis says, and what Zydis
// calls a supported instruction with memory must be known to us. Also each result other than success.

// link: hv/insn/decode.c

// libs: -lZydis
#include "support.h"

#include <Zydis/Zydis.h>

#include "hv/insn/decode.h"

static ZydisDecoder decoders[3];
static const unsigned mode_bits[3] = {16, 32, 64};

// What is compared with what, for the message.
struct subject {
    const u8 *bytes;
    size_t count;
    unsigned mode;
};

static void complain(const struct subject *s, const char *what, s64 ours, s64 theirs)
{
    char text[INSN_MAX_LENGTH * 3 + 1] = "";
    for (size_t i = 0; i < s->count && i < INSN_MAX_LENGTH; i++)
        fmt(text + 3 * i, 4, " %02x", s->bytes[i]);
    fail_msg("%u bits,%s: %s is %lld, Zydis says %lld", mode_bits[s->mode], text, what, (long long)ours,
             (long long)theirs);
}

static void same(const struct subject *s, const char *what, s64 ours, s64 theirs)
{
    if (ours != theirs)
        complain(s, what, ours, theirs);
}

static const struct name {
    ZydisMnemonic mnemonic;
    enum insn_op op;
} names[] = {
    {ZYDIS_MNEMONIC_ADD, INSN_ADD},         {ZYDIS_MNEMONIC_OR, INSN_OR},
    {ZYDIS_MNEMONIC_ADC, INSN_ADC},         {ZYDIS_MNEMONIC_SBB, INSN_SBB},
    {ZYDIS_MNEMONIC_AND, INSN_AND},         {ZYDIS_MNEMONIC_SUB, INSN_SUB},
    {ZYDIS_MNEMONIC_XOR, INSN_XOR},         {ZYDIS_MNEMONIC_CMP, INSN_CMP},
    {ZYDIS_MNEMONIC_TEST, INSN_TEST},       {ZYDIS_MNEMONIC_NOT, INSN_NOT},
    {ZYDIS_MNEMONIC_NEG, INSN_NEG},         {ZYDIS_MNEMONIC_INC, INSN_INC},
    {ZYDIS_MNEMONIC_DEC, INSN_DEC},         {ZYDIS_MNEMONIC_MOV, INSN_MOV},
    {ZYDIS_MNEMONIC_MOVNTI, INSN_MOV},      {ZYDIS_MNEMONIC_MOVZX, INSN_MOVZX},
    {ZYDIS_MNEMONIC_MOVSX, INSN_MOVSX},     {ZYDIS_MNEMONIC_MOVSXD, INSN_MOVSX},
    {ZYDIS_MNEMONIC_XCHG, INSN_XCHG},       {ZYDIS_MNEMONIC_XADD, INSN_XADD},
    {ZYDIS_MNEMONIC_CMPXCHG, INSN_CMPXCHG}, {ZYDIS_MNEMONIC_CMPXCHG8B, INSN_CMPXCHG8B},
    {ZYDIS_MNEMONIC_BT, INSN_BT},           {ZYDIS_MNEMONIC_CMPXCHG16B, INSN_CMPXCHG8B},
    {ZYDIS_MNEMONIC_BTS, INSN_BTS},         {ZYDIS_MNEMONIC_BTR, INSN_BTR},
    {ZYDIS_MNEMONIC_BTC, INSN_BTC},         {ZYDIS_MNEMONIC_MOVSB, INSN_MOVS},
    {ZYDIS_MNEMONIC_MOVSW, INSN_MOVS},      {ZYDIS_MNEMONIC_MOVSD, INSN_MOVS},
    {ZYDIS_MNEMONIC_MOVSQ, INSN_MOVS},      {ZYDIS_MNEMONIC_STOSB, INSN_STOS},
    {ZYDIS_MNEMONIC_STOSW, INSN_STOS},      {ZYDIS_MNEMONIC_STOSD, INSN_STOS},
    {ZYDIS_MNEMONIC_STOSQ, INSN_STOS},      {ZYDIS_MNEMONIC_LODSB, INSN_LODS},
    {ZYDIS_MNEMONIC_LODSW, INSN_LODS},      {ZYDIS_MNEMONIC_LODSD, INSN_LODS},
    {ZYDIS_MNEMONIC_LODSQ, INSN_LODS},
};

struct reference {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    const ZydisDecodedOperand *memory; // the first one; of MOVS the source
    const ZydisDecodedOperand *reg;
    const ZydisDecodedOperand *immediate;
};

static bool is_string(const struct reference *r)
{
    return r->insn.mnemonic >= ZYDIS_MNEMONIC_LODSB && r->memory && r->insn.operand_count_visible == 0;
}

static bool is_gpr(ZydisRegister reg)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(reg);
    return class >= ZYDIS_REGCLASS_GPR8 && class <= ZYDIS_REGCLASS_GPR64;
}

static void sort_operands(struct reference *r)
{
    r->memory = r->reg = r->immediate = NULL;
    for (unsigned i = 0; i < r->insn.operand_count; i++) {
        const ZydisDecodedOperand *o = &r->operands[i];
        bool named = o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN;
        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && (!r->memory || !named))
            r->memory = o;
        else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && named && !r->reg)
            r->reg = o;
        else if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
            r->immediate = o;
    }
}

// The operation that Zydis sees, or -1 when it is none of those that must be known.
static int supported_op(const struct reference *r)
{
    if (!r->memory || r->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return -1;
    if (r->reg && !is_gpr(r->reg->reg.value))
        return -1;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].mnemonic == r->insn.mnemonic)
            return (int)names[i].op;
    return -1;
}

static s64 reg_number(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_NONE)
        return INSN_NO_REG;
    if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
        return INSN_RIP;
    if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
        return reg - ZYDIS_REGISTER_AH;
    if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
        return reg - ZYDIS_REGISTER_SPL + 4;
    return ZydisRegisterGetId(reg);
}

// Zydis 4.0 gives MOVSXD with 66 four bytes of memory, as AMD does. Intel's manual says two (MOVSXD r16,
// r/m16).
static s64 memory_bits(const struct reference *r)
{
    bool narrow = r->insn.mnemonic == ZYDIS_MNEMONIC_MOVSXD && r->insn.operand_width == 16;
    return narrow ? 16 : r->memory->size;
}

// Zydis 4.0 finds R13 as base in [disp32 + index] when both 67 and REX.B are there, and forgets the
// displacement. Tables 2-3 and 2-5 of SDM vol. 2 (the latter says that REX.B is not decoded), and binutils,
// have none.
static s64 base_number(const struct reference *r)
{
    bool absolute =
        r->memory->mem.base == ZYDIS_REGISTER_R13D && r->insn.raw.modrm.rm == 4 && r->insn.raw.modrm.mod == 0;
    return absolute ? INSN_NO_REG : reg_number(r->memory->mem.base);
}

static void same_memory(const struct subject *s, const struct insn *i, const struct reference *r)
{
    const ZydisDecodedOperand *m = r->memory;
    static const u8 scales[9] = {[2] = 1, [4] = 2, [8] = 3};
    u64 mask = ~0ull >> (64 - 8 * i->address_size);
    same(s, "size", i->size * 8, memory_bits(r));
    same(s, "address size", i->address_size * 8, r->insn.address_width);
    same(s, "segment", i->memory.segment, m->mem.segment - ZYDIS_REGISTER_ES);
    same(s, "base", i->memory.base, base_number(r));
    same(s, "index", i->memory.index, reg_number(m->mem.index));
    if (m->mem.index != ZYDIS_REGISTER_NONE)
        same(s, "scale", i->memory.scale, scales[m->mem.scale]);
    same(s, "displacement", (s64)((u64)i->displacement & mask), (s64)((u64)r->insn.raw.disp.value & mask));
}

static void same_register(const struct subject *s, const struct insn *i, const struct reference *r)
{
    if (i->form != INSN_MEM_REG && i->form != INSN_REG_MEM)
        return same(s, "register operand", 0, r->reg && i->form != INSN_STRING && i->op != INSN_CMPXCHG8B);
    ZydisRegister reg = r->reg->reg.value;
    same(s, "register", i->reg, reg_number(reg));
    same(s, "high byte", i->high_byte, reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH);
    same(s, "register size", i->reg_size * 8, r->reg->size);
    bool first = r->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
    if (i->op != INSN_TEST && i->op != INSN_XCHG)
        same(s, "memory first", i->form == INSN_MEM_REG, first);
}

static void same_rest(const struct subject *s, const struct insn *i, const struct reference *r)
{
    u64 mask = ~0ull >> (i->size < 8 ? 64 - 8 * i->size : 0);
    if (i->op >= INSN_BT && i->op <= INSN_BTC)
        mask = 0xff; // Zydis does not extend a bit number
    same(s, "immediate operand", i->form == INSN_MEM_IMM, r->immediate != NULL);
    if (r->immediate)
        same(s, "immediate", (s64)((u64)i->immediate & mask), (s64)(r->immediate->imm.value.u & mask));
    same(s, "LOCK", !!(i->prefixes & INSN_LOCK), !!(r->insn.attributes & ZYDIS_ATTRIB_HAS_LOCK));
    bool writes = false;
    for (unsigned o = 0; o < r->insn.operand_count; o++)
        writes |= r->operands[o].type == ZYDIS_OPERAND_TYPE_MEMORY &&
                  r->operands[o].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    same(s, "writes memory", insn_writes_memory(i), writes);
    bool repeats = i->form == INSN_STRING && i->prefixes & (INSN_REP | INSN_REPNE);
    bool theirs = r->insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPNE);
    same(s, "repeats", repeats, is_string(r) && theirs);
}

static u64 known, illegal, unknown;

// One instruction: the two decoders must agree.
static void check(const u8 *bytes, size_t count, unsigned mode)
{
    struct subject s = {bytes, count, mode};
    struct insn insn;
    struct reference r;
    int ours = insn_decode(&insn, bytes, count, mode_bits[mode]);
    ZyanStatus theirs = ZydisDecoderDecodeFull(&decoders[mode], bytes, count, &r.insn, r.operands);
    if (!ZYAN_SUCCESS(theirs)) {
        if (ours == DECODE_OK)
            complain(&s, "result", ours, theirs);
        illegal++;
        return;
    }
    sort_operands(&r);
    int op = supported_op(&r);
    unknown += op < 0;
    same(&s, "result", ours, op < 0 ? DECODE_UNKNOWN : DECODE_OK);
    if (op < 0)
        return;
    known++;
    same(&s, "operation", insn.op, op);
    same(&s, "length", insn.length, r.insn.length);
    same_memory(&s, &insn, &r);
    same_register(&s, &insn, &r);
    same_rest(&s, &insn, &r);
}

// Prefixes, then one or two opcode bytes, ModRM, and random bytes after it.
static void check_form(const char *prefixes, u8 rex, unsigned opcode, u8 modrm, unsigned mode)
{
    u8 bytes[INSN_MAX_LENGTH];
    size_t n = strlen(prefixes);
    memcpy(bytes, prefixes, n);
    if (rex)
        bytes[n++] = rex;
    if (opcode >= 0x100)
        bytes[n++] = 0x0f;
    bytes[n++] = (u8)opcode;
    bytes[n++] = modrm;
    for (u64 noise = random_u64(); n < sizeof(bytes); noise = noise >> 8 | noise << 56)
        bytes[n++] = (u8)noise;
    check(bytes, sizeof(bytes), mode);
}

static const char *const prefix_sets[] = {
    "",         "\x66",     "\x67",     "\xf0",     "\xf2",     "\xf3",     "\x2e",         "\x64",
    "\x65\x3e", "\x26",     "\x36",     "\x66\x67", "\xf0\x66", "\xf2\xf3", "\xf3\xf2",     "\xf0\xf3\x65",
    "\x64\x26", "\x67\x64", "\xf0\x67", "\x66\xf3", "\x66\x66", "\x48\x66", "\x67\xf3\x36", "\x66\xf2",
};

static void every_opcode(void **state)
{
    (void)state;
    known = illegal = unknown = 0;
    for (unsigned mode = 0; mode < 3; mode++)
        for (unsigned opcode = 0; opcode < 0x200; opcode++)
            for (unsigned modrm = 0; modrm < 0x100; modrm++)
                check_form("", 0, opcode, (u8)modrm, mode);
    print_message("# %llu known, %llu not, %llu illegal\n", (unsigned long long)known,
                  (unsigned long long)unknown, (unsigned long long)illegal);
    assert_true(known > 40000 && unknown > 50000 && illegal > 1000);
}

// The opcodes of the tables, found by asking the decoder itself, so that none can be forgotten here;
// every_opcode has shown that it asks for all.
static bool opcode_known(unsigned opcode, unsigned mode)
{
    struct insn insn;
    for (unsigned reg = 0; reg < 8; reg++) {
        u8 bytes[INSN_MAX_LENGTH] = {0x0f, (u8)opcode, (u8)(reg << 3)};
        u8 *start = opcode < 0x100 ? bytes + 1 : bytes;
        if (insn_decode(&insn, start, 14, mode_bits[mode]) == DECODE_OK)
            return true;
    }
    return false;
}

static void check_opcode(unsigned opcode, unsigned mode)
{
    static const u8 rexes[] = {0, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4f};
    for (unsigned p = 0; p < ARRAY_SIZE(prefix_sets); p++)
        for (unsigned x = 0; x < (mode == 2 ? ARRAY_SIZE(rexes) : 1); x++)
            for (unsigned modrm = 0; modrm < 0xc8; modrm++)
                check_form(prefix_sets[p], rexes[x], opcode, (u8)modrm, mode);
}

static void every_form(void **state)
{
    (void)state;
    known = illegal = unknown = 0;
    for (unsigned mode = 0; mode < 3; mode++)
        for (unsigned opcode = 0; opcode < 0x200; opcode++)
            if (opcode_known(opcode, mode))
                check_opcode(opcode, mode);
    assert_true(known > 1000000);
}

static void every_sib(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 0x10 * 0x300; i++) {
        u8 sib = (u8)i, mod = (u8)(i >> 8 & 3), rex = (u8)(0x40 | i >> 10);
        u8 bytes[INSN_MAX_LENGTH] = {rex, 0x89, (u8)(mod << 6 | 0x0c), sib, 0x80, 1, 2, 0x83};
        check(bytes, sizeof(bytes), 2);
        check(bytes + 1, sizeof(bytes) - 1, 1);
    }
}

static void random_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 600000; i++) {
        u64 words[2] = {random_u64(), random_u64()};
        u8 *bytes = (u8 *)words;
        if (i & 1)
            bytes[random_below(3)] = 0x0f;
        check(bytes, INSN_MAX_LENGTH, i % 3);
    }
}

static int decode(const char *bytes, size_t count, unsigned bits)
{
    struct insn insn;
    return insn_decode(&insn, (const u8 *)bytes, count, bits);
}

// Each proper beginning of an instruction is truncated, unless it is already known to be of no interest.
static void truncation(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300000; i++) {
        u64 words[2] = {random_u64(), random_u64()};
        u8 *bytes = (u8 *)words;
        struct insn insn, again;
        if (insn_decode(&insn, bytes, INSN_MAX_LENGTH, mode_bits[i % 3]) != DECODE_OK)
            continue;
        for (size_t count = 0; count < insn.length; count++)
            assert_int_equal(insn_decode(&again, bytes, count, mode_bits[i % 3]), DECODE_TRUNCATED);
        assert_int_equal(insn_decode(&again, bytes, insn.length, mode_bits[i % 3]), DECODE_OK);
        assert_memory_equal(&insn, &again, sizeof(insn));
    }
}

static void refusals(void **state)
{
    (void)state;
    assert_int_equal(decode("\xf0\x48\x89\x07", 4, 64), DECODE_UD);     // lock mov %rax,(%rdi)
    assert_int_equal(decode("\xf0\x03\x07", 3, 64), DECODE_UD);         // lock add (%rdi),%eax
    assert_int_equal(decode("\xf0\x01\xc7", 3, 64), DECODE_UD);         // lock add %eax,%edi
    assert_int_equal(decode("\xf0\x39\x07", 3, 64), DECODE_UD);         // lock cmp %eax,(%rdi)
    assert_int_equal(decode("\xf0\x0f\xa3\x07", 4, 64), DECODE_UD);     // lock bt %eax,(%rdi)
    assert_int_equal(decode("\xf0\xf6\x07\x01", 4, 64), DECODE_UD);     // lock testb $1,(%rdi)
    assert_int_equal(decode("\xf0\x66\x0f\xb6\x07", 5, 64), DECODE_UD); // lock movzx
    assert_int_equal(decode("\xf0\xab", 2, 64), DECODE_UD);             // lock stos
    assert_int_equal(decode("\x89\xc7", 2, 64), DECODE_UNKNOWN);        // mov %eax,%edi
    assert_int_equal(decode("\x0f\x10\x07", 3, 64), DECODE_UNKNOWN);    // movups
    assert_int_equal(decode("\xff\x37", 2, 64), DECODE_UNKNOWN);        // push (%rdi)
    assert_int_equal(decode("\xf3\xa6", 2, 64), DECODE_UNKNOWN);        // repe cmpsb
    assert_int_equal(decode("\x48\x89\x07", 3, 32), DECODE_UNKNOWN);    // 48 is DEC there
    assert_int_equal(decode("\x63\x07", 2, 32), DECODE_UNKNOWN);        // and 63 ARPL
    assert_int_equal(decode("", 0, 64), DECODE_TRUNCATED);
}

// 15 bytes are the most, whatever follows: ten prefixes before an instruction of five and of six.
static void lengths(void **state)
{
    (void)state;
    const char fits[] = "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x81\x07\x01\x02\x03";
    const char over[] = "\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x81\x07\x01\x02\x03\x04";
    char prefixes[20];
    memset(prefixes, 0x66, sizeof(prefixes));
    assert_int_equal(decode(over, 16, 64), DECODE_GP);
    assert_int_equal(decode(over, 15, 64), DECODE_GP);
    assert_int_equal(decode(over, 14, 64), DECODE_TRUNCATED);
    assert_int_equal(decode(fits, 15, 64), DECODE_OK);
    assert_int_equal(decode(prefixes, sizeof(prefixes), 64), DECODE_GP);
    assert_int_equal(decode(prefixes, 14, 64), DECODE_TRUNCATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_opcode), cmocka_unit_test(every_form), cmocka_unit_test(every_sib),
        cmocka_unit_test(random_bytes), cmocka_unit_test(truncation), cmocka_unit_test(refusals),
        cmocka_unit_test(lengths),
    };
    ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
