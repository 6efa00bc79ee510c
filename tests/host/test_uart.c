// The 16550A model against the data sheet and against what Linux's 8250 driver does with it: its probe
// sequence, its interrupt loop, its checks for broken transmitters. Random operations run in fuzz_uart.c.

// link: hv/devices/uart.c tests/host/fuzz_uart.c
#include "hv/devices/uart.h"
#include "support.h"

#include <stdio.h>

enum { RX = 0, TX = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

struct port {
    struct uart u;
    char sent[8192];
    unsigned sent_count;
    bool busy;      // what is sent has not gone
    unsigned edges; // rising
    bool line;
};

static bool transmitted(void *context, u8 byte)
{
    struct port *p = context;
    p->sent[p->sent_count++ % sizeof(p->sent)] = (char)byte;
    return !p->busy;
}

static void line_changed(void *context, bool level)
{
    struct port *p = context;
    assert_int_not_equal(level, p->line);
    p->line = level;
    p->edges += level;
}

static struct port *port_make(void)
{
    static struct port p;
    memset(&p, 0, sizeof(p));
    uart_init(&p.u, transmitted, line_changed, &p);
    return &p;
}

static u8 in(struct port *p, unsigned reg)
{
    u8 value = uart_read(&p->u, reg);
    assert_int_equal(p->u.line, p->line);
    return value;
}

static void out(struct port *p, unsigned reg, u8 value)
{
    uart_write(&p->u, reg, value);
    assert_int_equal(p->u.line, p->line);
}

static void receive(struct port *p, const char *text)
{
    for (; *text; text++)
        uart_receive(&p->u, (u8)*text);
}

static void test_polled_kernel(void **state)
{
    (void)state;
    struct port *p = port_make();
    for (const char *c = "hello"; *c; c++) {
        assert_int_equal(in(p, LSR), 0x60);
        out(p, TX, (u8)*c);
    }
    assert_string_equal(p->sent, "hello");
    assert_int_equal(p->edges, 0);
    receive(p, "ab");
    assert_int_equal(in(p, LSR), 0x61);
    assert_int_equal(in(p, RX), 'a');
    assert_int_equal(in(p, LSR), 0x61);
    assert_int_equal(in(p, RX), 'b');
    assert_int_equal(in(p, LSR), 0x60);
}

// Each byte is with the owner at once; until it has gone the transmitter is not empty, and then interrupts
// once.
static void test_slow_transmitter(void **state)
{
    (void)state;
    struct port *p = port_make();
    out(p, MCR, 0x08);
    out(p, IER, 0x02);
    assert_int_equal(p->edges, 1);
    assert_int_equal(in(p, IIR) & 0x0f, 0x02);
    p->busy = true;
    for (const char *c = "sixteen in a row"; *c; c++) {
        out(p, TX, (u8)*c);
        assert_int_equal(in(p, LSR), 0);
        assert_int_equal(in(p, IIR) & 0x0f, 0x01);
    }
    assert_string_equal(p->sent, "sixteen in a row");
    out(p, IER, 0); // enabled anew it is not empty either
    out(p, IER, 0x02);
    out(p, MCR, 0x18); // nor is it after a byte that is looped back
    out(p, TX, 'x');
    assert_int_equal(in(p, LSR), 0x01);
    out(p, MCR, 0x08);
    assert_int_equal(p->edges, 1);
    uart_sent(&p->u);
    assert_int_equal(p->edges, 2);
    assert_int_equal(in(p, LSR), 0x61);
    assert_int_equal(in(p, IIR) & 0x0f, 0x02);
    uart_sent(&p->u);
    assert_int_equal(p->edges, 2);
    assert_int_equal(in(p, IIR) & 0x0f, 0x01);
}

static void test_storage_registers(void **state)
{
    (void)state;
    struct port *p = port_make();
    assert_int_equal(in(p, LCR), 0x03);
    assert_int_equal(in(p, MSR), 0xb0);
    out(p, SCR, 0x5a);
    assert_int_equal(in(p, SCR), 0x5a);
    out(p, MCR, 0xff);
    assert_int_equal(in(p, MCR), 0x1f);
    out(p, LCR, 0xff); // DLAB
    out(p, 0, 0x34);
    out(p, 1, 0x12);
    assert_int_equal(in(p, 0), 0x34);
    assert_int_equal(in(p, 1), 0x12);
    out(p, LCR, 0x7f);
    assert_int_equal(in(p, LCR), 0x7f);
    out(p, IER, 0xff);
    assert_int_equal(in(p, IER), 0x0f);
    out(p, LCR, 0x80);
    assert_int_equal(in(p, 0), 0x34);
    assert_int_equal(p->sent_count, 0);
    out(p, LSR, 0xff);
    out(p, MSR, 0xff);
    assert_int_equal(in(p, LSR), 0x60);
    assert_int_equal(in(p, 8 + SCR), 0x5a); // registers repeat every 8
}

// size_fifo of 8250_port.c: how many looped-back bytes stay.
static unsigned linux_size_fifo(struct port *p)
{
    u8 old_fcr = 0x01, old_mcr, old_lcr = in(p, LCR);
    unsigned count;
    out(p, LCR, 0);
    out(p, FCR, 0x07);
    old_mcr = in(p, MCR);
    out(p, MCR, 0x10);
    out(p, LCR, 0x80);
    u8 dll = in(p, 0), dlm = in(p, 1);
    out(p, 0, 1);
    out(p, 1, 0);
    out(p, LCR, 0x03);
    for (count = 0; count < 256; count++)
        out(p, TX, (u8)count);
    for (count = 0; (in(p, LSR) & 1) && count < 256; count++)
        assert_int_equal(in(p, RX), count);
    out(p, FCR, old_fcr);
    out(p, MCR, old_mcr);
    out(p, LCR, 0x80);
    out(p, 0, dll);
    out(p, 1, dlm);
    out(p, LCR, old_lcr);
    return count;
}

// autoconfig_16550a: each line is one of the driver's tests, and must not find a later part.
static void linux_autoconfig_16550a(struct port *p)
{
    out(p, LCR, 0x80);
    assert_int_equal(in(p, 2) & 0x1f, 0x01); // EFR of the 16650 would not read as IIR does
    out(p, 2, 0x02);                         // and keeps what is written
    assert_int_not_equal(in(p, 2), 0x02);
    out(p, 2, 0);
    out(p, LCR, 0xbf);
    assert_int_not_equal(in(p, 2), 0); // 16950, 16850
    out(p, LCR, 0);
    u8 mcr = in(p, MCR);
    out(p, LCR, 0xe0);
    u8 bank2 = in(p, 2);
    if (!((bank2 ^ mcr) & 0x10)) { // National Semiconductor SuperIO
        out(p, LCR, 0);
        out(p, MCR, mcr ^ 0x10);
        out(p, LCR, 0xe0);
        bank2 = in(p, 2);
        out(p, LCR, 0);
        out(p, MCR, mcr);
        assert_int_equal((bank2 ^ mcr) & 0x10, 0);
    }
    out(p, LCR, 0);
    out(p, FCR, 0x21);
    unsigned without = in(p, IIR) >> 5;
    out(p, FCR, 0x01);
    out(p, LCR, 0x80);
    out(p, FCR, 0x21);
    unsigned with = in(p, IIR) >> 5;
    out(p, FCR, 0x01);
    out(p, LCR, 0);
    assert_false(without == 6 && with == 7); // 16750
    out(p, IER, 0x40);
    assert_int_equal(in(p, IER) & 0x40, 0); // XScale
    out(p, IER, 0);
}

static void test_linux_autoconfig(void **state)
{
    (void)state;
    struct port *p = port_make();
    out(p, IER, 0);
    assert_int_equal(in(p, IER) & 0x0f, 0);
    out(p, IER, 0x0f);
    assert_int_equal(in(p, IER) & 0x0f, 0x0f);
    out(p, IER, 0);
    u8 mcr = in(p, MCR), lcr = in(p, LCR);
    out(p, MCR, 0x1a);
    assert_int_equal(in(p, MSR) & 0xf0, 0x90);
    out(p, MCR, mcr);
    out(p, LCR, 0xbf);
    out(p, 2, 0);
    out(p, LCR, 0);
    out(p, FCR, 0x01);
    assert_int_equal(in(p, IIR) >> 6, 3);
    linux_autoconfig_16550a(p);
    assert_int_equal(linux_size_fifo(p), 16);
    out(p, LCR, lcr);
    assert_int_equal(p->edges, 0);
    assert_int_equal(p->sent_count, 0);
    assert_int_equal(in(p, LSR) & 0x9d, 0);
}

// serial8250_do_startup: with UART_BUG_THRE or UART_BUG_TXEN the driver would poll by timer.
static void test_linux_startup(void **state)
{
    (void)state;
    struct port *p = port_make();
    out(p, FCR, 0x01);
    out(p, FCR, 0x07);
    out(p, FCR, 0x00);
    for (unsigned reg = 0; reg < 8; reg++)
        in(p, (unsigned[]){LSR, RX, IIR, MSR}[reg % 4]);
    out(p, LCR, 0x03);
    out(p, IER, 0x02);
    assert_int_equal(in(p, IIR) & 0x0f, 0x02);
    out(p, IER, 0);
    out(p, IER, 0x02);
    assert_int_equal(in(p, IIR) & 0x0f, 0x02);
    out(p, IER, 0);
    assert_int_equal(p->edges, 0); // OUT2 is not set yet
    out(p, MCR, 0x0b);
    out(p, IER, 0x02);
    assert_int_equal(in(p, LSR) & 0x40, 0x40);
    assert_int_equal(in(p, IIR) & 1, 0);
    out(p, IER, 0);
    assert_int_equal(p->edges, 1);
}

// What serial8250_interrupt does: until IIR shows nothing, take all input, send up to 16 bytes.
struct driver {
    struct port *port;
    const char *output;
    char input[8192];
    unsigned input_count, interrupts, spurious;
};

static void driver_transmit(struct driver *d)
{
    for (unsigned i = 0; i < 16 && *d->output; i++)
        out(d->port, TX, (u8)*d->output++);
    if (!*d->output)
        out(d->port, IER, 0x05);
}

static void driver_interrupt(struct driver *d)
{
    struct port *p = d->port;
    d->interrupts++;
    d->spurious += in(p, IIR) & 1;
    for (unsigned pass = 0; pass < 512; pass++) {
        // The check above read IIR, which acknowledges THRE as well: so LSR decides, as in Linux.
        u8 lsr = in(p, LSR);
        for (; (lsr & 1) && d->input_count < sizeof(d->input); lsr = in(p, LSR))
            d->input[d->input_count++] = (char)in(p, RX);
        in(p, MSR);
        if ((lsr & 0x20) && (in(p, IER) & 0x02))
            driver_transmit(d);
        if (in(p, IIR) & 1)
            return;
    }
    fail_msg("the interrupt never ends");
}

// Edges are what an edge-triggered pin forwards: one interrupt for any number of them while it is busy.
static void driver_run(struct driver *d)
{
    unsigned seen = 0;
    while (seen != d->port->edges) {
        seen = d->port->edges;
        driver_interrupt(d);
    }
}

static void driver_start(struct driver *d)
{
    *d = (struct driver){.port = port_make(), .output = ""};
    out(d->port, FCR, 0x81);
    out(d->port, MCR, 0x0b);
    out(d->port, IER, 0x05);
}

static void test_linux_output(void **state)
{
    (void)state;
    static struct driver d;
    static char text[4000];
    driver_start(&d);
    memset(text, 'x', sizeof(text) - 1);
    for (unsigned round = 0; round < 3; round++) {
        d.output = text;
        d.port->sent_count = 0;
        out(d.port, IER, 0x07);
        driver_run(&d);
        assert_int_equal(d.port->sent_count, sizeof(text) - 1);
    }
    assert_false(d.port->u.line);
}

static void test_linux_input(void **state)
{
    (void)state;
    static struct driver d;
    driver_start(&d);
    for (const char *c = "ls -l\n"; *c; c++) {
        uart_receive(&d.port->u, (u8)*c);
        driver_run(&d);
    }
    assert_memory_equal(d.input, "ls -l\n", 6);
    assert_int_equal(d.interrupts, 6);
    assert_int_equal(d.spurious, 0);
    for (unsigned i = 0; i < 4000; i++) // pasted before the guest looks
        uart_receive(&d.port->u, (u8)i);
    driver_run(&d);
    assert_int_equal(d.input_count, 4006);
    for (unsigned i = 0; i < 4000; i++)
        assert_int_equal((u8)d.input[6 + i], (u8)i);
    assert_false(d.port->u.line);
}

// A handler that takes one byte an interrupt and never looks again still gets them all.
static void test_one_byte_handler(void **state)
{
    (void)state;
    for (unsigned fcr = 0; fcr < 2; fcr++) {
        struct port *p = port_make();
        out(p, FCR, fcr ? 0x41 : 0);
        out(p, MCR, 0x08);
        out(p, IER, 0x01);
        receive(p, "abcdefgh");
        char got[9] = {0};
        unsigned taken = 0;
        while (taken < p->edges && taken < 8)
            got[taken++] = (char)in(p, RX);
        assert_string_equal(got, "abcdefgh");
        assert_int_equal(p->edges, 8);
    }
}

static void test_one_byte_sender(void **state)
{
    (void)state;
    struct port *p = port_make();
    out(p, MCR, 0x08);
    out(p, IER, 0x02);
    assert_int_equal(p->edges, 1);
    for (unsigned i = 1; i < 50; i++) { // without ever reading IIR
        out(p, TX, (u8)i);
        assert_int_equal(p->edges, 1 + i);
    }
}

static void test_thre(void **state)
{
    (void)state;
    struct port *p = port_make();
    out(p, MCR, 0x08);
    out(p, IER, 0x02);
    assert_true(p->line);
    assert_int_equal(in(p, IIR), 0x02); // shows it, and acknowledges it
    assert_false(p->line);
    assert_int_equal(in(p, IIR), 0x01);
    out(p, IER, 0x02); // already enabled: nothing new
    assert_false(p->line);
    out(p, TX, 'x');
    assert_true(p->line);
    out(p, IER, 0x03); // a higher cause hides it, and reading that one does not acknowledge it
    receive(p, "r");
    assert_int_equal(in(p, IIR), 0x04);
    assert_int_equal(in(p, RX), 'r');
    assert_int_equal(in(p, IIR), 0x02);
    assert_int_equal(in(p, IIR), 0x01);
}

static void test_trigger_levels(void **state)
{
    (void)state;
    static const unsigned levels[] = {1, 4, 8, 14};
    for (unsigned i = 0; i < 4; i++) {
        struct port *p = port_make();
        out(p, FCR, (u8)(i << 6 | 1));
        out(p, IER, 0x01);
        for (unsigned n = 1; n <= 16; n++) {
            uart_receive(&p->u, (u8)n);
            assert_int_equal(in(p, IIR), n >= levels[i] ? 0xc4 : 0xcc);
        }
        out(p, FCR, (u8)(i << 6 | 3));
        assert_int_equal(in(p, IIR), 0xc1);
        assert_int_equal(in(p, LSR), 0x60);
    }
}

static void test_overrun(void **state)
{
    (void)state;
    struct port *p = port_make();
    out(p, FCR, 0x01);
    out(p, MCR, 0x08);
    for (unsigned i = 0; i < 16 + UART_QUEUE_BYTES; i++)
        uart_receive(&p->u, (u8)(i * 7));
    assert_int_equal(p->u.queue_count, UART_QUEUE_BYTES);
    assert_int_equal(in(p, LSR), 0x61);
    out(p, IER, 0x05);
    uart_receive(&p->u, 0xee);
    assert_int_equal(in(p, IIR), 0xc6);
    assert_int_equal(in(p, LSR), 0x63);
    assert_int_equal(in(p, LSR), 0x61);
    for (unsigned i = 0; i < 16 + UART_QUEUE_BYTES; i++)
        assert_int_equal(in(p, RX), (u8)(i * 7));
    assert_int_equal(in(p, LSR), 0x60);
    assert_int_equal(p->u.queue_count, 0);
}

static void test_loopback(void **state)
{
    (void)state;
    struct port *p = port_make();
    out(p, IER, 0x0f);
    out(p, MCR, 0x1b);
    assert_false(p->line); // OUT2's pin is inactive
    out(p, TX, 'l');
    receive(p, "h");
    assert_int_equal(in(p, RX), 'l');
    assert_int_equal(in(p, LSR), 0x60); // the host's byte waits
    out(p, TX, '1');
    out(p, TX, '2'); // no FIFO: RBR is overwritten
    assert_int_equal(in(p, LSR), 0x63);
    assert_int_equal(in(p, RX), '2');
    assert_int_equal(p->sent_count, 0);
    out(p, MCR, 0x0b);
    assert_true(p->line);
    assert_int_equal(in(p, RX), 'h');
}

static void test_modem_status(void **state)
{
    (void)state;
    struct port *p = port_make();
    out(p, IER, 0x08);
    out(p, MCR, 0x10); // all lines drop
    assert_int_equal(in(p, IIR), 0x00);
    assert_int_equal(in(p, MSR), 0x0b);
    assert_int_equal(in(p, IIR), 0x01);
    out(p, MCR, 0x14); // RI begins: not told
    assert_int_equal(in(p, MSR), 0x40);
    out(p, MCR, 0x10);
    assert_int_equal(in(p, MSR), 0x04);
    out(p, MCR, 0x08);
    assert_int_equal(in(p, MSR), 0xbb);
    assert_int_equal(in(p, MSR), 0xb0);
}

static void test_out2_gates(void **state)
{
    (void)state;
    struct port *p = port_make();
    out(p, IER, 0x02);
    assert_false(p->line);
    out(p, MCR, 0x08);
    assert_true(p->line);
    out(p, MCR, 0x03);
    assert_false(p->line);
    assert_int_equal(in(p, IIR), 0x02);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void test_random(void **state)
{
    (void)state;
    static u8 bytes[4096];
    random_start();
    for (unsigned run = 0; run < 300; run++) {
        for (unsigned i = 0; i < sizeof(bytes); i++)
            bytes[i] = (u8)(random_u64() >> 24);
        LLVMFuzzerTestOneInput(bytes, sizeof(bytes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_polled_kernel),     cmocka_unit_test(test_slow_transmitter),
        cmocka_unit_test(test_storage_registers), cmocka_unit_test(test_linux_autoconfig),
        cmocka_unit_test(test_linux_startup),     cmocka_unit_test(test_linux_output),
        cmocka_unit_test(test_linux_input),       cmocka_unit_test(test_one_byte_handler),
        cmocka_unit_test(test_one_byte_sender),   cmocka_unit_test(test_thre),
        cmocka_unit_test(test_trigger_levels),    cmocka_unit_test(test_overrun),
        cmocka_unit_test(test_loopback),          cmocka_unit_test(test_modem_status),
        cmocka_unit_test(test_out2_gates),        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
