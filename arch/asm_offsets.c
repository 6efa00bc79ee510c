// Constants for the NASM files: compiled to assembly, from which the Makefile makes build/arch/layout.inc.
#include <arch/console.h>
#include <arch/layout.h>
#include <arch/multiboot2.h>
#include <arch/park.h>
#include <arch/traps.h>
#include <arch/world.h>

#include "vga.h"

#define DEFINE(name, value) __asm__ volatile("\n#define# " #name " %c0" : : "i"(value))

void asm_offsets(void);
void asm_offsets(void)
{
    DEFINE(IMAGE_VIRTUAL, IMAGE_VIRTUAL);
    DEFINE(IMAGE_MAXIMUM, IMAGE_MAXIMUM);
    DEFINE(DIRECT_MAP_SLOT, DIRECT_MAP_SLOT);
    DEFINE(MULTIBOOT2_LOADER_MAGIC, MULTIBOOT2_LOADER_MAGIC);
    DEFINE(COM1_PORT, COM1_PORT);
    DEFINE(VGA_TEXT_HPA, VGA_TEXT_HPA);
    DEFINE(PARKED_STAY, offsetof(struct parked, stay));
    DEFINE(PARK_LEAVE, PARK_LEAVE);
    DEFINE(WORLD_REGS, offsetof(struct world, regs));
    DEFINE(WORLD_LAUNCHED, offsetof(struct world, launched));
    DEFINE(WORLD_HOST_RSP, offsetof(struct world, host_rsp));
}
