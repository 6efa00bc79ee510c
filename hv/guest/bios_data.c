// See bios_data.h. Pure: also on the host. Offsets as in IBM's PC/AT Technical Reference, section 5.
#include "bios_data.h"
#include "guest_ports.h"

#define BIOS_DATA_GPA 0x400ull

#define EQUIPMENT_FPU     BIT(1)
#define EQUIPMENT_ONE_COM BIT(9) // bits 11:9: serial ports
#define EXTENDED_AREA_KIB 1

struct bios_data {
    u16 com_port[4]; // 0: none
    u16 lpt_port[3];
    u16 extended_segment; // 40EH: of the extended BIOS data area
    u16 equipment;        // 410H
    u8 reserved;
    u16 base_memory_kib; // 413H: below the extended area
} __attribute__((packed));
_Static_assert(offsetof(struct bios_data, extended_segment) == 0x0e, "40EH");
_Static_assert(offsetof(struct bios_data, base_memory_kib) == 0x13, "413H");

void bios_data_write(const struct guest_ram *ram)
{
    const struct bios_data data = {
        .com_port = {GUEST_COM1_PORT},
        .extended_segment = GUEST_LOW_RAM_END >> 4,
        .equipment = EQUIPMENT_FPU | EQUIPMENT_ONE_COM,
        .base_memory_kib = GUEST_LOW_RAM_END / KIB,
    };
    const u8 extended_kib = EXTENDED_AREA_KIB;
    ram->copy(ram->context, BIOS_DATA_GPA, &data, sizeof(data));
    ram->copy(ram->context, GUEST_LOW_RAM_END, &extended_kib, sizeof(extended_kib));
}
