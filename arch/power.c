// Power-off, reset and halt of the host. Power-off by ACPI S5 (ACPI 6.5, 4.8.3.2 and 4.8.3.7), and by Bochs's
// own port where the machine may be Bochs, since S5 is a panic of the emulator there.
#include <arch/power.h>

#include <arch/console.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/pci.h>
#include <arch/phys.h>

#define PM1_SCI_EN     BIT(0)
#define PM1_SLP_TYP(t) ((u32)(t) << 10)
#define PM1_SLP_TYPES  PM1_SLP_TYP(7)
#define PM1_SLP_EN     BIT(13)

#define SLEEP_CONTROL_TYP(t) ((u32)(t) << 2)
#define SLEEP_CONTROL_EN     BIT(5)

#define BOCHS_SHUTDOWN 0x8900

#define RESET_CONTROL        0xcf9
#define RESET_CONTROL_HARD   0x02
#define RESET_CONTROL_RESET  0x04
#define KEYBOARD_COMMAND     0x64 // reads as the status
#define KEYBOARD_INPUT_FULL  0x02
#define KEYBOARD_PULSE_RESET 0xfe

// An I/O read takes about 1 us, or nearly nothing in an emulator, where a reset or power-off is immediate.
#define PATIENCE 500000u

static void wait_a_while(void)
{
    for (unsigned i = 0; i < PATIENCE; i++)
        inb(KEYBOARD_COMMAND);
}

_Noreturn void machine_halt(void)
{
    console_draw();
    for (;;) {
        cli();
        hlt();
    }
}

static u32 read_pm1(const struct acpi_register *r)
{
    if (!r->address)
        return 0;
    return r->space == ACPI_IO ? inw((u16)r->address) : *(volatile u16 *)phys_ptr(r->address);
}

static void write_pm1(const struct acpi_register *r, u32 value)
{
    if (!r->address)
        return;
    if (r->space == ACPI_IO)
        outw((u16)r->address, (u16)value);
    else if (r->space == ACPI_MEMORY)
        *(volatile u16 *)phys_ptr(r->address) = (u16)value;
}

// Firmware that still handles power management itself must hand it over first (ACPI 6.5, 4.8.2.5).
static void enter_acpi_mode(const struct acpi *acpi)
{
    if (!acpi->smi_command || !acpi->acpi_enable || read_pm1(&acpi->pm1a_control) & PM1_SCI_EN)
        return;
    outb(acpi->smi_command, acpi->acpi_enable);
    for (unsigned i = 0; i < PATIENCE && !(read_pm1(&acpi->pm1a_control) & PM1_SCI_EN); i++)
        pause();
}

static void write_byte(const struct acpi_register *r, u8 value)
{
    if (!r->address)
        return;
    if (r->space == ACPI_IO) {
        outb((u16)r->address, value);
    } else if (r->space == ACPI_MEMORY) {
        *(volatile u8 *)phys_ptr(r->address) = value;
    } else if (r->space == ACPI_PCI) {
        u32 device = r->address >> 32 & 0x1f, function = r->address >> 16 & 7, offset = r->address & 0xff;
        pci_write_byte(PCI_AT(0, device, function) | offset, value);
    }
}

static void enter_s5(const struct acpi *acpi)
{
    if (!acpi->s5)
        return;
    write_byte(&acpi->sleep_control, (u8)(SLEEP_CONTROL_TYP(acpi->s5_type_a) | SLEEP_CONTROL_EN));
    if (!acpi->pm1a_control.address)
        return;
    enter_acpi_mode(acpi);
    u32 a = (read_pm1(&acpi->pm1a_control) & ~PM1_SLP_TYPES) | PM1_SLP_TYP(acpi->s5_type_a);
    u32 b = (read_pm1(&acpi->pm1b_control) & ~PM1_SLP_TYPES) | PM1_SLP_TYP(acpi->s5_type_b);
    write_pm1(&acpi->pm1a_control, a | PM1_SLP_EN);
    write_pm1(&acpi->pm1b_control, b | PM1_SLP_EN);
}

// The firmware of Bochs calls itself so, and so does SeaBIOS in QEMU, where that port is not there.
static void ask_bochs(const struct acpi *acpi)
{
    if (memcmp(acpi->oem, "BOCHS ", 6) != 0)
        return;
    for (const char *c = "Shutdown"; *c; c++)
        outb(BOCHS_SHUTDOWN, (u8)*c);
}

_Noreturn void machine_poweroff(const struct acpi *acpi)
{
    static const char safe[] = "It is now safe to switch off the machine.\n";
    cli();
    console_flush();
    if (acpi) {
        ask_bochs(acpi);
        enter_s5(acpi);
        wait_a_while();
    }
    console_write(safe, sizeof(safe) - 1);
    machine_halt();
}

static void reset_by_keyboard_controller(void)
{
    for (unsigned i = 0; i < PATIENCE && inb(KEYBOARD_COMMAND) & KEYBOARD_INPUT_FULL; i++)
        pause();
    outb(KEYBOARD_COMMAND, KEYBOARD_PULSE_RESET);
}

// With an empty IDT the exception of UD2 cannot be delivered, nor the double fault that follows: shutdown.
static _Noreturn void reset_by_triple_fault(void)
{
    static const struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) empty;
    asm volatile("lidt %0\n\tud2" : : "m"(empty));
    machine_halt();
}

_Noreturn void machine_reboot(const struct acpi *acpi)
{
    cli();
    console_flush();
    if (acpi && acpi->reset.address) {
        write_byte(&acpi->reset, acpi->reset_value);
        wait_a_while();
    }
    outb(RESET_CONTROL, RESET_CONTROL_HARD);
    outb(RESET_CONTROL, RESET_CONTROL_HARD | RESET_CONTROL_RESET);
    wait_a_while();
    reset_by_keyboard_controller();
    wait_a_while();
    reset_by_triple_fault();
}
