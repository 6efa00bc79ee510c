// See loader.h. What the modules are is guest_modules.h's to say.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <arch/phys.h>
#include <arch/panic.h>
#include <hv/log.h>

#include "acpi_tables.h"
#include "bios_data.h"
#include "bios_vectors.h"
#include "dsdt.h"
#include "guest_modules.h"
#include "load_linux.h"
#include "load_multiboot.h"
#include "loader.h"
#include "vm_memory.h"

#define INTEL_EBX 0x756e6547 // CPUID.0: "Genu"

static u64 module_bytes(const struct boot_module *m)
{
    return m->end - m->start;
}

static const char *acpi_write(struct vm *vm)
{
    u8 tables[4096];
    struct acpi_guest guest = {vm->apic.id, dsdt_aml_code, sizeof(dsdt_aml_code)};
    int bytes = acpi_tables_build(tables, sizeof(tables), GUEST_ACPI_GPA, &guest);
    assert_that(bytes > 0);
    return vm_ram_write(vm, GUEST_ACPI_GPA, tables, (u64)bytes)
               ? "The guest's memory is too small for its ACPI tables."
               : NULL;
}

static bool has_word(const char *line, const char *begin)
{
    for (; line; line = strchr(line, ' ')) {
        while (*line == ' ')
            line++;
        if (!strncmp(line, begin, strlen(begin)))
            return true;
    }
    return false;
}

// Linux believes CPUID 15H only of Intel's processors, and this guest has no other clock to measure the TSC
// by.
static const char *clock_missing(struct vm *vm, const char *command_line)
{
    const struct cpuid_row *vendor = cpuid_find(&vm->cpuid, 0, 0);
    if (vendor->regs.r[1] == INTEL_EBX || has_word(command_line, "tsc_early_khz="))
        return NULL;
    fmt(vm->problem, sizeof(vm->problem),
        "This processor has VT-x but its CPUID does not say GenuineIntel, so Linux will not ask it for the rate of the TSC: put tsc_early_khz=%lu on the guest's command line.",
        vm->tsc_hz / 1000);
    return vm->problem;
}

static const char *load_linux(struct vm *vm, const struct guest_modules *modules, struct guest_start *start)
{
    struct linux_plan plan;
    struct linux_initrd initrds[BOOT_MODULES];
    const char *why = clock_missing(vm, modules->command_line);
    if (why)
        return why;
    const char *deaf = linux_word_without_interrupts(modules->command_line);
    if (deaf)
        log_warn(
            "the guest's command line has %s: Linux then gets no interrupts of devices here, and its console falls silent once init runs",
            deaf);
    for (unsigned i = 0; i < modules->other_count; i++)
        initrds[i] =
            (struct linux_initrd){phys_ptr(modules->others[i]->start), module_bytes(modules->others[i])};
    struct linux_source source = {
        .kernel = phys_ptr(modules->kernel->start),
        .kernel_bytes = module_bytes(modules->kernel),
        .initrds = initrds,
        .initrd_count = modules->other_count,
        .command_line = modules->command_line,
        .rsdp_gpa = GUEST_ACPI_GPA,
    };
    if (linux_plan(&plan, &source, &vm->map, vm->problem, sizeof(vm->problem)))
        return vm->problem;
    struct guest_ram ram = vm_loader_ram(vm);
    struct linux_entry entry = linux_write(&plan, &source, &ram);
    *start = (struct guest_start){
        .paging = {CR0_PE | CR0_ET | CR0_NE | CR0_PG, entry.cr3, CR4_PAE, EFER_LME | EFER_LMA},
        .rip = entry.rip,
        .gdt_base = entry.gdt_base,
        .gdt_limit = entry.gdt_limit,
        .code_selector = LINUX_CODE_SELECTOR,
        .data_selector = LINUX_DATA_SELECTOR,
    };
    start->gprs.r[GPR_RSI] = entry.rsi;
    return acpi_write(vm);
}

static const char *load_multiboot(struct vm *vm, const struct guest_modules *guest, struct guest_start *start)
{
    struct multiboot_plan plan;
    struct multiboot_module modules[MULTIBOOT_MODULES];
    struct multiboot_source source = {phys_ptr(guest->kernel->start), module_bytes(guest->kernel),
                                      guest->command_line, guest->other_count, modules};
    for (unsigned i = 0; i < guest->other_count; i++) {
        const struct boot_module *m = guest->others[i];
        modules[i] = (struct multiboot_module){phys_ptr(m->start), module_bytes(m), m->string};
    }
    if (multiboot_plan(&plan, &source, &vm->map, vm->problem, sizeof(vm->problem)))
        return vm->problem;
    struct guest_ram ram = vm_loader_ram(vm);
    struct multiboot_entry entry = multiboot_write(&plan, &source, &vm->map, &ram);
    *start = (struct guest_start){
        .paging = {CR0_PE | CR0_ET, 0, 0, 0},
        .rip = entry.eip,
        .virtual_wire = true,
        .code_selector = 0x10, // as GRUB has them
        .data_selector = 0x18,
    };
    start->gprs.r[GPR_RAX] = entry.eax;
    start->gprs.r[GPR_RBX] = entry.ebx;
    return acpi_write(vm);
}

const char *loader_load(struct vm *vm, const struct boot_info *boot, struct guest_start *start)
{
    struct guest_modules modules;
    struct guest_ram ram = vm_loader_ram(vm);
    bios_vectors_write(&ram);
    bios_data_write(&ram);
    if (guest_modules_sort(&modules, boot, vm->problem, sizeof(vm->problem)))
        return vm->problem;
    return modules.kind == GUEST_LINUX ? load_linux(vm, &modules, start)
                                       : load_multiboot(vm, &modules, start);
}
