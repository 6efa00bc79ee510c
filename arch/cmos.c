// See cmos.h. Register A tells by UIP that the time may change within 244 us: it is read between two looks at
// it, and again where it has changed all the same.
#include <arch/cmos.h>
#include <arch/io.h>
#include <arch/lib.h>

#define INDEX_PORT 0x70
#define DATA_PORT  0x71
#define REGISTER_A 0x0a
#define REGISTER_D 0x0d
#define UIP        0x80
#define ATTEMPTS   4
#define UIP_POLLS  20000 // of a microsecond or so: an update takes two milliseconds

static u8 read_register(unsigned index)
{
    outb(INDEX_PORT, (u8)index);
    return inb(DATA_PORT);
}

static bool at_rest(void)
{
    for (unsigned poll = 0; poll < UIP_POLLS; poll++) {
        if (!(read_register(REGISTER_A) & UIP))
            return true;
    }
    return false;
}

static void read_all(u8 byte[CMOS_BYTES])
{
    for (unsigned index = 0; index < CMOS_BYTES; index++)
        byte[index] = read_register(index);
}

int cmos_read(u8 byte[CMOS_BYTES])
{
    u8 again[CMOS_BYTES];
    for (unsigned attempt = 0; attempt < ATTEMPTS && at_rest(); attempt++) {
        read_all(byte);
        if (!at_rest())
            break;
        read_all(again);
        if (!memcmp(byte, again, CMOS_BYTES) && byte[REGISTER_D] != 0xff)
            return 0;
    }
    return ERR_ABSENT;
}
