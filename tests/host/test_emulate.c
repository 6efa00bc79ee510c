// The emulation against Unicorn: the same random instruction on the same random registers, flags and memory
// in the three modes; then what Unicorn cannot show: callbacks that fail, runs of string instructions, and
// the value of a single write. Random instructions come from random bytes behind each opcode that decodes.

// link: hv/insn/decode.c hv/insn/emulate.c

// libs: -lZydis -lunicorn
#include "support.h"

#include <Zydis/Zydis.h>
#include <unicorn/unicorn.h>

#include "hv/insn/emulate.h"

#define CODE       0x1000u
#define DATA       0x4000u
#define DATA_BYTES 0x8000u

// One mode: both processors, and where its segments start.
struct machine {
    unsigned bits;
    uc_engine *uc;
    ZydisDecoder zydis;
    u64 bases[6]; // by enum insn_segment
    u8 memory[DATA_BYTES];
    int fail_at;      // the callback that fails, counted down; 0: none
    unsigned updates; // reads that a write follows
};

// One instruction with all that it starts from.
struct subject {
    u8 bytes[INSN_MAX_LENGTH];
    struct insn insn;
    struct gprs gprs;
    u64 rflags;
};

#define FAILURE 77

static bool fails(struct machine *m)
{
    return m->fail_at && --m->fail_at == 0;
}

static u8 *memory_at(struct machine *m, u64 gva, unsigned size)
{
    assert_in_range(gva, DATA, DATA + DATA_BYTES - size);
    return m->memory + (gva - DATA);
}

static u64 linear(const struct machine *m, struct insn_address at)
{
    if (m->bits == 64 && at.segment < INSN_FS)
        return at.offset;
    u64 gva = m->bases[at.segment] + at.offset;
    return m->bits == 64 ? gva : (u32)gva;
}

static int memory_read(void *context, struct insn_address at, void *data, unsigned size, bool update)
{
    struct machine *m = context;
    m->updates += update;
    memcpy(data, memory_at(m, linear(m, at), size), size);
    return fails(m) ? FAILURE : 0;
}

static int memory_write(void *context, struct insn_address at, const void *data, unsigned size)
{
    struct machine *m = context;
    if (fails(m))
        return FAILURE;
    memcpy(memory_at(m, linear(m, at), size), data, size);
    return 0;
}

static const struct emulate_ops ops = {memory_read, memory_write};

static struct emulation emulation_of(struct machine *m, struct subject *s)
{
    return (struct emulation){&s->gprs, CODE, s->rflags, &ops, m};
}

static const int uc_gprs[GPRS] = {UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX,
                                  UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_RSI, UC_X86_REG_RDI,
                                  UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
                                  UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15};
static const int uc_gprs32[8] = {UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX,
                                 UC_X86_REG_ESP, UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI};

static void uc_must(uc_err error)
{
    if (error)
        fail_msg("unicorn: %s", uc_strerror(error));
}

static void machine_make(struct machine *m, unsigned bits)
{
    static const uc_mode modes[3] = {UC_MODE_16, UC_MODE_32, UC_MODE_64};
    static const ZydisMachineMode zydis[3] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32,
                                              ZYDIS_MACHINE_MODE_LONG_64};
    static const int segments[6] = {UC_X86_REG_ES, UC_X86_REG_CS, UC_X86_REG_SS,
                                    UC_X86_REG_DS, UC_X86_REG_FS, UC_X86_REG_GS};
    *m = (struct machine){.bits = bits};
    uc_must(uc_open(UC_ARCH_X86, modes[bits / 32], &m->uc));
    uc_must(uc_mem_map(m->uc, 0, 0x10000, UC_PROT_ALL));
    ZydisDecoderInit(&m->zydis, zydis[bits / 32], (ZydisStackWidth)(bits / 32));
    for (unsigned i = 0; i < 6 && bits == 16; i++) {
        u64 selector = i == INSN_CS ? 0 : 0x10 * (i + 1);
        m->bases[i] = selector << 4;
        uc_must(uc_reg_write(m->uc, segments[i], &selector));
    }
    if (bits == 64) {
        m->bases[INSN_FS] = 0x123;
        m->bases[INSN_GS] = ~0ull << 40;
        uc_must(uc_reg_write(m->uc, UC_X86_REG_FS_BASE, &m->bases[INSN_FS]));
        uc_must(uc_reg_write(m->uc, UC_X86_REG_GS_BASE, &m->bases[INSN_GS]));
    }
}

