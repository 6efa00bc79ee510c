// From the boot loader's modules to a guest that is ready to start.
#pragma once

#include <arch/multiboot2.h>

#include "guest_start.h"
#include "../vm.h"

// Loads the guest that the modules describe into the VM's memory. NULL, or one sentence with the remedy.
const char *loader_load(struct vm *vm, const struct boot_info *boot, struct guest_start *start);
