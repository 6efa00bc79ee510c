// Names for addresses of the monitor, from the ELF symbol table that the boot loader leaves in memory.
#pragma once

#include <arch/types.h>

// `symbols`: `bytes` of ELF64 symbols; `strings`: their string table. They must stay where they are.
void symbols_set(const void *symbols, size_t bytes, const char *strings, size_t string_bytes);

// The function that contains `address`, and how far into it; NULL if there is none or there are no symbols.
const char *symbol_find(u64 address, u64 *offset);
