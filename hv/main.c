// The monitor from its first instruction in C to its last: a table of contents.
#include <arch/console.h>
#include <arch/host_ioapic.h>
#include <arch/lib.h>
#include <arch/memory.h>
#include <arch/phys.h>
#include <arch/processor.h>
#include <arch/random.h>
#include <arch/same.h>
#include <arch/symbols.h>
#include <arch/traps.h>
#include <arch/world.h>
#include <ept/ept.h>
#include <shadow/shadow.h>
#include <hv/log.h>

#include "compare.h"
#include "due.h"
#include "finish.h"
#include "handout.h"
#include "machine.h"
#include "summary.h"

#define INPUT_PATIENCE_MS 20 // a byte takes 10 ms at 1,200 baud, and 0.1 at what serial.c sets

static const struct mmu_ops *const back_ends[] = {[MMU_EPT] = &ept_ops, [MMU_SHADOW] = &shadow_ops};

static struct params params;
static struct host host;
static struct vm vm;
static struct comparison comparison;

static void start_console(void)
{
    struct boot_framebuffer *f = &host.boot.framebuffer;
    if (f->present && f->type == BOOT_FRAMEBUFFER_TEXT)
        console_screen_vga();
    if (!f->present || f->type != BOOT_FRAMEBUFFER_RGB)
        return;
    switch (console_screen_framebuffer(f)) {
    case ERR_INVALID:
        log_warn("the screen has a format that the monitor does not know; the serial console has everything");
        break;
    case ERR_ABSENT:
        log_warn(
            "the boot loader says that the screen is at 0x%lx, where this processor has no memory; the serial console has everything",
            f->hpa);
        break;
    }
}

// A copy of what the boot loader tells: its own becomes free memory.
static void read_boot_info(u64 info_hpa)
{
    console_init(COM1_PORT);
    const u32 *bytes = phys_ptr(info_hpa);
    memcpy(host.boot_bytes, bytes, lesser(*bytes, sizeof(host.boot_bytes)));
    int error = multiboot2_parse(&host.boot, host.boot_bytes, sizeof(host.boot_bytes));
    if (error) {
        console_screen_vga();
        refuse(&host, host.boot.problem);
    }
    symbols_set(&host.boot.symbols);
}

// ACPI's tables are read as far as they are mapped by now.
static void find_serial(bool pci_only)
{
    const char *word = pci_only ? "pci" : "auto";
    if (acpi_parse(&host.acpi, host.boot.rsdp, host.boot.rsdp_bytes, memory_map_end()))
        log_warn("console=%s: ACPI's tables are absent or broken, and name no serial port", word);
    struct console_port port = console_find(&host.boot, &host.acpi, pci_only);
    if (port.in_ram)
        log_warn("console=%s: there is RAM at 0x%lx, where the firmware says that a serial port is", word,
                 port.in_ram);
    if (port.how)
        log_info("console=%s: the serial port at 0x%lx%s, %s", word, port.at,
                 port.in_memory ? " in memory" : "", port.how);
    else
        log_warn("console=%s: there is no serial port that the monitor can drive", word);
}

// Output goes to COM1 until here.
static void start_serial(void)
{
    if (params.console != CONSOLE_AUTO && params.console != CONSOLE_PCI) {
        if (params.console != COM1_PORT)
            console_init(params.console);
        return;
    }
    find_serial(params.console == CONSOLE_PCI);
}

static void read_parameters(void)
{
    char message[512];
    int error = params_parse(&params, host.boot.command_line, message, sizeof(message));
    log_set_level(params.log);
    start_serial();
    if (error)
        refuse(&host, message);
    log_info("Penumbra, a monitor for comparing memory virtualisation on Intel VT-x");
    char line[PARAMS_TEXT];
    params_text(&params, line, sizeof(line));
    log_info("parameters: %s", line);
    if (params.compare && (configurations_read(&comparison.asked, &params, message, sizeof(message)) ||
                           configurations_boots(&comparison.configurations, &comparison.asked, params.how,
                                                message, sizeof(message))))
        refuse(&host, message);
}

