// A virtual machine, under EPT unless said otherwise, on the processor of fake_cpu.h, so that the exit
// handlers run on the host as they are. Programs that use it name MACHINE on their link line.
#pragma once

#include "fake_cpu.h"
#include "hv/access/vm_memory.h"
#include "hv/exits/exit.h"
#include "hv/vcpu/exit_names.h"
#include "support.h"

#define MACHINE_RAM (16 * MIB)

enum {
    MACHINE_UNRESTRICTED = 1, // the processor has "unrestricted guest"
    MACHINE_X2APIC = 2,       // the firmware handed over in x2APIC mode, and it stays so
};

// A processor with every feature of cpuid.def, a guest of MACHINE_RAM bytes, all its devices reset. The
// guest's VMCS is all zeros: machine_start.
struct vcpu *machine_make(unsigned flags);
// The same with another back end.
struct vcpu *machine_make_for(const struct mmu_ops *ops, const struct mmu_options *options, unsigned flags);
// From now on the machine's back end has these operations: its own, some of them replaced by the test's.
void machine_set_ops(struct vcpu *v, const struct mmu_ops *ops);
// Where the processor's walk for gva ends under shadow paging, from the VMCS's CR3 down. False: nowhere.
bool machine_translates(const struct vcpu *v, u64 gva, u64 *hpa);
// Fails the test where the guest, once started, could not be entered again.
void machine_gone(void);

// 64-bit code at CPL 0 with 4-level paging of its own tables: identity, 2M pages over 4 GiB, the tables from
// gpa 1M on.
void machine_start_64(struct vcpu *v);
// 32-bit code with paging off, as a Multiboot kernel starts.
void machine_start_32(struct vcpu *v);

// A guest can neither read nor write these MSRs, by bitmap and by exit.
void machine_hides(struct vcpu *v, const u32 *msrs, size_t count);

// For cmocka: each test has a machine of its own, on the processor with "unrestricted guest" and in 64-bit
// code, whose vCPU the file finds in its variable `v`. `setup` is machine_setup, or one of the file's own
// that calls it first.
#define MACHINE_TEST(setup, test) cmocka_unit_test_prestate_setup_teardown(test, setup, machine_teardown, &v)
int machine_setup(void **state);
int machine_teardown(void **state);

// What machine_make has chosen, until the next one: for tests that want it otherwise.
extern struct params machine_params;
extern struct vmx_caps machine_caps;

// The segment registers' rights as in those two modes.
#define RIGHTS_CODE_64 0xa09bull
#define RIGHTS_CODE_32 0xc09bull
#define RIGHTS_CODE_16 0x009bull
#define RIGHTS_DATA    0xc093ull
#define RIGHTS_STACK   RIGHTS_DATA

// What the monitor would have said on the consoles, and the guest on its UART.
extern char machine_log[1024];
extern struct frequency machine_frequency; // what the host counts of it
extern char machine_console[65536];        // tables and JSON
extern size_t machine_console_length;
extern char machine_uart[4096];
extern unsigned machine_uart_count;
extern bool machine_uart_busy; // what was sent has not gone
