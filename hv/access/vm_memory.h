// The guest's memory: made before it starts, and copied for whoever loads or describes it.
#pragma once

#include "../vm.h"

// Makes the p2m, in which there is nothing yet: then mmu_init, then vm_memory_make. ERR_NOMEM.
int vm_p2m_make(struct vm *vm) must_check;

// Allocates the guest's memory and maps it, the local APIC page and the device holes. One sentence with the
// remedy on failure, NULL on success.
const char *vm_memory_make(struct vm *vm);

// Copies bytes of guest RAM. Only what is P2M_RAM or P2M_RAM_RO is read, only what is P2M_RAM written:
// ERR_ABSENT otherwise, at the first byte that is not.
int vm_ram_read(const struct vm *vm, u64 gpa, void *to, u64 bytes) must_check;
int vm_ram_write(struct vm *vm, u64 gpa, const void *from, u64 bytes) must_check;

// The guest's RAM for the loaders.
struct guest_ram vm_loader_ram(struct vm *vm);
