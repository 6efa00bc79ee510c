// See arch/symbols.h. A linear search: it is only used to say last words.
#include <arch/phys.h>
#include <arch/symbols.h>

struct elf64_symbol {
    u32 name;
    u8 info, other;
    u16 section;
    u64 value, size;
};

static const struct elf64_symbol *table;
static size_t table_count;
static const char *names;
static size_t names_bytes;

void symbols_set(const struct boot_symbols *where)
{
    table = phys_ptr(where->symbols_hpa);
    table_count = where->symbols_bytes / sizeof(*table);
    names = phys_ptr(where->strings_hpa);
    names_bytes = where->strings_bytes;
    if (!names_bytes || names[names_bytes - 1])
        table_count = 0; // names that do not end are no names
}

const char *symbol_find(u64 address, u64 *offset)
{
    const struct elf64_symbol *best = NULL;
    for (size_t i = 0; i < table_count; i++) {
        const struct elf64_symbol *s = &table[i];
        unsigned type = s->info & 15; // 0: from NASM, no type; 2: function
        if ((type == 0 || type == 2) && s->section && s->value <= address && s->name < names_bytes &&
            (!best || s->value > best->value))
            best = s;
    }
    if (!best)
        return NULL;
    *offset = address - best->value;
    return names + best->name;
}
