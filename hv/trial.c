// See trial.h.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/panic.h>

#include "event.h"
#include "exit_names.h"
#include "own_guest.h"
#include "trial.h"
#include "vmcs_setup.h"

#define VECTOR 0x80
#define TURNS  1024 // NMIs, an INIT and other interrupts may come between

enum turn { GO_ON, ARRIVED, LOST };

// The IDT is empty: the delivery of an interrupt ends in #GP, which exits.
static enum turn judge_exception(const struct apic *apic)
{
    u64 info = vmcs_read(IDT_VECTORING_INFO);
    if (!(info & INFO_VALID) || INFO_TYPE_OF(info) != TYPE_INTERRUPT) {
        vmx_nmi_unblock();
        return GO_ON;
    }
    apic_end_service(apic);
    return (info & INFO_VECTOR) == VECTOR ? ARRIVED : GO_ON;
}

static enum turn judge_exit(const struct apic *apic)
{
    switch (own_guest_reason()) {
    case EXIT_CPUID:
        vmcs_start_own(world_open, 0);
        return GO_ON;
    case EXIT_EXCEPTION_OR_NMI:
        return judge_exception(apic);
    case EXIT_VMCALL:
        return LOST;
    default:
        return GO_ON;
    }
}

static enum turn run_once(struct world *world, const struct apic *apic)
{
    world_nmi_take();
    enum world_result result = world_switch(world);
    assert_that(result != WORLD_FAILED);
    return result == WORLD_NMI ? GO_ON : judge_exit(apic);
}

const char *trial_interrupts(const struct apic *apic, const struct vmx_caps *caps, struct frames *frames)
{
    struct own_guest g;
    if (own_guest_make(&g, caps, frames, 0))
        return own_guest_no_memory;
    apic_self_registers(apic, VECTOR, &g.world.regs);
    apic_accept(apic, true);
    vmcs_start_own(world_trial, 0);
    enum turn turn = GO_ON;
    for (unsigned i = 0; i < TURNS && turn == GO_ON; i++)
        turn = run_once(&g.world, apic);
    apic_accept(apic, false);
    own_guest_drop(&g);
    return turn == ARRIVED
               ? NULL
               : "An interrupt that came while a guest took none did not arrive later, so that guests would lose interrupts here: use another machine; under KVM load kvm_intel with enable_apicv=1, or use a newer kernel on the host.";
}

#define EXITS      64  // of a batch, whose mean counts
#define BATCHES    16  // of which the quickest counts: nothing has interrupted it
#define TAKES_TIME 200 // cycles: the switch's own instructions are some 50, an exit of a processor takes more

static u64 batch(struct world *world)
{
    u64 start = rdtsc();
    for (unsigned i = 0; i < EXITS;) {
        enum world_result result = world_switch(world);
        assert_that(result != WORLD_FAILED);
        if (unlikely(result == WORLD_NMI))
            world_nmi_take();
        else
            i++;
    }
    return (rdtsc() - start) / EXITS;
}

int trial_exit_cost(const struct vmx_caps *caps, struct frames *frames, u32 *cycles)
{
    struct own_guest g;
    u64 least = ~0ull;
    if (own_guest_make(&g, caps, frames, 0))
        return ERR_NOMEM;
    vmcs_start_own(world_idle, 0);
    for (unsigned i = 0; i < BATCHES; i++) {
        u64 mean = batch(&g.world);
        least = mean < least ? mean : least;
    }
    assert_that(vmcs_read(EXIT_REASON) < EXIT_REASONS); // it was entered
    vmx_nmi_unblock();
    own_guest_drop(&g);
    *cycles = least < TAKES_TIME ? 0 : (u32)least;
    return 0;
}