static void uc_gpr(struct machine *m, unsigned i, u64 *value, bool write)
{
    int reg = m->bits == 64 ? uc_gprs[i] : uc_gprs32[i];
    uc_must(write ? uc_reg_write(m->uc, reg, value) : uc_reg_read(m->uc, reg, value));
}

// The linear address of the memory operand.
static u64 operand_gva(struct machine *m, struct subject *s)
{
    struct emulation e = emulation_of(m, s);
    return linear(m, emulate_address(&s->insn, &e));
}

static void complain(const struct machine *m, const struct subject *s, const char *what, u64 ours, u64 theirs)
{
    char text[INSN_MAX_LENGTH * 3 + 1] = "";
    for (unsigned i = 0; i < s->insn.length; i++)
        fmt(text + 3 * i, 4, " %02x", s->bytes[i]);
    fail_msg("%u bits,%s: %s is %llx, Unicorn says %llx", m->bits, text, what, (unsigned long long)ours,
             (unsigned long long)theirs);
}

static void same(const struct machine *m, const struct subject *s, const char *what, u64 ours, u64 theirs)
{
    if (ours != theirs)
        complain(m, s, what, ours, theirs);
}

// Runs the instruction in Unicorn. What it leaves goes to gprs, rflags and rip.
static void uc_run(struct machine *m, const struct subject *s, struct gprs *gprs, u64 *rflags, u64 *rip)
{
    *gprs = (struct gprs){0};
    for (unsigned i = 0; i < (m->bits == 64 ? 16 : 8); i++)
        uc_gpr(m, i, (u64 *)&s->gprs.r[i], true);
    uc_must(uc_reg_write(m->uc, UC_X86_REG_EFLAGS, &s->rflags));
    uc_must(uc_mem_write(m->uc, CODE, s->bytes, sizeof(s->bytes)));
    uc_must(uc_ctl_remove_cache(m->uc, CODE, CODE + sizeof(s->bytes)));
    uc_must(uc_mem_write(m->uc, DATA, m->memory, DATA_BYTES));
    same(m, s, "error", 0, uc_emu_start(m->uc, CODE, CODE + s->insn.length, 0, 0));
    for (unsigned i = 0; i < (m->bits == 64 ? 16 : 8); i++)
        uc_gpr(m, i, &gprs->r[i], false);
    *rflags = *rip = 0;
    uc_must(uc_reg_read(m->uc, UC_X86_REG_EFLAGS, rflags));
    uc_must(uc_reg_read(m->uc, m->bits == 64 ? UC_X86_REG_RIP : UC_X86_REG_EIP, rip));
}

static const u8 one_byte[] = {
    0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a,
    0x1b, 0x20, 0x21, 0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39,
    0x3a, 0x3b, 0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0xa0,
    0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff,
};
static const u8 two_byte[] = {0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7, 0xba,
                              0xbb, 0xbe, 0xbf, 0xc0, 0xc1, 0xc3, 0xc7};

static void pick_bytes(struct subject *s, unsigned bits)
{
    // The last two are not for 64-bit mode, where QEMU lets them undo an FS or GS before them. SDM vol.
    // 2, 2.1.1 and Zydis ignore them there, and so do we.
    static const u8 prefixes[] = {0x66, 0x66, 0x67, 0xf0, 0xf3, 0x64, 0x65, 0x36, 0x26};
    unsigned choice = ARRAY_SIZE(prefixes) - (bits == 64 ? 2 : 0);
    u64 noise[2] = {random_u64(), random_u64()};
    unsigned n = 0, opcode = (unsigned)random_below(ARRAY_SIZE(one_byte) + ARRAY_SIZE(two_byte));
    memcpy(s->bytes, noise, sizeof(s->bytes));
    while (n < 3 && random_below(2))
        s->bytes[n++] = prefixes[random_below(choice)];
    if (bits == 64 && random_below(2))
        s->bytes[n++] = (u8)(0x40 | random_below(16));
    if (opcode >= ARRAY_SIZE(one_byte))
        s->bytes[n++] = 0x0f;
    s->bytes[n] = opcode < ARRAY_SIZE(one_byte) ? one_byte[opcode] : two_byte[opcode - ARRAY_SIZE(one_byte)];
}

