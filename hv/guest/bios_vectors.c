// See bios_vectors.h. Pure: also on the host.
#include "bios_vectors.h"
#include "guest_ports.h"

#define VECTORS      256
#define CODE_SEGMENT 0xf000
#define CODE_OFFSET  0xff53
#define CODE_BYTES   16 // from one routine to the next

// The routine of vectors `first` to `last`: a later row goes before an earlier one. 16-bit code.
static const struct {
    u8 first, last, code[CODE_BYTES];
} routines[] = {
    {0x00, 0xff, {0xcf}}, // iret
    {0x10,
     0x1a,
     {0x55,                   // push bp
      0x89, 0xe5,             // mov bp, sp
      0x80, 0x4e, 0x06, 0x01, // or byte [bp + 6], 1: CF where IRET takes it from
      0x5d,                   // pop bp
      0xb4, 0x86,             // mov ah, 86h
      0xcf}},                 // iret
    {0x11,
     0x11,
     {0x1e,             // push ds
      0x6a, 0x40,       // push 40h
      0x1f,             // pop ds
      0xa1, 0x10, 0x00, // mov ax, [10h]: the equipment
      0x1f,             // pop ds
      0xcf}},           // iret
    {0x12,
     0x12,
     {0x1e,             // push ds
      0x6a, 0x40,       // push 40h
      0x1f,             // pop ds
      0xa1, 0x13, 0x00, // mov ax, [13h]: KiB of memory
      0x1f,             // pop ds
      0xcf}},           // iret
    {0x08,
     0x0f,
     {0x50,                  // push ax
      0xb0, 0x20,            // mov al, 20h: end of interrupt
      0xe6, GUEST_PIC1_PORT, // out 20h, al
      0x58,                  // pop ax
      0xcf}},                // iret
    {0x70,
     0x77,
     {0x50,                  // push ax
      0xb0, 0x20,            // mov al, 20h
      0xe6, GUEST_PIC2_PORT, // out a0h, al
      0xe6, GUEST_PIC1_PORT, // out 20h, al
      0x58,                  // pop ax
      0xcf}},                // iret
};

void bios_vectors_write(const struct guest_ram *ram)
{
    struct vector {
        u16 offset, segment;
    } vectors[VECTORS];
    u64 gpa = (CODE_SEGMENT << 4) + CODE_OFFSET;
    for (u16 i = 0; i < ARRAY_SIZE(routines); i++, gpa += CODE_BYTES) {
        ram->copy(ram->context, gpa, routines[i].code, CODE_BYTES);
        for (unsigned vector = routines[i].first; vector <= routines[i].last; vector++)
            vectors[vector] = (struct vector){(u16)(CODE_OFFSET + i * CODE_BYTES), CODE_SEGMENT};
    }
    ram->copy(ram->context, 0, vectors, sizeof(vectors));
}
