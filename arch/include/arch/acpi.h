// What the monitor wants to know from the host's ACPI tables, read once at boot. No AML is run: the one thing
// that only AML says, the sleep type of power-off, is found by looking for its package's bytes.
// The tables that the guest gets are elsewhere (hv/).
#pragma once

#include <arch/types.h>

#define ACPI_MAX_CPUS      4096u
#define ACPI_MAX_IOAPICS   64u
#define ACPI_MAX_OVERRIDES 24u
#define ACPI_MAX_SEGMENTS  64u
#define ACPI_MAX_NODES     1024u
#define ACPI_MAX_TABLES    128u

// ACPI 6.5, 5.2.3.2: where a register is. address 0: there is none.
enum acpi_space { ACPI_MEMORY = 0, ACPI_IO = 1, ACPI_PCI = 2 };
struct acpi_register {
    u64 address; // an hpa, a port, or bus 0's device << 32 | function << 16 | offset
    u8 space;    // enum acpi_space, or one that is not known
};

struct acpi_ioapic {
    u8 id;
    u32 hpa;
    u32 gsi_base;
};

#define ACPI_POLARITY_MASK 3u
#define ACPI_POLARITY_LOW  3u
struct acpi_override {
    u8 irq; // of ISA
    u32 gsi;
    u16 flags; // bits 1:0 polarity, bits 3:2 trigger mode; 0: as ISA has it
};

// Configuration space of a PCI segment, for the enhanced access mechanism.
struct acpi_segment {
    u64 ecam; // hpa of bus 0's, whether the segment has that bus or not; 1 MiB a bus
    u16 number;
    u8 first_bus, last_bus;
};

// A UART of the 16550's kind that a table names. In memory its registers are `stride` bytes from each other,
// and an access has `width` bytes: both are 1 or 4.
struct acpi_uart {
    struct acpi_register at; // address 0: the table is not there, or names a UART of another kind
    u8 stride, width;
    u32 baud; // that it shall run at; 0: as firmware has set it
};

// SRAT: the proximity domain ("node") of a processor, and of a part of the memory map, [start, end), that may
// have RAM.
struct acpi_cpu_node {
    u32 apic_id, node;
};
struct acpi_memory_node {
    u64 start, end;
    u32 node;
};

// What a table's header says of it; the texts, as the firmware has them, end with NUL.
struct acpi_table {
    char signature[5], oem[7], oem_table[9];
    u8 revision;
};

struct acpi {
    char oem[7];                              // of the RSDP, ends with NUL
    unsigned tables;                          // that could be read, of any kind
    struct acpi_table table[ACPI_MAX_TABLES]; // the first of them
    unsigned unread;                          // out of reach, or with a wrong checksum

    struct acpi_register pm_timer; // 3.579545 MHz
    u8 pm_timer_bits;              // 24 or 32
    u64 hpet_hpa;                  // registers of the first HPET; 0: there is none
    struct acpi_register reset;    // writing reset_value resets the machine
    u8 reset_value;

    u16 smi_command; // port that switches to ACPI mode by the value acpi_enable; 0: it always is in it
    u8 acpi_enable;
    struct acpi_register pm1a_control, pm1b_control;
    struct acpi_register sleep_control; // in place of the two, on hardware-reduced machines
    bool s5;                            // the power-off sleep types are known:
    u8 s5_type_a, s5_type_b;

    struct acpi_uart spcr; // the firmware's console
    struct acpi_uart dbg2; // a port for debuggers

    u64 local_apic_hpa;
    unsigned cpus; // enabled ones, each once, the first ACPI_MAX_CPUS of them
    u32 apic_id[ACPI_MAX_CPUS];
    unsigned ioapics;
    struct acpi_ioapic ioapic[ACPI_MAX_IOAPICS];
    unsigned overrides;
    struct acpi_override override[ACPI_MAX_OVERRIDES];
    unsigned segments; // as MCFG lists them, none of which need be mapped
    struct acpi_segment segment[ACPI_MAX_SEGMENTS];
    unsigned cpu_nodes; // enabled ones, as are those of memory
    struct acpi_cpu_node cpu_node[ACPI_MAX_CPUS];
    unsigned memory_nodes;
    struct acpi_memory_node memory_node[ACPI_MAX_NODES];
};

// Reads the tables from a copy of the RSDP (`size` bytes) on. Tables are reached by phys_ptr; one that is not
// wholly below hpa `limit`, the end of the direct map, or whose checksum is wrong is left out as if absent,
// and so is a register in memory above it, but for the UARTs'.
// Always fills `a`, with zeros for what is absent. ERR_INVALID: the RSDP or its table of tables is broken.
int acpi_parse(struct acpi *a, const void *rsdp, size_t size, u64 limit) must_check;

// The override that holds for an ISA interrupt; without one it is {irq, irq, 0}.
struct acpi_override acpi_isa_route(const struct acpi *a, u8 irq);

// The IOAPIC that has this GSI as a pin, or NULL. It is the one with the highest base not above it: how many
// pins it has only its registers say.
const struct acpi_ioapic *acpi_ioapic_of(const struct acpi *a, u32 gsi);
