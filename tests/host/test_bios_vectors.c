// What real mode finds at its interrupt vectors, executed by Unicorn as the processor would: each INT from
// 16-bit code returns, with the answer that the header promises, and leaves everything else as it was.

// link: hv/guest/bios_data.c hv/guest/bios_vectors.c

// libs: -lunicorn
#include "support.h"

#include <unicorn/unicorn.h>

#include "hv/guest/bios_data.h"
#include "hv/guest/bios_vectors.h"

#define RETURN_IP 0x1234
#define RETURN_CS 0x2000
#define STACK     0x8000
#define FLAGS     0x0202

static u8 memory[0x100000];
static char outs[64]; // ports that were written, in words
static size_t outs_used;

static void copy(void *context, u64 gpa, const void *from, u64 bytes)
{
    (void)context;
    assert_true(gpa + bytes <= sizeof(memory));
    memcpy(memory + gpa, from, bytes);
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *user)
{
    (void)uc;
    (void)user;
    outs_used += (size_t)snprintf(outs + outs_used, sizeof(outs) - outs_used, "%x=%x/%d ", port, value, size);
}

static void must(uc_err error)
{
    if (error)
        fail_msg("unicorn: %s", uc_strerror(error));
}

// What came of an INT.
struct answer {
    u16 ax, flags;
    u16 others[7]; // BX CX DX SI DI BP SP
    u16 ds, ip, cs;
};
static const int others[7] = {UC_X86_REG_BX, UC_X86_REG_CX, UC_X86_REG_DX, UC_X86_REG_SI,
                              UC_X86_REG_DI, UC_X86_REG_BP, UC_X86_REG_SP};

static u16 get(uc_engine *uc, int reg)
{
    u64 value = 0;
    must(uc_reg_read(uc, reg, &value));
    return (u16)value;
}

static void set(uc_engine *uc, int reg, u64 value)
{
    must(uc_reg_write(uc, reg, &value));
}

// Never closed: uc_close of Unicorn 2.1 loses some of its memory.
static uc_engine *machine(void)
{
    static uc_engine *uc;
    uc_hook hook;
    if (uc)
        return uc;
    must(uc_open(UC_ARCH_X86, UC_MODE_16, &uc));
    must(uc_mem_map(uc, 0, sizeof(memory), UC_PROT_ALL));
    must(uc_hook_add(uc, &hook, UC_HOOK_INSN, on_out, NULL, 1, 0, UC_X86_INS_OUT));
    return uc;
}

static struct answer int_with(u8 vector, u16 ax)
{
    uc_engine *uc = machine();
    struct answer a;
    const u16 frame[] = {RETURN_IP, RETURN_CS, FLAGS}, *entry = (u16 *)(memory + vector * 4);
    outs_used = 0;
    outs[0] = 0;
    must(uc_mem_write(uc, 0, memory, sizeof(memory)));
    must(uc_mem_write(uc, STACK, frame, sizeof(frame)));
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        set(uc, others[i], others[i] == UC_X86_REG_SP ? STACK : 0x4440 + i);
    set(uc, UC_X86_REG_AX, ax);
    set(uc, UC_X86_REG_SS, 0);
    set(uc, UC_X86_REG_DS, 0x3000);
    set(uc, UC_X86_REG_EFLAGS, 2);
    set(uc, UC_X86_REG_CS, entry[1]);
    must(uc_emu_start(uc, (u64)entry[1] * 16 + entry[0], RETURN_CS * 16 + RETURN_IP, 0, 64));
    a = (struct answer){.ax = get(uc, UC_X86_REG_AX), .flags = get(uc, UC_X86_REG_EFLAGS)};
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        a.others[i] = get(uc, others[i]);
    a.ds = get(uc, UC_X86_REG_DS);
    a.ip = get(uc, UC_X86_REG_IP);
    a.cs = get(uc, UC_X86_REG_CS);
    return a;
}

static void check(u8 vector, u16 ax, u16 flags, const char *written)
{
    struct answer a = int_with(vector, 0x2ff5);
    if (a.cs != RETURN_CS || a.ip != RETURN_IP)
        fail_msg("INT %02xH does not return: %x:%x", vector, a.cs, a.ip);
    if (a.ax != ax || a.flags != flags || strcmp(outs, written) != 0)
        fail_msg("INT %02xH: AX %x, flags %x, ports '%s'", vector, a.ax, a.flags, outs);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(a.others[i], others[i] == UC_X86_REG_SP ? STACK + 6 : 0x4440 + (int)i);
    assert_int_equal(a.ds, 0x3000);
}

static void each_vector_answers(void **state)
{
    (void)state;
    const struct guest_ram ram = {copy, NULL, NULL};
    memset(memory, 0xf4, sizeof(memory)); // HLT
    bios_vectors_write(&ram);
    bios_data_write(&ram);
    for (unsigned vector = 0; vector < 256; vector++) {
        if (vector == 0x11)
            check(0x11, 0x202, FLAGS, "");
        else if (vector == 0x12)
            check(0x12, 639, FLAGS, "");
        else if (vector >= 0x10 && vector <= 0x1a)
            check((u8)vector, 0x86f5, FLAGS | 1, "");
        else if (vector >= 8 && vector <= 0xf)
            check((u8)vector, 0x2ff5, FLAGS, "20=20/1 ");
        else if (vector >= 0x70 && vector <= 0x77)
            check((u8)vector, 0x2ff5, FLAGS, "a0=20/1 20=20/1 ");
        else
            check((u8)vector, 0x2ff5, FLAGS, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_vector_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