// Values near the ends and the signs are where flags go wrong.
static u64 pick_value(void)
{
    static const u64 edges[] = {0,      1,          ~0ull,      0x80,    0x7f,    0x8000,
                                0x7fff, 0x80000000, 0x7fffffff, BIT(63), ~BIT(63)};
    return random_below(3) ? random_u64() : edges[random_below(ARRAY_SIZE(edges))];
}

static void pick_state(struct machine *m, struct subject *s)
{
    for (unsigned i = 0; i < (m->bits == 64 ? 16 : 8); i++)
        s->gprs.r[i] = m->bits == 64 ? pick_value() : (u32)pick_value();
    s->rflags = BIT(1) | (random_u64() & (RFLAGS_STATUS | RFLAGS_DF));
    for (unsigned i = 0; i < DATA_BYTES; i += 8) {
        u64 value = pick_value();
        memcpy(m->memory + i, &value, 8);
    }
}

static void aim_register(struct machine *m, u64 *reg, u64 by)
{
    *reg += by;
    if (m->bits != 64)
        *reg = (u32)*reg;
}

// Bends the displacement in the bytes, where there is no base to bend.
static void aim_displacement(struct machine *m, struct subject *s, u64 by)
{
    ZydisDecodedInstruction z;
    u64 value = (u64)s->insn.displacement + by;
    assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&m->zydis, NULL, s->bytes, sizeof(s->bytes), &z)));
    memcpy(s->bytes + z.raw.disp.offset, &value, z.raw.disp.size / 8);
}

static void aim_string(struct machine *m, struct subject *s)
{
    u64 es = m->bits == 64 ? 0 : m->bases[INSN_ES];
    s->gprs.r[GPR_RDI] = DATA + DATA_BYTES / 2 + random_below(99) - es;
    s->gprs.r[GPR_RCX] = random_below(4) ? random_below(20) : random_below(2 * EMULATE_RUN);
}

// QEMU takes TEST in its second encoding (F6 and F7 /1), and MOV of an immediate with a REX.R (which extends
// nothing there), for undefined. They are in SDM vol. 2 and Zydis: test_decode.c has them.
static bool unicorn_lacks(const struct machine *m, const struct subject *s)
{
    ZydisDecodedInstruction z;
    assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&m->zydis, NULL, s->bytes, sizeof(s->bytes), &z)));
    if (s->insn.op == INSN_TEST)
        return s->insn.form == INSN_MEM_IMM && z.raw.modrm.reg == 1;
    return s->insn.op == INSN_MOV && s->insn.form == INSN_MEM_IMM && z.raw.rex.R;
}

// Makes the memory operand lie in the middle of the data. False: it would not.
static bool aim(struct machine *m, struct subject *s)
{
    u64 target = DATA + DATA_BYTES / 2 + random_below(300);
    if (s->insn.form == INSN_STRING)
        aim_string(m, s);
    if (s->insn.size == 16)
        target &= ~15ull;
    u64 by = target - operand_gva(m, s);
    u8 base = s->insn.memory.base;
    if (s->insn.form == INSN_STRING && s->insn.op == INSN_STOS)
        by = 0;
    if (base < GPRS)
        aim_register(m, &s->gprs.r[base], by);
    else
        aim_displacement(m, s, by);
    if (insn_decode(&s->insn, s->bytes, sizeof(s->bytes), m->bits) != DECODE_OK)
        return false;
    return by == 0 || operand_gva(m, s) == target;
}

