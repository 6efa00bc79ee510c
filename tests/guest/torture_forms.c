// Every kind of instruction by which a kernel may store to a page table, and some by which none does: each as
// a row of torture_forms, with what it makes of the entry. Neighbour: torture.c.
#include "torture.h"

#define STORES(name) static void store_##name(volatile u64 *e, u64 old, u64 target)
#define ASM(...)     asm volatile(__VA_ARGS__ : "memory", "cc")

static u64 becomes_target(u64 old, u64 target)
{
    (void)old;
    return target;
}

static u64 becomes_old(u64 old, u64 target)
{
    (void)target;
    return old;
}

static u64 becomes_and(u64 old, u64 target)
{
    return old & (target | ~(u64)TORTURE_FLAGS);
}

static u64 becomes_or(u64 old, u64 target)
{
    return old | (target & TORTURE_FLAGS);
}

static u64 becomes_xor(u64 old, u64 target)
{
    return old ^ (target & TORTURE_FLAGS);
}

static u64 becomes_and_byte(u64 old, u64 target)
{
    return old & (target | ~(u64)(TORTURE_FLAGS & 0xFF));
}

static u64 becomes_or_byte(u64 old, u64 target)
{
    return old | (target & TORTURE_FLAGS & 0xFF);
}

// The flag that the target chooses.
static u64 bit_of(u64 target)
{
    static const u8 bits[] = {0, 1, 2, 5, 6, 8, 9, 52, 63};
    return bits[(target ^ target >> 16) % ARRAY_SIZE(bits)];
}

static u64 becomes_set(u64 old, u64 target)
{
    return old | BIT(bit_of(target));
}

static u64 becomes_reset(u64 old, u64 target)
{
    return old & ~BIT(bit_of(target));
}

static u64 becomes_complement(u64 old, u64 target)
{
    return old ^ BIT(bit_of(target));
}

// Parts of the entry from the one or the other end, so that it is present only when it is whole.
static unsigned part(unsigned i, unsigned parts, u64 target)
{
    return target & PAGE_P ? parts - 1 - i : i;
}

STORES(mov8)
{
    (void)old;
    for (unsigned i = 0, at; i < 8; i++) {
        at = part(i, 8, target);
        ASM("movb %0, (%1)" ::"q"((u8)(target >> 8 * at)), "r"((u8 *)e + at));
    }
}

STORES(mov16)
{
    (void)old;
    for (unsigned i = 0, at; i < 4; i++) {
        at = part(i, 4, target);
        ASM("movw %0, (%1)" ::"r"((u16)(target >> 16 * at)), "r"((u16 *)e + at));
    }
}

STORES(mov32)
{
    (void)old;
    for (unsigned i = 0, at; i < 2; i++) {
        at = part(i, 2, target);
        ASM("movl %0, (%1)" ::"r"((u32)(target >> 32 * at)), "r"((u32 *)e + at));
    }
}

STORES(mov64)
{
    (void)old;
    ASM("movq %0, (%1)" ::"r"(target), "r"(e));
}

STORES(immediate)
{
    (void)old;
    ASM("movq $0, (%0); movl $0x12345, 4(%0); movl $0, 4(%0); movb $0, (%0)" ::"r"(e));
    ASM("movq %0, (%1)" ::"r"(target), "r"(e));
}

STORES(nontemporal)
{
    (void)old;
    ASM("movnti %0, (%1)" ::"r"(target), "r"(e));
}

STORES(xchg)
{
    u64 value = target;
    asm volatile("xchgq %0, (%1)" : "+r"(value) : "r"(e) : "memory");
    expect("XCHG", value, old);
}

STORES(cmpxchg)
{
    u64 rax = old;
    bool equal;
    asm volatile("lock cmpxchgq %3, (%2); sete %1"
                 : "+a"(rax), "=q"(equal)
                 : "r"(e), "r"(target)
                 : "memory", "cc");
    expect("CMPXCHG: ZF", equal, true);
}

