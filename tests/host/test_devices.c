// The guest's devices as they are wired: the UART's interrupt through the IOAPIC to the local APIC, the ports
// that end the guest, and what is at a device page.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>

#include "hv/devices/devices.h"
#include "hv/vcpu/event.h"

#define UART      0x3f8
#define IER       (UART + 1)
#define FCR       (UART + 2)
#define MCR       (UART + 4)
#define LSR       (UART + 5)
#define OUT2      8
#define PIN       4
#define VECTOR    0x41
#define ICR_SELF  (1u << 18)
#define NMI_ENTRY (BIT(31) | 2 << 8 | 2)
enum { LEVEL = 1 << 15, MASKED = 1 << 16, DELIVER_NMI = 4 << 8 };

static struct vcpu *v;

static void out(u16 port, u32 value)
{
    assert_int_equal(devices_port_write(v, port, 1, value), VERDICT_SKIP);
}

static u32 in(u16 port)
{
    return devices_port_read(v, port, 1) & 0xff;
}

static void route(u64 entry)
{
    devices_page_write(v, GUEST_IOAPIC_GPA, 4, 0x10 + 2 * PIN + 1);
    devices_page_write(v, GUEST_IOAPIC_GPA + 0x10, 4, entry >> 32);
    devices_page_write(v, GUEST_IOAPIC_GPA, 4, 0x10 + 2 * PIN);
    devices_page_write(v, GUEST_IOAPIC_GPA + 0x10, 4, (u32)entry);
}

// The self-IPI since the last call, or 0.
static u32 raised(void)
{
    u32 *icr = phys_ptr(0xfee00300);
    u32 value = *icr;
    *icr = 0;
    return value;
}

static void receive_interrupt_by_edge(void **state)
{
    (void)state;
    route(VECTOR);
    out(MCR, OUT2);
    out(IER, 1);
    assert_int_equal(raised(), 0);
    uart_receive(&v->vm->uart, 'a');
    assert_int_equal(raised(), ICR_SELF | VECTOR);
    uart_receive(&v->vm->uart, 'b'); // the line is asserted already
    assert_int_equal(raised(), 0);
    assert_int_equal(in(UART), 'a');
    while (in(LSR)&1)
        in(UART);
    raised();
    uart_receive(&v->vm->uart, 'c');
    assert_int_equal(raised(), ICR_SELF | VECTOR);
}

// A level-triggered pin delivers again after each access that leaves the line asserted: nobody sees the EOI.
static void receive_interrupt_by_level(void **state)
{
    (void)state;
    route(VECTOR | LEVEL);
    out(FCR, 1);
    out(MCR, OUT2);
    out(IER, 1);
    uart_receive(&v->vm->uart, 'a');
    uart_receive(&v->vm->uart, 'b');
    assert_int_equal(raised(), ICR_SELF | VECTOR);
    assert_int_equal(in(UART), 'a');
    assert_int_equal(raised(), ICR_SELF | VECTOR);
    assert_int_equal(in(UART), 'b');
    assert_int_equal(raised(), 0);
}

static void masked_pin(void **state)
{
    (void)state;
    route(VECTOR | LEVEL | MASKED);
    out(MCR, OUT2);
    out(IER, 1);
    uart_receive(&v->vm->uart, 'a');
    assert_int_equal(raised(), 0);
    route(VECTOR | LEVEL);
    assert_int_equal(raised(), ICR_SELF | VECTOR);
}

// Without OUT2 a PC's UART is not connected to its pin.
static void out2_gates(void **state)
{
    (void)state;
    route(VECTOR);
    out(IER, 1);
    uart_receive(&v->vm->uart, 'a');
    assert_int_equal(raised(), 0);
    out(MCR, OUT2);
    assert_int_equal(raised(), ICR_SELF | VECTOR);
}

static void delivered_as_nmi(void **state)
{
    (void)state;
    route(DELIVER_NMI);
    out(MCR, OUT2);
    out(IER, 1);
    uart_receive(&v->vm->uart, 'a');
    assert_int_equal(raised(), 0);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), 0); // the instruction may trap
    assert_int_equal(exit_nmi_window(v), VERDICT_RESUME);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), NMI_ENTRY);
}

