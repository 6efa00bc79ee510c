// The last words of the monitor: what went wrong, registers, a backtrace with symbols, and a halt that leaves
// them readable. Used for our own mistakes, and for machine checks while the monitor runs; what a machine
// lacks is said by refuse() of hv/finish.c.
#include <arch/console.h>
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/lib.h>
#include <arch/mca.h>
#include <arch/panic.h>
#include <arch/power.h>
#include <arch/symbols.h>

#include "dump.h"

#define BACKTRACE_DEPTH 24
#define CALL_LENGTH     7 // bytes at most, as the compiler makes them

static void say_place(u64 address)
{
    u64 offset;
    const char *name = symbol_find(address, &offset);
    console_print("  %016lx  %s+0x%lx\n", address, name ? name : "?", name ? offset : 0);
}

static bool in_image(u64 address)
{
    return address >= (u64)image_start && address < (u64)image_end;
}

// Whether it lies behind a CALL (SDM vol. 2): E8 with four bytes, or FF /2 with an operand of up to five.
static bool is_returned_to(u64 address)
{
    const u8 *at = (const u8 *)address;
    if (address < (u64)image_start + CALL_LENGTH || address >= (u64)text_end)
        return false;
    bool called = at[-5] == 0xe8;
    for (int length = 2; length <= CALL_LENGTH; length++)
        called |= at[-length] == 0xff && (at[1 - length] >> 3 & 7) == 2;
    return called;
}

// No function keeps a frame pointer, as that takes two in a hundred of the monitor's instructions. So these
// are the addresses on the stack that calls return to: one of an earlier call may be among them.
static void backtrace(u64 rip, u64 rsp)
{
    console_print("Backtrace, by what is on the stack:\n");
    say_place(rip);
    unsigned said = 0;
    for (u64 at = align_up(rsp, 8); in_image(at) && said < BACKTRACE_DEPTH; at += sizeof(u64)) {
        u64 address = *(const u64 *)at;
        if (!is_returned_to(address))
            continue;
        say_place(address);
        said++;
    }
}

static const char *word_space(void)
{
    return *console_word() ? " " : "";
}

// A fault while dumping must not dump for ever.
static void once(void)
{
    static bool dumping;
    if (dumping)
        machine_halt();
    dumping = true;
    console_divert(NULL);
    console_screen_shows(true);
}

static void say_registers(const struct trap_frame *t)
{
    static const char *const names[GPRS] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                            "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};
    for (unsigned i = 0; i < GPRS; i++)
        console_print("%s %016lx%s", names[i], i == GPR_RSP ? t->rsp : t->regs.r[i],
                      i % 4 == 3 ? "\n" : "  ");
    console_print("RIP %016lx  RFLAGS %08lx  CS %04lx  SS %04lx\n", t->rip, t->rflags, t->cs, t->ss);
    console_print("CR0 %08lx  CR2 %016lx  CR3 %016lx  CR4 %08lx\n", read_cr0(), read_cr2(), read_cr3(),
                  read_cr4());
}

void dump_trap(const struct trap_frame *frame)
{
    once();
    console_print("\nPenumbra%s%s: fault in the monitor: vector %lu, error code 0x%lx\n", word_space(),
                  console_word(), frame->vector, frame->error_code);
    say_registers(frame);
    backtrace(frame->rip, frame->rsp);
    machine_halt();
}

static void say_banks(const struct mca_log *log)
{
    char text[MCA_TEXT];
    for (unsigned i = 0; i < log->count; i++) {
        mca_text(&log->bank[i], text);
        console_print("%s\n", text);
    }
}

// The banks first: until they are read, another machine check shuts the processor down.
void dump_machine_check(const struct trap_frame *frame)
{
    struct mca_log log;
    mca_take(&log);
    once();
    console_print(
        "\nPenumbra%s%s: hardware: machine check in the monitor, IA32_MCG_STATUS 0x%lx: the machine has failed, not the monitor\n",
        word_space(), console_word(), log.status);
    say_banks(&log);
    say_registers(frame);
    backtrace(frame->rip, frame->rsp);
    machine_halt();
}

void panic(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    fmtv(text, sizeof(text), format, args);
    va_end(args);
    once();
    console_print("\nPenumbra%s%s: internal error: %s\n", word_space(), console_word(), text);
    backtrace((u64)__builtin_return_address(0), (u64)__builtin_frame_address(0));
    machine_halt();
}