STORES(cmpxchg_unequal)
{
    u64 rax = ~old;
    bool equal;
    asm volatile("lock cmpxchgq %3, (%2); sete %1"
                 : "+a"(rax), "=q"(equal)
                 : "r"(e), "r"(target)
                 : "memory", "cc");
    expect("unequal CMPXCHG: ZF", equal, false);
    expect("unequal CMPXCHG: RAX", rax, old);
}

STORES(cmpxchg8b)
{
    u32 eax = (u32)old, edx = (u32)(old >> 32);
    asm volatile("lock cmpxchg8b (%2)"
                 : "+a"(eax), "+d"(edx)
                 : "r"(e), "b"((u32)target), "c"((u32)(target >> 32))
                 : "memory", "cc");
}

STORES(xadd)
{
    u64 value = target - old;
    asm volatile("lock xaddq %0, (%1)" : "+r"(value) : "r"(e) : "memory", "cc");
    expect("XADD", value, old);
}

STORES(add)
{
    ASM("addq %0, (%1)" ::"r"(target - old), "r"(e));
}

STORES(sub)
{
    ASM("lock subq %0, (%1)" ::"r"(old - target), "r"(e));
}

STORES(and)
{
    (void)old;
    ASM("lock andq %0, (%1)" ::"r"(target | ~(u64)TORTURE_FLAGS), "r"(e));
}

STORES(or)
{
    (void)old;
    ASM("lock orq %0, (%1)" ::"r"(target & TORTURE_FLAGS), "r"(e));
}

STORES(xor)
{
    (void)old;
    ASM("lock xorq %0, (%1)" ::"r"(target & TORTURE_FLAGS), "r"(e));
}

STORES(and_byte)
{
    (void)old;
    ASM("lock andb %0, (%1)" ::"q"((u8)(target | ~(u64)(TORTURE_FLAGS & 0xFF))), "r"(e));
}

STORES(or_byte)
{
    (void)old;
    ASM("orb %0, (%1)" ::"q"((u8)(target & TORTURE_FLAGS)), "r"(e));
}

#define BIT_FORM(name, code, base, index)                                                               \
    STORES(name)                                                                                        \
    {                                                                                                   \
        bool carry;                                                                                     \
        u64 slot = (u64)e % PAGE_SIZE / 8, bit = bit_of(target);                                        \
        (void)slot;                                                                                     \
        asm volatile(code " %1, (%2); setc %0" : "=q"(carry) : "r"(index), "r"(base) : "memory", "cc"); \
        expect(code ": CF", carry, old >> bit & 1);                                                     \
    }
BIT_FORM(bts, "lock btsq", e, bit)
BIT_FORM(btr, "lock btrq", e, bit)
BIT_FORM(btc, "btcq", e, bit)
// By a bit number that counts from the start of the table, and from the entry's end.
BIT_FORM(bts_far, "btsq", e - slot, slot * 64 + bit)
BIT_FORM(btr_far, "lock btrq", e + 1, bit - 64)

STORES(stos)
{
    (void)old;
    torture_fill((u64 *)e, target, 1);
}

STORES(movs)
{
    (void)old;
    torture_copy((u64 *)e, &target, 1);
}

STORES(movs_back)
{
    (void)old;
    u64 *to = (u64 *)e, *from = &target, count = 1;
    asm volatile("std; rep movsq; cld" : "+D"(to), "+S"(from), "+c"(count)::"memory");
}

STORES(movs_bytes)
{
    (void)old;
    u8 *to = (u8 *)e, *from = (u8 *)&target;
    u64 count = 8;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
}

STORES(sse8)
{
    (void)old;
    ASM("movq %0, %%xmm0; movq %%xmm0, (%1)" ::"r"(target), "r"(e));
}

STORES(sse16)
{
    (void)old;
    u64 pair[2] = {target, e[1]};
    ASM("movdqu %0, %%xmm0; movdqu %%xmm0, (%1)" ::"m"(pair), "r"(e));
}

