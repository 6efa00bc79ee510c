// The host console: everything written goes to the serial port and to the screen, whichever there are;
// input comes from the serial port. It never waits for a device for long, needs no memory and no interrupt,
// and so works from the first instruction in C to the last words of a panic.
#pragma once

#include <arch/types.h>

// The serial ports of a PC.
#define COM1_PORT 0x3f8
#define COM2_PORT 0x2f8
#define COM3_PORT 0x3e8
#define COM4_PORT 0x2e8

struct acpi;
struct boot_framebuffer;
struct boot_info;

// A square picture of dark and light modules, such as a QR code, with so many light ones around it.
struct console_picture {
    const u8 *dark; // side * side, row by row: 1 is dark
    unsigned side, margin;
};

// Starts the console on the UART at this I/O port (0: none) at 115200 8N1, with no screen. Again later with
// another port: the screen stays. False if no UART answers there: the console works without one.
bool console_init(u16 serial_port);

// The same on the first serial port that answers, in this order: the firmware's console (ACPI's SPCR), COM1
// to COM4, PCI functions, the port for debuggers (DBG2); or on the first PCI function's. Its registers may be
// in memory, but not in what the boot loader calls RAM: such a place is not touched. One that is not COM1 to
// COM4 keeps the speed that firmware has set, or SPCR says.
struct console_port {
    const char *how; // which of these it is, in words; NULL: there is none
    u64 at;          // its I/O port, or hpa
    bool in_memory;
    bool unasked; // only its being there speaks for it: it need have no other end
    u64 in_ram;   // the last hpa where one should be, and RAM is; 0: none
};
struct console_port console_find(const struct boot_info *boot, const struct acpi *acpi, bool pci_only);

// Adds the screen, blank: VGA text, or a framebuffer, which is mapped here wherever it is. Only one can be in
// use: the last one. ERR_INVALID: the framebuffer is not of a kind that is known; ERR_ABSENT: it is where the
// processor has no addresses, or larger than 1 GiB. The screen is as before then.
void console_screen_vga(void);
int console_screen_framebuffer(const struct boot_framebuffer *info) must_check;

// The monitor's own text. A line ends with "\n"; the CR that a serial line wants is added here. Behind bytes
// of the guest's it begins on a fresh line of the main screen, in standard attributes, whatever escape
// sequences the guest has sent. The screen shows it in another colour than the guest's text, which a guest
// cannot have.
void console_write(const char *text, size_t size);

// The same for what a person must read: it stands out on the screen.
void console_alert(const char *text, size_t size);

// As console_write, with a format as fmt(). What is longer than 1023 bytes is cut, and ends in "..." then.
void console_print(const char *format, ...) printf_like(1);

// The word by which lines of the monitor are known from a guest's on a serial line, where a guest can imitate
// all else: hexadecimal digits made of a random number. It must be set before the first guest runs, and must
// not get where a guest can read it.
// "" before.
#define CONSOLE_WORD_BYTES 13
void console_set_word(u64 random);
const char *console_word(void);

// Whether the screen shows what is printed: by default it does. What programs read goes to the serial line
// alone. Before a guest has printed. A panic is shown.
void console_screen_shows(bool shows);

// The screen's size in characters. False: there is no screen.
bool console_screen_size(unsigned *rows, unsigned *columns) must_check;

// What stands on the screen alone, in place of all that it shows: the serial line gets nothing of it. A title
// in the first row, and lines of text below it; what is more than the screen has scrolls away.
void console_page(const char *title, const char *text, size_t size);

// How many modules the side of a picture may have, margins included, so that a camera can read it below the
// first `rows` rows of this screen. 0: there is no screen.
unsigned console_picture_room(unsigned rows);

// Draws a picture that fits below these rows of what console_page has shown. console_page brings text back.
void console_picture(const struct console_picture *picture, unsigned rows);

// What the monitor prints goes into `text` from now on, and to no console; with NULL, to the console again.
// A panic prints on the console.
struct console_text {
    char *bytes;
    size_t size, length; // the length that all of it has, also where that is more than the size
};
void console_divert(struct console_text *text);

// Whether there is a serial port; and whether somebody may be taken to listen there: it is not `unasked`.
bool console_has_serial(void);
bool console_is_heard(void);

// One byte that the guest sent to its UART, passed on as it is. Waits for the serial port if it must.
void console_guest_write(u8 byte);

// Whether the serial port is empty: what a UART's FIFO holds goes without waiting. True where there is none.
bool console_empty(void);

// The next byte from the serial port, or -1 if there is none.
int console_read(void);

// Draws the screen, and waits, but not for ever, until the serial port has sent everything. Before the
// machine goes.
void console_flush(void);

// Draws what the screen does not show yet. In whatever ends, or waits long, after console_draw_every.
void console_draw(void);

// Draws, and from now on does so `cycles` of the TSC after the last time at the soonest, when something is
// written; 0, as at the start: each time. Below a hypervisor a drawn cell may be an exit to it. `tell`, if
// there is one, is called with `told` once when the screen falls behind what is written, and again after it
// was drawn: whoever gets it calls console_draw when the time has come.
void console_draw_every(u64 cycles, void (*tell)(void *), void *told);

// Whether the UART raises its interrupt while input waits. Its line is an edge to whoever receives it: switch
// it off, call console_read until it returns -1, and switch it on, and no input is missed and none announced
// twice.
void console_interrupt(bool on);

// Whether the UART's interrupt comes as an NMI, within so many cycles of the TSC: tried by one that the UART
// raises by itself. take_nmis, such as world_nmi_take, says how many NMIs have come since it was called. What
// is received meanwhile is lost. The interrupt is off then.
bool console_interrupt_is_nmi(u64 (*take_nmis)(void), u64 cycles) must_check;

// The ISA interrupt of the UART (to be routed by arch/host_ioapic.h), or -1 if there is no UART or it is not
// COM1 to COM4.
int console_irq(void);
