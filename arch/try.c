// RDMSR, WRMSR and XSETBV that may raise #GP, loads and stores that may raise #PF: the trap_try functions of
// arch/traps.h.
#include <arch/traps.h>

#include "try.h"

// Instructions that may raise #GP or #PF on purpose, and where each goes on then: with the error code in EAX.
struct fixup {
    u64 fault, resume;
};
extern const struct fixup fixups_start[], fixups_end[];

// One entry of the fixup table; a section of its own whose name is a C identifier, so the linker bounds it.
__asm__(".section .rodata\n.globl fixups_start, fixups_end\n.balign 8\n"
        "fixups_start:\n .quad try_rdmsr, try_rdmsr_failed\n .quad try_wrmsr, try_wrmsr_failed\n"
        " .quad try_xsetbv, try_xsetbv_failed\n"
        " .quad try_read, try_read_failed\n .quad try_write, try_write_failed\nfixups_end:\n.text");

bool __attribute__((noinline)) trap_try_rdmsr(u32 index, u64 *value)
{
    u32 low, high, ok = 1;
    __asm__ volatile(".globl try_rdmsr, try_rdmsr_failed\ntry_rdmsr: rdmsr\n jmp 1f\n"
                     "try_rdmsr_failed: xorl %2, %2\n xorl %%eax, %%eax\n xorl %%edx, %%edx\n1:"
                     : "=a"(low), "=d"(high), "+r"(ok)
                     : "c"(index));
    *value = (u64)high << 32 | low;
    return ok;
}

bool __attribute__((noinline)) trap_try_wrmsr(u32 index, u64 value)
{
    u32 ok = 1;
    __asm__ volatile(".globl try_wrmsr, try_wrmsr_failed\ntry_wrmsr: wrmsr\n jmp 1f\n"
                     "try_wrmsr_failed: xorl %0, %0\n1:"
                     : "+r"(ok)
                     : "c"(index), "a"((u32)value), "d"((u32)(value >> 32))
                     : "memory");
    return ok;
}

bool __attribute__((noinline)) trap_try_xsetbv(u64 value)
{
    u32 ok = 1;
    __asm__ volatile(".globl try_xsetbv, try_xsetbv_failed\ntry_xsetbv: xsetbv\n jmp 1f\n"
                     "try_xsetbv_failed: xorl %0, %0\n1:"
                     : "+r"(ok)
                     : "c"(0), "a"((u32)value), "d"((u32)(value >> 32))
                     : "memory");
    return ok;
}

bool __attribute__((noinline)) trap_try_read(const volatile u8 *at, u32 *error_code)
{
    u32 code = 0, ok = 1;
    __asm__ volatile(".globl try_read, try_read_failed\ntry_read: movb (%2), %%cl\n jmp 1f\n"
                     "try_read_failed: xorl %1, %1\n1:"
                     : "+a"(code), "+r"(ok)
                     : "r"(at)
                     : "rcx", "memory");
    *error_code = code;
    return ok;
}

bool __attribute__((noinline)) trap_try_write(volatile u8 *at, u32 *error_code)
{
    u32 code = 0, ok = 1;
    __asm__ volatile(".globl try_write, try_write_failed\ntry_write: movb $0, (%2)\n jmp 1f\n"
                     "try_write_failed: xorl %1, %1\n1:"
                     : "+a"(code), "+r"(ok)
                     : "r"(at)
                     : "memory");
    *error_code = code;
    return ok;
}

bool try_fixup(struct trap_frame *frame)
{
    for (const struct fixup *f = fixups_start; f < fixups_end; f++) {
        if (frame->rip == f->fault) {
            frame->rip = f->resume;
            frame->regs.r[GPR_RAX] = frame->error_code;
            return true;
        }
    }
    return false;
}
