// What every micro-guest test may use: checks, the trap catcher, interrupts, page tables, and the test
// tables. A test runs with interrupts off, leaves the processor as it found it, and prints only what must be
// the same bare and under the monitor. Processor instructions are in cpu.h, the local APIC in lapic.h.
#pragma once

#include <arch/types.h>
#include <arch/lib.h>

// A test prints nothing on success; runner.c prints `ok NAME`, or `not ok NAME: what: expected .., got ..`.
struct test {
    const char *name;
    void (*run)(void);
};
// A group is a word of the command line and the prefix of its tests' names. It runs when it is named, or when
// no group is named and `by_default` is set.
struct group {
    const char *name;
    const struct test *tests;
    unsigned count;
    bool by_default;
};
#define GROUP(id, name, tests, by_default) \
    const struct group id = {name, tests, ARRAY_SIZE(tests), by_default}

// Prints to COM1. Transcript lines begin with "# ", so that the output is TAP and can be filtered by line.
void print(const char *format, ...) printf_like(1);
// Programs COM1 to 115200 baud, 8N1, FIFO on, polled.
void uart_start(void);
// Prints what is on the way, so that a test may use the UART's registers.
void uart_drain(void);

// The current test has failed; the text says what was expected and what came. The test goes on.
void fail(const char *format, ...) printf_like(1);
// Fails unless got == want; `what` names the value.
void expect(const char *what, u64 got, u64 want);

// What ended a TRAP sequence. vector is NO_TRAP when the sequence ran to its end.
#define NO_TRAP 0x100
struct trap {
    u64 vector, error, cr2, rip, cs, rflags, rsp;
};
enum vector {
    DE = 0,
    DB = 1,
    NMI = 2,
    BP = 3,
    OF = 4,
    BR = 5,
    UD = 6,
    NM = 7,
    DF = 8,
    TS = 10,
    NP = 11,
    SS = 12,
    GP = 13,
    PF = 14,
    MF = 16,
    AC = 17,
    XM = 19,
};

// Fails unless `t` is that vector with that error code (0 for vectors that have none).
void expect_trap(const char *what, struct trap t, unsigned vector, u64 error);

// TRAP(code, : outputs : inputs : clobbers) runs the assembler text and gives the struct trap that ended it.
// A trap in it, from any ring or stack, continues after it with the registers it had then, IF=0 and the old
// RSP.
#define TRAP(code, ...)                                                           \
    ({                                                                            \
        trap_begin();                                                             \
        asm volatile("movq %%rsp, trap_guard+8\n\tmovq $90f, trap_guard\n\t" code \
                     "\n90:\n\tmovq $0, trap_guard" __VA_ARGS__);                 \
        trap_end();                                                               \
    })
struct trap_guard {
    u64 rip, rsp;
};
extern struct trap_guard trap_guard;
void trap_begin(void);
struct trap trap_end(void);

// The registers at an interrupt or exception, as trap_stubs.asm saves them. A hook may change them.
struct regs {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error, rip, cs, rflags, rsp, ss;
};
// From now on `hook` handles the vector, before any TRAP; NULL takes it away.
void trap_hook(unsigned vector, void (*hook)(struct regs *));
void traps_start(void);
// Removes all hooks and restores the IDT, as at the start of a test.
void traps_reset(void);

// One IDT entry. type 14 is an interrupt gate, 15 a trap gate.
struct gate {
    u16 offset_low, selector;
    u8 ist, type : 4, zero : 1, dpl : 2, present : 1;
    u16 offset_mid;
    u32 offset_high, reserved;
};
extern struct gate idt[256];
extern u64 gdt[];
struct descriptor_register {
    u16 limit;
    u64 base;
} __attribute__((packed));
extern struct descriptor_register gdt_register, idt_register;
struct tss {
    u32 reserved0;
    u64 rsp[3], reserved1, ist[7], reserved2;
    u16 reserved3, io_map;
    u8 io_bits[8193];
} __attribute__((packed));
extern struct tss tss;

enum selector {
    CODE64 = 0x08,
    DATA = 0x10,
    USER_CODE32 = 0x18 | 3,
    USER_DATA = 0x20 | 3,
    USER_CODE64 = 0x28 | 3,
    CODE32 = 0x30,
    DATA_ABSENT = 0x38,
    CODE_ABSENT = 0x40,
    TSS_SELECTOR = 0x48,
    DATA_READONLY = 0x58,
    CODE_CONFORMING = 0x60,
    LDT_SELECTOR = 0x68,
    TSS_ABSENT = 0x78,
    CODE_LD = 0x90,
};

// Counts the interrupts of a vector, writing EOI for each; irq_log keeps the order in which they came.
void irq_catch(unsigned vector);
extern volatile unsigned irq_count[256];
extern volatile u8 irq_log[16];
extern volatile unsigned irq_logged;
// Opens interrupts until `count` interrupts of the vector have come, or a long time has passed; then IF=0.
bool irq_wait(unsigned vector, unsigned count);
// Opens interrupts for some hundred instructions; then IF=0.
void irq_window(void);

// Page n (0..511) of the test window, whose entry a test sets: *page_entry(n) = gpa | flags, then
// page_flush(n). Ring 3 may use the window where the entry says so.
enum page_flag {
    PAGE_P = 1 << 0,
    PAGE_W = 1 << 1,
    PAGE_U = 1 << 2,
    PAGE_A = 1 << 5,
    PAGE_D = 1 << 6,
    PAGE_PS = 1 << 7,
    PAGE_G = 1 << 8,
};
#define PAGE_NX BIT(63)
u64 page_gva(unsigned n);
u64 *page_entry(unsigned n);
void page_flush(unsigned n);
// Maps page n to gpa with the flags and returns its address.
u64 page_map(unsigned n, u64 gpa, u64 flags);
// Two frames of RAM for tests, zeroed at the start of every test.
extern u8 frame_a[4096], frame_b[4096];
extern u64 boot_pml4[512], boot_pd[4096];
void pages_start(void);
void pages_reset(void);

// The low 256 MiB once more, for ring 3: code of the image at its address plus USER_ALIAS.
#define USER_ALIAS 0xC0000000ull

// Runs code at `entry` (a label of the image) in ring 3 with the given code segment; rdi, rsi as arguments.
// It ends by any trap; `int $0x80` is the customary one. Clobbered registers do not matter.
struct trap user_run(void (*entry)(void), u64 cs, u64 rdi, u64 rsi);

// From the Multiboot information, copied at the start: info.c.
struct range {
    u64 start, end; // bytes, end is past the last one
};
#define INFO_RANGES 32
struct info {
    u32 flags, address;
    char command_line[512];
    struct range ram[INFO_RANGES];
    unsigned ram_count;
    struct range used[INFO_RANGES]; // the image, the information and the modules
    unsigned used_count;
    unsigned module_count;
};
extern struct info info;
void info_start(u32 magic, u32 address);

// A gpa where no machine of ours has anything: reads give ones, writes are ignored. 64 KiB are used.
#define HOLE_GPA 0xD8000000ull

// Restores control registers, EFER, debug registers and TPR to what the kernel started with.
void cpu_start(void);
void cpu_reset(void);
// Runs the groups that the command line selects; returns the number of failed tests.
unsigned tests_run(const char *command_line);
