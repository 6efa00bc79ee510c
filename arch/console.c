// The console of arch/console.h: fans text out to the serial port and the screen, and says when the screen is
// drawn. The devices are serial.c, vga.c and framebuffer.c; the font is embedded by the Makefile from
// Debian's console fonts.
#include <arch/console.h>
#include <arch/lib.h>
#include <arch/io.h>
#include <arch/multiboot2.h>
#include <arch/phys.h>

#include "device_map.h"
#include "framebuffer.h"
#include "guest_stream.h"
#include "serial.h"
#include "serial_find.h"
#include "vga.h"
#include "vga_font.h"

// The machine has one console, and a panic must find it without help: hence global.
static struct {
    struct serial serial;
    bool unasked; // nobody has said that the port is for a console
    enum { NO_SCREEN, SCREEN_VGA, SCREEN_FRAMEBUFFER } screen;
    struct framebuffer framebuffer;
    bool hidden; // what is printed, from the screen
    struct terminal terminal;
    struct guest_stream guest;
    struct console_text *diverted;
    char word[CONSOLE_WORD_BYTES];
    u64 pause;             // cycles between two drawings
    u64 drawn;             // TSC, after the last one
    void (*tell)(void *v); // when the screen falls behind
    void *told;
    bool behind, drawing;
} console;

extern const u8 font_psf[], font_psf_end[];

#define VGA_CRTC_INDEX        0x3d4
#define VGA_CRTC_DATA         0x3d5
#define VGA_CURSOR_START      0x0a
#define VGA_CURSOR_START_HIDE 0x20

bool console_init(u16 serial_port)
{
    console.unasked = false;
    console.serial = SERIAL_PORT(serial_port);
    return serial_init(&console.serial, SERIAL_115200);
}

struct console_port console_find(const struct boot_info *boot, const struct acpi *acpi, bool pci_only)
{
    struct console_port found = serial_find(&console.serial, boot, acpi, pci_only);
    console.unasked = found.unasked;
    return found;
}

void console_screen_vga(void)
{
    outb(VGA_CRTC_INDEX, VGA_CURSOR_START);
    outb(VGA_CRTC_DATA, VGA_CURSOR_START_HIDE);
    vga_init(&console.terminal, phys_ptr(VGA_TEXT_HPA));
    console.screen = SCREEN_VGA;
}

int console_screen_framebuffer(const struct boot_framebuffer *info)
{
    volatile void *pixels = screen_map(info->hpa, (u64)info->pitch * info->height);
    if (!pixels)
        return ERR_ABSENT;
    int error = framebuffer_init(&console.framebuffer, &console.terminal, info, pixels, font_psf,
                                 (size_t)(font_psf_end - font_psf));
    if (!error)
        console.screen = SCREEN_FRAMEBUFFER;
    return error;
}

// A fault while drawing leads back here, by the dump's end: not for ever.
void console_draw(void)
{
    if (!console.screen || console.drawing)
        return;
    console.drawing = true;
    terminal_show(&console.terminal);
    console.drawing = false;
    console.behind = false;
    console.drawn = rdtsc();
}

void console_draw_every(u64 cycles, void (*tell)(void *), void *told)
{
    console_draw();
    console.pause = cycles;
    console.tell = tell;
    console.told = told;
}

static void write_screen(const char *bytes, size_t size)
{
    terminal_write(&console.terminal, bytes, size);
    if (!console.pause || rdtsc() - console.drawn >= console.pause) {
        console_draw();
    } else if (!console.behind) {
        console.behind = true;
        if (console.tell)
            console.tell(console.told);
    }
}

static void write_raw(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        serial_write(&console.serial, (u8)bytes[i]);
    if (console.screen && !console.hidden)
        write_screen(bytes, size);
}

void console_screen_shows(bool shows)
{
    console.hidden = !shows;
}

// The monitor's text begins a line of its own, whatever the guest has left, and is marked on the screen.
static void begin_own(enum terminal_owner owner)
{
    const char *end = guest_stream_end(&console.guest);
    write_raw(end, strlen(end));
    terminal_set_owner(&console.terminal, owner);
}

