// Names for addresses of the monitor, from the ELF symbol table that the boot loader leaves in memory.
#pragma once

#include <arch/multiboot2.h>

// The table to use from now on: ELF64 symbols and their strings, which must stay where they are.
void symbols_set(const struct boot_symbols *where);

// The function that contains `address`, and how far into it; NULL if there is none or there are no symbols.
const char *symbol_find(u64 address, u64 *offset);
