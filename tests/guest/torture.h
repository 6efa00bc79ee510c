// How torture.c stores page-table entries: the forms of torture_forms.c.
#pragma once

#include "cpu.h"

// The bits that a form which changes single bits may change: none of them makes an entry lead elsewhere.
#define TORTURE_FLAGS \
    (PAGE_P | PAGE_W | PAGE_U | PAGE_A | PAGE_D | PAGE_G | (BIT(12) - BIT(9)) | (BIT(59) - BIT(52)) | PAGE_NX)

// One way to write. The entry holds `old`, and the one that follows in memory may be written too, but does
// not change.
struct torture_form {
    const char *name;
    // What the entry is to hold afterwards, as far as this form can make it the target.
    u64 (*result)(u64 old, u64 target);
    // Writes; checks what the instruction gives besides.
    void (*store)(volatile u64 *entry, u64 old, u64 target);
    bool torn; // by more than one store
};
extern const struct torture_form torture_forms[];
extern const unsigned torture_form_count;

// One store to two entries that both change: to `want`, whose outer halves are the old ones if it is
// `crossing`.
struct torture_pair_form {
    const char *name;
    bool crossing;
    void (*store)(u64 *entries, const u64 want[2]);
};
extern const struct torture_pair_form torture_pair_forms[];
extern const unsigned torture_pair_form_count;

void torture_fill(u64 *to, u64 value, u64 count);       // REP STOSQ
void torture_copy(u64 *to, const u64 *from, u64 count); // REP MOVSQ
