// PCI configuration space (PCI Local Bus 3.0, chapter 6; PCI Express Base 4.0, 7.2): which functions a
// segment has, and access to their registers. It decides nothing about them, and keeps nothing.
#pragma once

#include <arch/acpi.h>
#include <arch/types.h>

// A register's place in a segment, as the enhanced access mechanism has it.
#define PCI_AT(bus, device, function) ((u32)(bus) << 20 | (u32)(device) << 15 | (u32)(function) << 12)
#define PCI_BUS(at)                   ((at) >> 20 & 0xff)
#define PCI_DEVICE(at)                ((at) >> 15 & 0x1f)
#define PCI_FUNCTION(at)              ((at) >> 12 & 7)
#define PCI_OFFSET(at)                ((at)&0xfff)

#define PCI_COMMAND            0x04   // in its upper half the status, whose bits a write of 1 clears
#define PCI_COMMAND_IO         BIT(0) // the function answers to its I/O ports
#define PCI_COMMAND_MEMORY     BIT(1) // and to its memory
#define PCI_COMMAND_BUS_MASTER BIT(2)
#define PCI_BAR                0x10 // the first of the base address registers of a header of layout 0:
#define PCI_BARS               6
#define PCI_BAR_IO             BIT(0) // an I/O port, else memory,
#define PCI_BAR_64             BIT(2) // whose upper half is the next register

#define PCI_HEADER_DEVICE 0 // of struct pci_function; the others are bridges'

struct pci_function {
    const struct acpi_segment *segment;
    u32 at;         // of its register 0
    u32 class_code; // base class, subclass, programming interface: 0x030000 is VGA
    u8 header;      // layout of its header
};

// Segment 0 by the ports CF8H and CFCH, which reach the first 256 bytes of each function's registers. Those
// of a segment that ACPI lists must be mapped (phys_ptr), and no RAM.
extern const struct acpi_segment pci_ports;

// 32 bits at `offset`, a multiple of 4.
u32 pci_read(const struct pci_function *f, u32 offset);
void pci_write(const struct pci_function *f, u32 offset, u32 value);

// One byte of segment 0, by the ports: a register whose neighbours must not be written.
void pci_write_byte(u32 at, u8 value);

// Calls `each` for every function of the segment, in order of address, until it returns true; returns whether
// it did. All buses are asked, as a machine may have several that no bridge leads to: 8,192 reads a segment.
bool pci_walk(const struct acpi_segment *segment, bool (*each)(const struct pci_function *f, void *context),
              void *context);