static void transmit(void **state)
{
    (void)state;
    route(VECTOR);
    out(MCR, OUT2);
    out(IER, 2); // the transmitter is empty: at once
    assert_int_equal(raised(), ICR_SELF | VECTOR);
    in(FCR); // IIR: reading it takes the interrupt back
    out(UART, 'x');
    assert_int_equal(raised(), ICR_SELF | VECTOR);
    assert_int_equal(devices_port_write(v, UART, 2, 0x0079),
                     VERDICT_SKIP); // a word is two registers: data and IER
    assert_int_equal(in(IER), 0);
    assert_int_equal(machine_uart_count, 2);
    assert_memory_equal(machine_uart, "xy", 2);
}

static void ends(void **state)
{
    (void)state;
    static const struct {
        u16 port;
        unsigned bytes;
        u32 value;
        const char *end; // NULL: it goes on
    } rows[] = {
        {0xf4, 1, 7, "guest ended with status 7"},
        {0xf4, 4, 0x12345, "guest ended with status 74565"},
        {0x600, 1, 5 << 2 | 0x20, "guest powered off"},
        {0x600, 1, 5 << 2, NULL},        // no SLP_EN
        {0x600, 1, 3 << 2 | 0x20, NULL}, // no such sleep state
        {0xcf9, 1, 6, "guest reset"},
        {0xcf9, 1, 2, NULL},
        {0xcf8, 4, 0x80000600, NULL}, // PCI's address register: 06H falls on CF9H
        {0x64, 1, 0xfe, "guest reset"},
        {0x64, 1, 0xd1, NULL},
        {0x80, 1, 0xff, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        v->vm->end[0] = 0;
        enum verdict verdict = devices_port_write(v, rows[i].port, rows[i].bytes, rows[i].value);
        assert_int_equal(verdict, rows[i].end ? VERDICT_STOP : VERDICT_SKIP);
        assert_string_equal(v->vm->end, rows[i].end ? rows[i].end : "");
    }
}

static void nobody_reads_as_ones(void **state)
{
    (void)state;
    for (u32 port = 0; port < 0x10000; port++) {
        bool uart = port >= UART && port < UART + 8, pit = (port >= 0x40 && port <= 0x43) || port == 0x61;
        bool pic = (port & ~0x81u) == 0x20, rtc = port == 0x70 || port == 0x71;
        bool answers = uart || pit || pic || rtc || port == 0x600 || port == 0x601;
        if (!answers)
            assert_int_equal(devices_port_read(v, (u16)port, 4), 0xffffffff);
    }
    assert_int_equal(in(0x601), 0);
}

// 16 bits at once are two registers: the index, and what is at it.
static void clock_ports(void **state)
{
    (void)state;
    out(0x70, 0x0d);
    assert_int_equal(in(0x71), 0x80);
    assert_int_equal(devices_port_write(v, 0x70, 2, 0x5a0f), VERDICT_SKIP);
    assert_int_equal(devices_port_read(v, 0x70, 2), 0x5aff);
    out(0x70, 0x8d);
    assert_int_equal(in(0x71), 0x80);
}

#define LINT0         0xfee00350
#define EXTINT        0x700u
#define INTERRUPT     (BIT(31) | 0x20)
#define WINDOW        BIT(2)
#define TIMER_REDTBL0 0x10

static void local_apic_lint0(u32 value)
{
    *(u32 *)phys_ptr(LINT0) = value;
}

// 8259s as every kernel programs them, input 0 open; the timer comes once, 10 ticks from now.
static void start_timer(void)
{
    static const struct {
        u16 port;
        u8 value;
    } writes[] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4},  {0x21, 1},
                  {0x21, 0xfe}, {0x43, 0x30}, {0x40, 10}, {0x40, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
        out(writes[i].port, writes[i].value);
}

static void wait_for_timer(void)
{
    for (unsigned i = 0; i < 1000; i++) // the TSC goes on by 100 a look
        in(0x61);
    legacy_interrupt(v);
}

static u64 injected(void)
{
    u64 info = vmcs_read(ENTRY_INTERRUPTION_INFO);
    vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
    return info;
}

static void timer_by_8259(void **state)
{
    (void)state;
    local_apic_lint0(EXTINT);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    start_timer();
    assert_int_equal(injected(), 0);
    assert_in_range(legacy_wait(v), 1, v->vm->tsc_hz / 1000);
    wait_for_timer();
    assert_int_equal(injected(), INTERRUPT);
    assert_int_equal(legacy_wait(v), ~0ull); // mode 0 comes once
    legacy_interrupt(v);
    assert_int_equal(injected(), 0);
}

// The guest has set the TSC to just before its end.
static void timer_over_the_end_of_the_tsc(void **state)
{
    (void)state;
    local_apic_lint0(EXTINT);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    start_timer();
    u64 before = v->vm->legacy.last - v->vm->legacy.started;
    v->vm->legacy.last = -1ull;
    v->vm->legacy.started = v->vm->legacy.last - before;
    assert_in_range(legacy_wait(v), 1, v->vm->tsc_hz / 1000);
    wait_for_timer();
    assert_int_equal(injected(), INTERRUPT);
}

// While the guest has interrupts off, the exit at which it has them on is asked for.
static void timer_waits_for_if(void **state)
{
    (void)state;
    local_apic_lint0(EXTINT);
    start_timer();
    wait_for_timer();
    assert_int_equal(injected(), 0);
    assert_true(vmcs_read(PROCESSOR_BASED_CONTROLS) & WINDOW);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    vmcs_write(GUEST_INTERRUPTIBILITY, 1); // STI
    legacy_interrupt(v);
    assert_int_equal(injected(), 0);
    vmcs_write(GUEST_INTERRUPTIBILITY, 0);
    assert_int_equal(exit_interrupt_window(v), VERDICT_RESUME);
    assert_int_equal(injected(), INTERRUPT);
    assert_false(vmcs_read(PROCESSOR_BASED_CONTROLS) & WINDOW);
}

// What waits for LINT0 is looked after, since the guest opens it without an exit.
static void timer_waits_for_lint0(void **state)
{
    (void)state;
    local_apic_lint0(EXTINT | 1u << 16);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    start_timer();
    wait_for_timer();
    assert_int_equal(injected(), 0);
    assert_false(vmcs_read(PROCESSOR_BASED_CONTROLS) & WINDOW);
    assert_in_range(legacy_wait(v), 1, v->vm->tsc_hz / 100);
    local_apic_lint0(EXTINT);
    legacy_interrupt(v);
    assert_int_equal(injected(), INTERRUPT);
}

// Masked at both, nothing is waited for; an edge that came meanwhile is pending at the 8259s.
static void timer_masked(void **state)
{
    (void)state;
    local_apic_lint0(EXTINT);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    start_timer();
    out(0x21, 0xff);
    assert_int_equal(legacy_wait(v), ~0ull);
    wait_for_timer();
    assert_int_equal(injected(), 0);
    out(0x21, 0xfe);
    assert_int_equal(injected(), 0); // the OUT may trap
    assert_int_equal(exit_interrupt_window(v), VERDICT_RESUME);
    assert_int_equal(injected(), INTERRUPT);
}

// Closed, until a guest is to find it as a BIOS leaves it: then 18.2 interrupts a second of vector 8.
static void timer_as_firmware_leaves_it(void **state)
{
    (void)state;
    local_apic_lint0(EXTINT);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    assert_int_equal(legacy_wait(v), ~0ull);
    legacy_open_timer(v);
    assert_in_range(legacy_wait(v), v->vm->tsc_hz / 20, v->vm->tsc_hz / 18);
    legacy_interrupt(v);
    assert_int_equal(injected(), 0);
    v->vm->legacy.started -= v->vm->tsc_hz / 18; // so much later
    legacy_interrupt(v);
    assert_int_equal(injected(), BIT(31) | 8);
}

static void timer_by_ioapic(void **state)
{
    (void)state;
    start_timer();
    out(0x21, 0xff);
    devices_page_write(v, GUEST_IOAPIC_GPA, 4, TIMER_REDTBL0);
    devices_page_write(v, GUEST_IOAPIC_GPA + 0x10, 4, VECTOR);
    assert_in_range(legacy_wait(v), 1, v->vm->tsc_hz / 1000);
    raised();
    wait_for_timer();
    assert_int_equal(raised(), ICR_SELF | VECTOR);
    assert_int_equal(injected(), 0);
}

// A guest that has no IOAPIC driver finds the UART at the 8259s.
static void uart_by_8259(void **state)
{
    (void)state;
    local_apic_lint0(EXTINT);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    start_timer();
    out(0x21, 0xef);
    out(MCR, OUT2);
    out(IER, 1);
    uart_receive(&v->vm->uart, 'a');
    assert_int_equal(exit_interrupt_window(v), VERDICT_RESUME);
    assert_int_equal(injected(), BIT(31) | 0x24);
}

static void local_apic_page_wants_words(void **state)
{
    (void)state;
    v->vm->apic.hardware_x2apic = true;
    fake_msr_set(0x808, 0x33);
    assert_int_equal(devices_page_read(v, 0xfee00080, 4), 0x33);
    assert_int_equal(devices_page_read(v, 0xfee00084, 4), 0);
    assert_int_equal(devices_page_read(v, 0xfee00080, 1), 0);
    devices_page_write(v, 0xfee00080, 2, 0x44);
    assert_int_equal(fake_msr(0x808), 0x33);
    devices_page_write(v, 0xfee00080, 4, 0x44);
    assert_int_equal(fake_msr(0x808), 0x44);
}

// A third device page is nobody's: it neither shows nor changes the local APIC's registers.
static void page_without_a_row(void **state)
{
    (void)state;
    static const u64 pages[] = {GUEST_IOAPIC_GPA - PAGE_SIZE, GUEST_IOAPIC_GPA + PAGE_SIZE,
                                GUEST_LAPIC_GPA - PAGE_SIZE, GUEST_LAPIC_GPA + PAGE_SIZE, 0xfed00000};
    v->vm->apic.hardware_x2apic = true;
    fake_msr_set(0x808, 0x33);
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        assert_int_equal(devices_page_read(v, pages[i] + 0x80, 4), ~0ull);
        devices_page_write(v, pages[i] + 0x80, 4, 0x44);
    }
    assert_int_equal(devices_page_read(v, 0x3fd, 1), ~0ull); // the number of a port, of COM1
    assert_int_equal(fake_msr(0x808), 0x33);
}

