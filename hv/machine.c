// See machine.h.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/timer.h>
#include <arch/traps.h>

#include "machine.h"
#include "version.h"

#define LEAF_HYPERVISOR        0x40000000u
#define LEAF_BRAND             0x80000002u
#define CPUID_1_ECX_HYPERVISOR BIT(31)

const char machine_monitor_version[] = MONITOR_VERSION;

static void read_brand(char brand[49])
{
    char text[48] = "";
    for (u32 i = 0; cpuid(0x80000000, 0).eax >= LEAF_BRAND + 2 && i < 3; i++) {
        struct cpuid leaf = cpuid(LEAF_BRAND + i, 0);
        memcpy(text + 16 * i, &leaf, sizeof(leaf));
    }
    size_t spaces = 0;
    while (spaces < sizeof(text) - 1 && text[spaces] == ' ') // some processors' begins with them
        spaces++;
    memcpy(brand, text + spaces, sizeof(text) - spaces);
    brand[sizeof(text) - spaces] = 0;
}

// SDM vol. 3, 10.11.7.1: CPUID.1 puts it there.
static u32 read_microcode(void)
{
    u64 value;
    if (!trap_try_wrmsr(IA32_BIOS_SIGN_ID, 0))
        return 0;
    cpuid(1, 0);
    return trap_try_rdmsr(IA32_BIOS_SIGN_ID, &value) ? (u32)(value >> 32) : 0;
}

static void read_hypervisor(char signature[13])
{
    struct cpuid leaf = cpuid(LEAF_HYPERVISOR, 0);
    memset(signature, 0, 13);
    if (cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR)
        memcpy(signature, &leaf.ebx, 12);
}

void machine_read(struct machine *m)
{
    read_brand(m->processor);
    m->signature = cpuid(1, 0).eax;
    m->microcode = read_microcode();
    read_hypervisor(m->hypervisor);
    m->counts_instructions = timer_counts_instructions();
}