static void pick(struct machine *m, struct subject *s)
{
    do {
        *s = (struct subject){0};
        pick_bytes(s, m->bits);
        pick_state(m, s);
    } while (insn_decode(&s->insn, s->bytes, sizeof(s->bytes), m->bits) != DECODE_OK || unicorn_lacks(m, s) ||
             !aim(m, s));
}

// Those that the SDM defines; of LOCK NEG none, because QEMU takes them from the old value there.
static u64 defined_flags(const struct insn *insn)
{
    if (insn->op == INSN_NEG && insn->prefixes & INSN_LOCK)
        return RFLAGS_DF;
    if (insn->op >= INSN_BT && insn->op <= INSN_BTC)
        return RFLAGS_CF | RFLAGS_ZF | RFLAGS_DF;
    if (insn->op == INSN_AND || insn->op == INSN_OR || insn->op == INSN_XOR || insn->op == INSN_TEST)
        return (RFLAGS_STATUS & ~RFLAGS_AF) | RFLAGS_DF;
    return RFLAGS_STATUS | RFLAGS_DF;
}

// Until RIP moves: a long repetition takes several calls.
static void emulate_all(const struct insn *insn, struct emulation *e)
{
    do
        assert_int_equal(insn_emulate(insn, e), 0);
    while (e->rip == CODE);
}

// The write fast path gives memory, registers and flags that the whole emulation gives.
static void check_write_value(struct machine *m, struct subject *s, const struct emulation *e, u64 gva,
                              u64 old)
{
    struct gprs gprs = s->gprs;
    u64 rflags = s->rflags, new = 0, mask = ~0ull >> (s->insn.size < 8 ? 64 - 8 * s->insn.size : 0), now = 0;
    bool can = insn_writes_memory(&s->insn) && s->insn.form != INSN_STRING && s->insn.size < 16;
    assert_int_equal(insn_write_value(&s->insn, &gprs, &rflags, old, &new), can);
    if (!can)
        return assert_memory_equal(&gprs, &s->gprs, sizeof(gprs));
    memcpy(&now, memory_at(m, gva, s->insn.size), s->insn.size);
    same(m, s, "write value", new, now & mask);
    same(m, s, "write value's flags", rflags, e->rflags);
    assert_memory_equal(&gprs, e->gprs, sizeof(gprs));
}

static unsigned seen[INSN_OPS];

// Random memory hardly ever holds what CMPXCHG compares with: put it there half of the time.
static void make_equal(struct machine *m, struct subject *s)
{
    u64 *r = s->gprs.r, pair[2] = {r[GPR_RAX], r[GPR_RDX]};
    if ((s->insn.op != INSN_CMPXCHG && s->insn.op != INSN_CMPXCHG8B) || random_below(2))
        return;
    if (s->insn.op == INSN_CMPXCHG8B && s->insn.size == 8)
        pair[0] = (u32)r[GPR_RAX] | r[GPR_RDX] << 32;
    memcpy(memory_at(m, operand_gva(m, s), s->insn.size), pair, s->insn.size);
}

static void check_random(struct machine *m)
{
    struct subject s;
    struct gprs after, theirs;
    u8 memory[DATA_BYTES];
    u64 rflags, rip, old = 0;
    pick(m, &s);
    make_equal(m, &s);
    seen[s.insn.op]++;
    uc_run(m, &s, &theirs, &rflags, &rip);
    after = s.gprs;
    struct emulation e = {&after, CODE, s.rflags, &ops, m};
    u64 gva = operand_gva(m, &s);
    memcpy(&old, memory_at(m, gva, 8), 8);
    emulate_all(&s.insn, &e);

    // On a match SDM leaves RAX alone; QEMU (and so Unicorn) clears its upper half.
    if (s.insn.op == INSN_CMPXCHG && s.insn.size == 4 && e.rflags & RFLAGS_ZF)
        theirs.r[GPR_RAX] |= after.r[GPR_RAX] & ~0xffffffffull;
    for (unsigned i = 0; i < GPRS; i++)
        same(m, &s, "a register", after.r[i], theirs.r[i]);
    u64 defined = defined_flags(&s.insn);
    same(m, &s, "rflags", e.rflags & defined, rflags & defined);
    same(m, &s, "rip", e.rip, rip);
    uc_must(uc_mem_read(m->uc, DATA, memory, sizeof(memory)));
    assert_memory_equal(memory, m->memory, sizeof(memory));
    check_write_value(m, &s, &e, gva, old);
}