// Where the NMI does not come, nothing of it is left: a late one would be the guest's.
static bool route_input(void)
{
    int irq = console_irq();
    if (irq < 0 || host_ioapic_route_nmi(&host.acpi, (u8)irq, host.apic_id))
        return false;
    bool comes = console_interrupt_is_nmi(world_nmi_take, host.rates.tsc_hz / 1000 * INPUT_PATIENCE_MS);
    if (!comes)
        host_ioapic_mask_all(&host.acpi);
    return comes;
}

// Input comes as an NMI where the console's interrupt does.
static void start_input(void)
{
    if (!console_has_serial()) {
        log_warn("there is no serial port: the guest gets no input, and the monitor no keys");
        return;
    }
    host.input = route_input();
    host.polled = !host.input;
    if (host.polled)
        log_warn(
            "console input is polled, since no interrupt announces it: pasted text may lose characters, and the guest exits %u times a second for it",
            DUE_POLLS_PER_SECOND);
    else
        console_interrupt(true);
    log_info("Ctrl-A h on the console shows the monitor's keys");
}

// Somebody who has a serial line reads there what the screen would show.
static void start_handout(void)
{
    if (params.qr == QR_OFF || (params.qr == QR_AUTO && console_is_heard()))
        return;
    if (!console_picture_room(0)) {
        log_warn("results are not shown at the end: there is no screen");
        return;
    }
    host.handout = handout_make(&host.frames);
    if (!host.handout)
        log_warn("results are not shown at the end: there is too little memory");
}

// Until now all that is on the consoles is the monitor's own.
static void draw_word(void)
{
    console_set_word(random_draw(params.seed));
    log_notice("a line with this word is the monitor's, one without it a guest's");
}

static void hand_out(void)
{
    handout_show(host.handout, host.rates.tsc_hz, params.on_exit == ON_EXIT_HALT ? 0 : HANDOUT_ROUNDS);
}

static void machine_json(void)
{
    machine_json_begin(&host);
    machine_json_end();
}

static void hand_out_run(void)
{
    if (!host.handout)
        return;
    console_divert(&host.handout->pages);
    console_print("%s\n", vm.end);
    summary_table(&vm);
    console_divert(&host.handout->json);
    machine_json();
    summary_json(&vm);
    console_divert(NULL);
    hand_out();
}

static void hand_out_comparison(void)
{
    if (!host.handout)
        return;
    console_divert(&host.handout->pages);
    compare_table(&comparison);
    console_divert(&host.handout->json);
    compare_json(&comparison, params.repeat, &host);
    console_divert(NULL);
    hand_out();
}

static void run_alone(void)
{
    struct effect effect = {.asked = params};
    run_choose(&effect, &host);
    const char *why = run_prepare(&vm, &host, &effect);
    if (why)
        refuse(&host, why);
    draw_word();
    machine_json();
    run_guest(&vm, &host);
    enum log_level level = vm.failed ? LOG_ERROR : LOG_NOTICE;
    log_message(level, "%s", vm.end);
    summary_table(&vm);
    trace_print(&vm.trace);
    summary_json(&vm);
    log_message(level, "%s", vm.end); // again: the table may have moved it off the screen
    hand_out_run();
    run_release(&vm, &host);
}

_Noreturn void monitor_main(u64 info_hpa, u64 image_hpa);
_Noreturn void monitor_main(u64 info_hpa, u64 image_hpa)
{
    traps_init();
    const char *why = processor_start(); // first of all; a refusal needs the console
    same_init();
    vmcs_count_in(&vm.vcpu.vmcs);
    host.back_ends = back_ends;
    read_boot_info(info_hpa);
    start_console();
    read_parameters();
    if (why)
        refuse(&host, why);
    host_start(&host, &params, image_hpa);
    start_handout();
    frames_keep(&host.frames);
    start_input();
    if (params.compare) {
        draw_word();
        compare_run(&comparison, params.repeat, &vm, &host);
        hand_out_comparison();
    } else {
        run_alone();
    }
    finish(&host, params.on_exit);
}
