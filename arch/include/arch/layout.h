// The monitor's own address space.
#pragma once

#include <arch/types.h>

#define IMAGE_VIRTUAL   0xffffffff80000000ull // where the image is linked (monitor.ld)
#define IMAGE_MAXIMUM   0x1000000ull          // bytes mapped for it
#define DIRECT_MAP      0xffff800000000000ull // machine address 0
#define DIRECT_MAP_SLOT 256                   // its PML4 entry
#define DIRECT_MAP_END  (16 * 1024 * GIB)     // no machine address from here on is mapped there
#define UART_MAP_SLOT   508                   // the PML4 entry of a UART's window (device_map.c)
#define PROBE_SLOT      509 // the PML4 entry where a page-table entry is tried (reserved_bit.c)
#define SCREEN_MAP_SLOT 510 // the PML4 entry of the screen's window (device_map.c)

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS  0x18

extern u8 image_start[], text_end[], image_end[];
