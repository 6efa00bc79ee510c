// Takes the place of arch/include/arch/vmcs.h in the host tests: the VMCS is a table in
// tests/host/fake_cpu.c.
#pragma once

#include <arch/vmcs_counts.h>

enum vmcs_field {
#define FIELD(name, encoding, ...) name = (encoding),
#include <arch/vmcs.def>
#undef FIELD
};

u64 vmcs_read(enum vmcs_field field);
void vmcs_write(enum vmcs_field field, u64 value);
