// Fixed-width integers, frame numbers and the few macros that every file uses.
// Addresses are plain u64 and say in their name whose they are: gva, gpa, hpa.
// Frame numbers are one-word structs, so that a guest frame never passes for a machine frame.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64; // an unsigned long: %lu and %lx are its formats
typedef int64_t s64;

// gfn: guest-physical address / 4096. mfn: host-physical (machine) address / 4096.
typedef struct {
    u64 n;
} gfn_t;
typedef struct {
    u64 n;
} mfn_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ul
#define PAGE_MASK  (~(PAGE_SIZE - 1))

static inline gfn_t gfn(u64 n)
{
    return (gfn_t){n};
}
static inline mfn_t mfn(u64 n)
{
    return (mfn_t){n};
}
static inline gfn_t gpa_gfn(u64 gpa)
{
    return gfn(gpa >> PAGE_SHIFT);
}
static inline mfn_t hpa_mfn(u64 hpa)
{
    return mfn(hpa >> PAGE_SHIFT);
}
static inline u64 gfn_gpa(gfn_t g)
{
    return g.n << PAGE_SHIFT;
}
static inline u64 mfn_hpa(mfn_t m)
{
    return m.n << PAGE_SHIFT;
}

#define BIT(n)        (1ul << (n))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
// The struct of this type whose member `member` the pointer points to.
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define KIB                                 1024ul
#define MIB                                 (1024ul * KIB)
#define GIB                                 (1024ul * MIB)

#define must_check     __attribute__((warn_unused_result))
#define printf_like(f) __attribute__((format(printf, f, (f) + 1)))

// Which way a condition nearly always goes: the compiler puts the other way out of line.
#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

static inline u64 align_down(u64 value, u64 alignment)
{
    return value & ~(alignment - 1);
}
static inline u64 align_up(u64 value, u64 alignment)
{
    return align_down(value + alignment - 1, alignment);
}

// Results of functions that can fail: 0, or one of these, negative.
enum error {
    ERR_NOMEM = -1,   // no frame of the wanted size is free
    ERR_INVALID = -2, // an argument or a foreign structure breaks its format
    ERR_DENIED = -3,  // it would give the guest memory that is not the guest's
    ERR_ABSENT = -4,  // nothing there
};