// Two entries by one instruction: the upper half of this one with the lower of the next. The lower half comes
// before, or after, so that the entry is present only when it is whole.
STORES(crossing)
{
    (void)old;
    u64 both = target >> 32 | e[1] << 32;
    if (!(target & PAGE_P))
        ASM("movl %0, (%1)" ::"r"((u32)target), "r"(e));
    ASM("movq %0, 4(%1)" ::"r"(both), "r"(e));
    if (target & PAGE_P)
        ASM("movl %0, (%1)" ::"r"((u32)target), "r"(e));
}

STORES(push)
{
    (void)old;
    u64 stack = (u64)(e + 1);
    asm volatile("xchgq %0, %%rsp; pushq %1; movq %0, %%rsp" : "+b"(stack) : "r"(target) : "memory");
}

const struct torture_form torture_forms[] = {
    {"MOV 8", becomes_target, store_mov8, true},
    {"MOV 16", becomes_target, store_mov16, true},
    {"MOV 32", becomes_target, store_mov32, true},
    {"MOV 64", becomes_target, store_mov64, false},
    {"MOV 64 again", becomes_target, store_mov64, false},
    {"MOV immediate", becomes_target, store_immediate, true},
    {"MOVNTI", becomes_target, store_nontemporal, false},
    {"XCHG", becomes_target, store_xchg, false},
    {"CMPXCHG", becomes_target, store_cmpxchg, false},
    {"CMPXCHG unequal", becomes_old, store_cmpxchg_unequal, false},
    {"CMPXCHG8B", becomes_target, store_cmpxchg8b, false},
    {"XADD", becomes_target, store_xadd, false},
    {"ADD", becomes_target, store_add, false},
    {"LOCK SUB", becomes_target, store_sub, false},
    {"LOCK AND", becomes_and, store_and, false},
    {"LOCK OR", becomes_or, store_or, false},
    {"LOCK XOR", becomes_xor, store_xor, false},
    {"LOCK AND 8", becomes_and_byte, store_and_byte, false},
    {"OR 8", becomes_or_byte, store_or_byte, false},
    {"LOCK BTS", becomes_set, store_bts, false},
    {"LOCK BTR", becomes_reset, store_btr, false},
    {"BTC", becomes_complement, store_btc, false},
    {"BTS far", becomes_set, store_bts_far, false},
    {"LOCK BTR far", becomes_reset, store_btr_far, false},
    {"REP STOSQ", becomes_target, store_stos, false},
    {"REP MOVSQ", becomes_target, store_movs, false},
    {"REP MOVSQ backwards", becomes_target, store_movs_back, false},
    {"REP MOVSB", becomes_target, store_movs_bytes, true},
    {"MOVQ XMM", becomes_target, store_sse8, false},
    {"MOVDQU", becomes_target, store_sse16, false},
    {"MOV over two entries", becomes_target, store_crossing, true},
    {"PUSH", becomes_target, store_push, false},
};
const unsigned torture_form_count = ARRAY_SIZE(torture_forms);

static void pair_crossing(u64 *entries, const u64 want[2])
{
    ASM("movq %0, 4(%1)" ::"r"(want[0] >> 32 | want[1] << 32), "r"(entries));
}

static void pair_xor(u64 *entries, const u64 want[2])
{
    ASM("lock xorq %0, 4(%1)" ::"r"((*entries ^ want[0]) >> 32 | (entries[1] ^ want[1]) << 32), "r"(entries));
}

static void pair_sse(u64 *entries, const u64 want[2])
{
    ASM("movdqu (%0), %%xmm0; movdqu %%xmm0, (%1)" ::"r"(want), "r"(entries));
}

static void pair_movs(u64 *entries, const u64 want[2])
{
    torture_copy(entries, want, 2);
}

const struct torture_pair_form torture_pair_forms[] = {
    {"MOV over two entries that change", true, pair_crossing},
    {"LOCK XOR over two entries", true, pair_xor},
    {"MOVDQU of two entries", false, pair_sse},
    {"REP MOVSQ of two entries", false, pair_movs},
};
const unsigned torture_pair_form_count = ARRAY_SIZE(torture_pair_forms);

void torture_fill(u64 *to, u64 value, u64 count)
{
    asm volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

void torture_copy(u64 *to, const u64 *from, u64 count)
{
    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count)::"memory");
}
