// When the console draws its screen: VGA cells in the machine's memory, and a clock that the test sets.
// link: arch/console.c arch/guest_stream.c arch/terminal.c arch/vga.c arch/vga_picture.c
#include "support.h"

#include <arch/console.h>
#include <arch/io.h>

#include "arch/framebuffer.h"
#include "arch/device_map.h"
#include "arch/serial.h"
#include "arch/serial_find.h"
#include "arch/vga.h"
#include "arch/vga_font.h"

#define PAUSE 1000

const u8 font_psf[1], font_psf_end[1];

static struct frames frames;
static u64 now;
static unsigned told;
static char sent[65536];
static unsigned sent_count;

u64 rdtsc(void)
{
    return now;
}

void outb(u16 port, u8 value)
{
    (void)port, (void)value;
}

bool serial_init(struct serial *s, unsigned divisor)
{
    (void)divisor;
    return s->base;
}

void serial_write(struct serial *s, u8 byte)
{
    (void)s;
    assert_true(sent_count < sizeof(sent));
    sent[sent_count++] = (char)byte;
}

int serial_read(struct serial *s)
{
    (void)s;
    return -1;
}

bool serial_empty(struct serial *s)
{
    (void)s;
    return true;
}

void serial_flush(struct serial *s)
{
    (void)s;
}

void serial_interrupt(struct serial *s, bool on)
{
    (void)s, (void)on;
}

struct console_port serial_find(struct serial *s, const struct boot_info *boot, const struct acpi *acpi,
                                bool pci_only)
{
    (void)s, (void)boot, (void)acpi, (void)pci_only;
    return (struct console_port){0};
}

bool serial_interrupt_is_nmi(struct serial *s, u64 (*take_nmis)(void), u64 cycles)
{
    (void)s, (void)take_nmis, (void)cycles;
    return false;
}

int serial_irq(const struct serial *s)
{
    (void)s;
    return -1;
}

volatile void *screen_map(u64 hpa, u64 bytes)
{
    (void)hpa, (void)bytes;
    return NULL;
}

int framebuffer_init(struct framebuffer *f, struct terminal *t, const struct boot_framebuffer *info,
                     volatile void *pixels, const u8 *psf, size_t psf_size)
{
    (void)f, (void)t, (void)info, (void)pixels, (void)psf, (void)psf_size;
    return ERR_INVALID;
}

unsigned framebuffer_picture_room(const struct framebuffer *f, unsigned rows)
{
    (void)f, (void)rows;
    return 0;
}

void framebuffer_picture(const struct framebuffer *f, const struct console_picture *picture, unsigned rows)
{
    (void)f, (void)picture, (void)rows;
}

void vga_font_write(unsigned first, unsigned count, void (*glyph)(unsigned number, u8 lines[16]))
{
    (void)first, (void)count, (void)glyph;
}

static void tell(void *context)
{
    assert_ptr_equal(context, &told);
    told++;
}

static int start(void **state)
{
    (void)state;
    memory_make(2 * MIB, &frames);
    now = BIT(40);
    console_draw_every(0, NULL, NULL);
    console_write("", 0); // the line that a test before has left open
    console_screen_vga();
    told = sent_count = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

static void guest_says(const char *text)
{
    for (; *text; text++)
        console_guest_write((u8)*text);
}

static char shown(unsigned row, unsigned column)
{
    return (char)((u16 *)phys_ptr(VGA_TEXT_HPA))[row * VGA_COLUMNS + column];
}

static void at_once_at_first(void **state)
{
    (void)state;
    console_write("a\n", 2);
    assert_int_equal(shown(0, 0), 'a');
    guest_says("b");
    assert_int_equal(shown(1, 0), 'b');
}

// The first text after a pause is shown at once. What follows is told once, and shown when it was asked for.
static void later_while_a_guest_runs(void **state)
{
    (void)state;
    console_draw_every(PAUSE, tell, &told);
    now += PAUSE;
    guest_says("a");
    assert_int_equal(shown(0, 0), 'a');
    now += PAUSE - 1;
    guest_says("bc");
    assert_int_equal(shown(0, 1), ' ');
    assert_int_equal(told, 1);
    console_draw();
    assert_int_equal(shown(0, 2), 'c');
    guest_says("d");
    assert_int_equal(told, 2);
    now += PAUSE;
    guest_says("e"); // nobody has come, and the time is over
    assert_int_equal(shown(0, 4), 'e');
    assert_int_equal(sent_count, 5); // the serial line never waits
}

static void at_the_end(void **state)
{
    (void)state;
    console_draw_every(PAUSE, NULL, NULL);
    console_write("one", 3);
    assert_int_equal(shown(0, 0), ' ');
    console_flush();
    assert_int_equal(shown(0, 2), 'e');
    console_alert("two", 3);
    assert_int_equal(shown(0, 3), ' ');
    console_draw_every(0, NULL, NULL);
    assert_int_equal(shown(0, 5), 'o');
    console_write("!", 1);
    assert_int_equal(shown(0, 6), '!');
}

// Somebody reads a page, or takes a picture of one: it is there before the monitor waits, and whole.
static void pages_at_once(void **state)
{
    (void)state;
    console_draw_every(PAUSE, NULL, NULL);
    console_write("old", 3);
    ((u16 *)phys_ptr(VGA_TEXT_HPA))[VGA_COLUMNS] = '#'; // of a picture
    console_page("title", "a\nb", 3);
    assert_int_equal(shown(0, 4), 'e');
    assert_int_equal(shown(1, 0), 'a');
    assert_int_equal(shown(2, 0), 'b');
}

// What is for programs goes to the serial line alone.
static void hidden_from_the_screen(void **state)
{
    (void)state;
    console_screen_shows(false);
    console_write("{}\n", 3);
    console_screen_shows(true);
    console_write("x", 1);
    assert_int_equal(shown(0, 0), 'x');
    assert_memory_equal(sent, "{}\r\nx", 5);
}

// A guest that sets the clock back makes the screen no later than it is.
static void clock_set_back(void **state)
{
    (void)state;
    console_draw_every(PAUSE, tell, &told);
    now -= BIT(30);
    guest_says("x");
    assert_int_equal(shown(0, 0), 'x');
    assert_int_equal(told, 0);
}

#define ON_MACHINE(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_MACHINE(at_once_at_first), ON_MACHINE(later_while_a_guest_runs),
        ON_MACHINE(at_the_end),       ON_MACHINE(pages_at_once),
        ON_MACHINE(clock_set_back),   ON_MACHINE(hidden_from_the_screen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
