// How a guest starts: what its loader (loader.c) says to vmcs_start_guest. Selectors are flat; 64-bit code
// needs paging.efer with LMA.
#pragma once

#include <hv/vcpu.h>

struct guest_start {
    struct paging_regs paging;
    struct gprs gprs;
    u64 rip;
    u64 gdt_base;
    u16 gdt_limit;
    u16 code_selector, data_selector;
    bool virtual_wire; // apic_virtual_wire
};