#define TEST(f) MACHINE_TEST(machine_setup, f)

// Of the machine's devices a guest reaches the page of the local APIC alone: not the console's UART, nor the
// screen, wherever they are.
static void no_other_device_of_the_machine(void **state)
{
    (void)state;
    u64 direct = 0, frames;
    for (u64 at = 0; at < BIT(P2M_GFN_BITS); at += frames) {
        struct p2m_leaf leaf = p2m_lookup(&v->vm->p2m, gfn(at));
        frames = BIT(9 * (leaf.level - 1));
        if (p2m_is_ram(leaf.type))
            assert_true(frames_owned(v->vm->frames, leaf.mfn, frames, FRAME_GUEST));
        if (leaf.type != P2M_DIRECT)
            continue;
        direct += frames;
        assert_int_equal(at, GUEST_LAPIC_GPA / PAGE_SIZE);
        assert_int_equal(leaf.mfn.n, 0xfee00);
    }
    assert_int_equal(direct, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(receive_interrupt_by_edge),
        TEST(receive_interrupt_by_level),
        TEST(masked_pin),
        TEST(out2_gates),
        TEST(delivered_as_nmi),
        TEST(transmit),
        TEST(ends),
        TEST(nobody_reads_as_ones),
        TEST(clock_ports),
        TEST(timer_by_8259),
        TEST(timer_over_the_end_of_the_tsc),
        TEST(timer_waits_for_if),
        TEST(timer_waits_for_lint0),
        TEST(timer_masked),
        TEST(timer_as_firmware_leaves_it),
        TEST(timer_by_ioapic),
        TEST(uart_by_8259),
        TEST(local_apic_page_wants_words),
        TEST(page_without_a_row),
        TEST(no_other_device_of_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
