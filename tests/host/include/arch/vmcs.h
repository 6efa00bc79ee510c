// Takes the place of arch/include/arch/vmcs.h in the host tests: the VMCS is a table in
// tests/host/fake_cpu.c.
#pragma once

#include <arch/types.h>

enum vmcs_field {
#define FIELD(name, encoding) name = (encoding),
#include <arch/vmcs.def>
#undef FIELD
};

struct vmcs_counts {
    u64 reads, writes;
};
void vmcs_count_in(struct vmcs_counts *counts);
u64 vmcs_counts_base(void);

u64 vmcs_read(enum vmcs_field field);
void vmcs_write(enum vmcs_field field, u64 value);
