// See support.h.
#define _GNU_SOURCE
#include "support.h"

#include <stdio.h>
#include <sys/mman.h>

uintptr_t phys_base;

static u64 memory_bytes;
static u8 *memory_state;

void memory_make(u64 bytes, struct frames *frames)
{
    // Twice the size, so that the array can be aligned to 1G like the machine memory that it plays.
    u8 *raw =
        mmap(NULL, bytes + GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(raw != MAP_FAILED);
    u8 *aligned = (u8 *)align_up((uintptr_t)raw, GIB);
    if (aligned > raw)
        munmap(raw, (size_t)(aligned - raw));
    if (raw + GIB > aligned)
        munmap(aligned + bytes, (size_t)(raw + GIB - aligned));
    phys_base = (uintptr_t)aligned;
    memory_bytes = bytes;
    memory_state = calloc(bytes / PAGE_SIZE, 1);
    frames_init(frames, memory_state, bytes / PAGE_SIZE);
    frames_add(frames, PAGE_SIZE, bytes);
}

void memory_gone(void)
{
    munmap((void *)phys_base, memory_bytes);
    free(memory_state);
    phys_base = 0;
}

u8 memory_write_back(const struct p2m *p, mfn_t first, u64 count)
{
    (void)p, (void)first, (void)count;
    return 6;
}

static u64 random_state;

void random_start(void)
{
    const char *seed = getenv("SEED");
    random_state = seed ? strtoull(seed, NULL, 0) : 20261122;
    printf("# SEED=%llu\n", (unsigned long long)random_state);
    if (!random_state)
        random_state = 1;
}

static const u8 *random_bytes; // NULL: none are given
static size_t random_left;

void random_of(const u8 *bytes, size_t count)
{
    random_bytes = bytes;
    random_left = count;
}

static u64 take_bytes(size_t count)
{
    u64 value = 0;
    count = count < random_left ? count : random_left;
    memcpy(&value, random_bytes, count);
    random_bytes += count;
    random_left -= count;
    return value;
}

u64 random_u64(void)
{
    if (random_bytes)
        return take_bytes(sizeof(u64));
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dull;
}

u64 random_below(u64 limit)
{
    if (random_bytes)
        return take_bytes(limit <= 256 ? 1 : limit <= 65536 ? 2 : 8) % limit;
    return random_u64() % limit;
}

static jmp_buf panic_exit;
static bool panic_expected;
static char panic_text[256];

void panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(panic_text, sizeof(panic_text), format, args);
    va_end(args);
    if (panic_expected)
        longjmp(panic_exit, 1);
    fail_msg("panic: %s", panic_text);
    abort();
}

const char *expect_panic(void (*call)(void *), void *argument)
{
    panic_expected = true;
    const char *message = panic_text;
    if (setjmp(panic_exit) == 0) {
        call(argument);
        message = NULL;
    }
    panic_expected = false;
    return message;
}