static struct machine machines[3];

static void against_unicorn(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12000; i++)
        check_random(&machines[i % 4 < 2 ? 2 : i % 4 - 2]);
    for (unsigned op = 0; op < INSN_OPS; op++)
        assert_true(seen[op] >= 20);
}

// The first, second, ... callback fails: nothing has changed but by whole iterations of a string instruction.
static void failing_callbacks(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (unsigned i = 0; i < 8000; i++) {
        struct machine *m = &machines[i % 3];
        struct subject s;
        pick(m, &s);
        struct gprs before = s.gprs;
        u8 memory[DATA_BYTES];
        memcpy(memory, m->memory, sizeof(memory));
        struct emulation e = emulation_of(m, &s);
        m->fail_at = 1 + (int)random_below(2);
        int result = insn_emulate(&s.insn, &e);
        m->fail_at = 0;
        if (result == 0 || s.insn.form == INSN_STRING)
            continue;
        failures++;
        assert_int_equal(result, FAILURE);
        assert_memory_equal(&before, &s.gprs, sizeof(before));
        assert_memory_equal(memory, m->memory, sizeof(memory));
        assert_true(e.rip == CODE && e.rflags == s.rflags);
    }
    assert_true(failures > 500);
}

static struct subject subject_of(struct machine *m, const char *bytes)
{
    struct subject s = {.rflags = BIT(1)};
    memcpy(s.bytes, bytes, strlen(bytes));
    assert_int_equal(insn_decode(&s.insn, s.bytes, sizeof(s.bytes), m->bits), DECODE_OK);
    return s;
}

// rep movsq with a fault at its fourth access, then to the end in bounded runs, then step by step under TF.
static void repetition(void **state)
{
    (void)state;
    struct machine *m = &machines[2];
    struct subject s = subject_of(m, "\xf3\x48\xa5");
    struct emulation e = emulation_of(m, &s);
    s.gprs.r[GPR_RCX] = 2 * EMULATE_RUN + 3;
    s.gprs.r[GPR_RSI] = DATA;
    s.gprs.r[GPR_RDI] = DATA + DATA_BYTES / 2;
    m->fail_at = 4;
    assert_int_equal(insn_emulate(&s.insn, &e), FAILURE);
    assert_int_equal(s.gprs.r[GPR_RCX], 2 * EMULATE_RUN + 2);
    assert_int_equal(s.gprs.r[GPR_RSI], DATA + 8);
    assert_int_equal(s.gprs.r[GPR_RDI], DATA + DATA_BYTES / 2 + 8);
    e.rflags |= RFLAGS_TF;
    assert_int_equal(insn_emulate(&s.insn, &e), 0);
    assert_int_equal(s.gprs.r[GPR_RCX], 2 * EMULATE_RUN + 1);
    e.rflags &= ~RFLAGS_TF;
    assert_int_equal(insn_emulate(&s.insn, &e), 0);
    assert_int_equal(s.gprs.r[GPR_RCX], EMULATE_RUN + 1);
    assert_int_equal(e.rip, CODE);
    assert_int_equal(insn_emulate(&s.insn, &e), 0);
    assert_int_equal(insn_emulate(&s.insn, &e), 0);
    assert_int_equal(e.rip, CODE + 3);
    assert_int_equal(s.gprs.r[GPR_RSI], DATA + 8 * (2 * EMULATE_RUN + 3));
    assert_memory_equal(m->memory, m->memory + DATA_BYTES / 2, 8 * (2 * EMULATE_RUN + 3));
}

