// Which RAM is near this processor: what another socket, a CXL device or high-bandwidth memory has, is slower
// or faster, and would spoil a comparison that got some of it.
#pragma once

#include <arch/acpi.h>
#include <arch/frames.h>
#include <arch/multiboot2.h>

#define NUMA_LEAST (256 * MIB) // near memory below which there is nothing to choose

struct numa {
    bool known;   // ACPI's SRAT says in which node the processor is
    u32 node;     // that one, a proximity domain
    u64 far;      // frames that are held back: of other nodes, or set apart by UEFI
    bool too_few; // near the processor is less than NUMA_LEAST: nothing is held back
};

// Holds back (frames_hold) the free frames that are of another node than the processor with this local APIC
// ID, and those that UEFI sets apart for a purpose (EFI_MEMORY_SP). What no node has, or this one and another
// one, is near. Without an SRAT, or one that has this processor, all nodes are.
struct numa numa_hold(struct frames *frames, const struct acpi *acpi, const struct boot_info *boot,
                      u32 apic_id);
