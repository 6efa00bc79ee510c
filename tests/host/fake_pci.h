// Configuration space behind the ports 0xcf8 and 0xcfc, of made-up functions: identity, class, command and,
// where a function has some, base address registers. outl and inl are here; what else a test's code does at
// ports is the test's.
#pragma once

#include <arch/pci.h>

#define FAKE_PCI_MOST 32

struct fake_function {
    u32 at; // PCI_AT
    u32 class_code;
    u32 command; // with the status in its upper half
    u8 header;
    u32 bar[PCI_BARS];
    u32 bytes;  // of a BAR of memory; 0: the function has none, and whoever asks fails
    bool stuck; // its bus master bit cannot be cleared
    unsigned writes;
};

extern struct fake_pci {
    struct fake_function functions[FAKE_PCI_MOST];
    unsigned count;
    u32 address; // as written to 0xcf8
    u32 reads;   // of 0xcfc
} fake_pci;

void fake_pci_reset(void);

struct fake_function *fake_pci_add(const struct fake_function *function);