void console_set_word(u64 random)
{
    fmt(console.word, sizeof(console.word), "%012lx", random >> 16);
}

const char *console_word(void)
{
    return console.word;
}

static void write_own(enum terminal_owner owner, const char *text, size_t size)
{
    size_t start = 0;
    begin_own(owner);
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\n')
            continue;
        write_raw(text + start, i - start);
        write_raw("\r\n", 2);
        start = i + 1;
    }
    write_raw(text + start, size - start);
}

static void text_add(struct console_text *to, const char *bytes, size_t size)
{
    if (to->length < to->size)
        memcpy(to->bytes + to->length, bytes, size < to->size - to->length ? size : to->size - to->length);
    to->length += size;
}

void console_write(const char *text, size_t size)
{
    if (console.diverted)
        text_add(console.diverted, text, size);
    else
        write_own(TERMINAL_MONITOR, text, size);
}

void console_divert(struct console_text *text)
{
    console.diverted = text;
}

void console_alert(const char *text, size_t size)
{
    write_own(TERMINAL_ALERT, text, size);
}

void console_print(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int length = fmtv(line, sizeof(line), format, args);
    va_end(args);
    fmt_mark_cut(line, sizeof(line), length);
    console_write(line, length < (int)sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

bool console_screen_size(unsigned *rows, unsigned *columns)
{
    *rows = console.terminal.rows;
    *columns = console.terminal.columns;
    return console.screen != NO_SCREEN;
}

void console_page(const char *title, const char *text, size_t size)
{
    if (console.screen == NO_SCREEN)
        return;
    terminal_clear(&console.terminal);
    terminal_set_owner(&console.terminal, TERMINAL_ALERT);
    terminal_write(&console.terminal, title, strlen(title));
    terminal_write(&console.terminal, "\r\n", 2);
    terminal_set_owner(&console.terminal, TERMINAL_MONITOR);
    for (size_t i = 0, end; i < size; i = end + 1) {
        for (end = i; end < size && text[end] != '\n'; end++)
            ;
        terminal_write(&console.terminal, text + i, end - i);
        if (end + 1 < size)
            terminal_write(&console.terminal, "\r\n", 2);
    }
    console_draw();
}

unsigned console_picture_room(unsigned rows)
{
    switch (console.screen) {
    case SCREEN_VGA:
        return vga_picture_room(rows);
    case SCREEN_FRAMEBUFFER:
        return framebuffer_picture_room(&console.framebuffer, rows);
    default:
        return 0;
    }
}

void console_picture(const struct console_picture *picture, unsigned rows)
{
    if (console.screen == SCREEN_FRAMEBUFFER) {
        framebuffer_picture(&console.framebuffer, picture, rows);
    } else if (console.screen == SCREEN_VGA) {
        vga_font_write(VGA_PICTURE_FIRST, VGA_PICTURE_GLYPHS, vga_picture_glyph);
        vga_picture(phys_ptr(VGA_TEXT_HPA), picture, rows);
    }
}

void console_guest_write(u8 byte)
{
    guest_stream_take(&console.guest, byte);
    terminal_set_owner(&console.terminal, TERMINAL_GUEST);
    write_raw((const char *)&byte, 1);
}

bool console_empty(void)
{
    return serial_empty(&console.serial);
}

int console_read(void)
{
    return serial_read(&console.serial);
}

void console_flush(void)
{
    console_draw();
    serial_flush(&console.serial);
}

void console_interrupt(bool on)
{
    serial_interrupt(&console.serial, on);
}

bool console_interrupt_is_nmi(u64 (*take_nmis)(void), u64 cycles)
{
    return serial_interrupt_is_nmi(&console.serial, take_nmis, cycles);
}

bool console_has_serial(void)
{
    return console.serial.base;
}

bool console_is_heard(void)
{
    return console.serial.base && !console.unasked;
}

int console_irq(void)
{
    return serial_irq(&console.serial);
}