// A register that is another at each read, as a timer's count is.
static int timer_read(void *context, struct insn_address at, void *data, unsigned size, bool update)
{
    struct machine *m = context;
    m->memory[linear(m, at) - DATA]++;
    return memory_read(context, at, data, size, update);
}

// A locked instruction reads once, then writes once, whatever the register does meanwhile.
static void locked_once(void **state)
{
    (void)state;
    struct machine *m = &machines[2];
    const struct emulate_ops timer = {timer_read, memory_write};
    static const char *const locked[] = {"\xf0\x48\x01\x07", "\x48\x87\x07", "\xf0\x48\x0f\xb1\x0f",
                                         "\xf0\x48\x0f\xc7\x0f"};
    for (unsigned i = 0; i < ARRAY_SIZE(locked); i++) {
        struct subject s = subject_of(m, locked[i]);
        s.gprs.r[GPR_RDI] = DATA;
        m->updates = m->memory[0] = 0;
        struct emulation e = {&s.gprs, CODE, s.rflags, &timer, m};
        assert_int_equal(insn_emulate(&s.insn, &e), 0);
        assert_int_equal(e.rip, CODE + s.insn.length);
        assert_int_equal(m->updates, 1);
        m->fail_at = 2; // the write is the second and last
        s.gprs.r[GPR_RDI] = DATA;
        e.rip = CODE;
        assert_int_equal(insn_emulate(&s.insn, &e), FAILURE);
        assert_int_equal(m->fail_at, 0);
    }
}

// What only reads, or reads elsewhere than it writes, does not ask for the rights of a write.
static void updates(void **state)
{
    (void)state;
    struct machine *m = &machines[2];
    static const struct {
        const char *code;
        unsigned updates;
    } samples[] = {{"\x48\x8b\x07", 0}, {"\x48\x39\x07", 0}, {"\x48\x89\x07", 0},
                   {"\x48\xa5", 0},     {"\x48\x01\x07", 1}, {"\x48\x0f\xc7\x0f", 1}};
    for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
        struct subject s = subject_of(m, samples[i].code);
        s.gprs.r[GPR_RDI] = s.gprs.r[GPR_RSI] = DATA;
        struct emulation e = emulation_of(m, &s);
        m->updates = 0;
        assert_int_equal(insn_emulate(&s.insn, &e), 0);
        assert_int_equal(m->updates, samples[i].updates);
    }
}

// Offsets are as wide as addresses; the rest of segmentation is not done here.
static void addresses(void **state)
{
    (void)state;
    struct machine *m16 = &machines[0], *m64 = &machines[2];
    struct subject s = subject_of(m16, "\x36\x89\x40\x7f"); // mov %ax,%ss:0x7f(%bx,%si)
    struct emulation e = emulation_of(m16, &s);
    s.gprs.r[GPR_RBX] = 0xff90;
    s.gprs.r[GPR_RSI] = 1;
    assert_int_equal(emulate_address(&s.insn, &e).offset, 0x10);
    assert_int_equal(emulate_address(&s.insn, &e).segment, INSN_SS);
    struct subject t = subject_of(m64, "\x67\x89\x44\x3f\x10"); // mov %eax,0x10(%edi,%edi)
    e = emulation_of(m64, &t);
    t.gprs.r[GPR_RDI] = 0xffffffff80000008;
    assert_int_equal(emulate_address(&t.insn, &e).offset, 0x20);
    struct subject u = subject_of(m64, "\x67\xa4"); // movsb: both by 32 bits
    e = emulation_of(m64, &u);
    u.gprs.r[GPR_RSI] = DATA | ~0ull << 32;
    u.gprs.r[GPR_RDI] = (DATA + 1) | ~0ull << 32;
    assert_int_equal(insn_emulate(&u.insn, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_unicorn), cmocka_unit_test(failing_callbacks), cmocka_unit_test(repetition),
        cmocka_unit_test(locked_once),     cmocka_unit_test(updates),           cmocka_unit_test(addresses),
    };
    random_start();
    for (unsigned i = 0; i < ARRAY_SIZE(machines); i++)
        machine_make(&machines[i], i == 2 ? 64 : 16u << i);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
