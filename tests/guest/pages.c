// The window of 512 test pages (PML4 slot 1), the frames behind it, and running code in ring 3. No tests
// here. Neighbours: boot.asm built the identity map, exceptions.c and cr.c are the main users.
#include "cpu.h"

#define WINDOW BIT(39)

static u64 window_pdpt[512] __attribute__((aligned(4096)));
static u64 window_pd[512] __attribute__((aligned(4096)));
static u64 window_pt[512] __attribute__((aligned(4096)));
u8 frame_a[4096] __attribute__((aligned(4096)));
u8 frame_b[4096] __attribute__((aligned(4096)));
static u8 user_stack[4096] __attribute__((aligned(4096)));

u64 page_gva(unsigned n)
{
    return WINDOW + n * PAGE_SIZE;
}

u64 *page_entry(unsigned n)
{
    return &window_pt[n];
}

void page_flush(unsigned n)
{
    asm volatile("invlpg (%0)" ::"r"(page_gva(n)) : "memory");
}

u64 page_map(unsigned n, u64 gpa, u64 flags)
{
    *page_entry(n) = gpa | flags;
    page_flush(n);
    return page_gva(n);
}

void pages_start(void)
{
    boot_pml4[1] = (u64)window_pdpt | PAGE_P | PAGE_W | PAGE_U;
    window_pdpt[0] = (u64)window_pd | PAGE_P | PAGE_W | PAGE_U;
    window_pd[0] = (u64)window_pt | PAGE_P | PAGE_W | PAGE_U;
}

void pages_reset(void)
{
    memset(window_pt, 0, sizeof(window_pt));
    memset(frame_a, 0, sizeof(frame_a));
    memset(frame_b, 0, sizeof(frame_b));
    cr3_write((u64)boot_pml4);
}

struct trap user_run(void (*entry)(void), u64 cs, u64 rdi, u64 rsi)
{
    return TRAP("pushq %[ss]; pushq %[sp]; pushq $2; pushq %[cs]; pushq %[ip]; iretq",
                : "+D"(rdi), "+S"(rsi)
                : [ss] "i"(USER_DATA), [sp] "r"(USER_ALIAS + (u64)user_stack + sizeof(user_stack)),
                  [cs] "r"(cs), [ip] "r"(USER_ALIAS + (u64)entry)
                : "memory", "cc", "rcx", "rdx", "rbx", "r8", "r9", "r10", "r11", "r12");
}
