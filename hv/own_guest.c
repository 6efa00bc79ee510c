// See own_guest.h.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <arch/phys.h>
#include <arch/traps.h>

#include "event.h"
#include "exit_names.h"
#include "own_guest.h"
#include "vmcs_setup.h"

const char own_guest_no_memory[] = "No memory is left for the monitor: give the guest less with mem=.";

int own_guest_make(struct own_guest *g, const struct vmx_caps *caps, struct frames *frames, u32 pin)
{
    *g = (struct own_guest){.frames = frames};
    if (frames_alloc(frames, ORDER_4K, FRAME_MONITOR, &g->msr_bitmap))
        return ERR_NOMEM;
    if (vmx_vmcs_new(caps, frames, &g->vmcs)) {
        frames_free(frames, g->msr_bitmap, ORDER_4K);
        return ERR_NOMEM;
    }
    memset(mfn_ptr(g->msr_bitmap), 0, PAGE_SIZE);
    vmcs_setup_own(caps, pin, mfn_hpa(g->msr_bitmap));
    return 0;
}

#define REASON_BASIC 0xffff

u64 own_guest_reason(void)
{
    u64 reason = vmcs_read(EXIT_REASON);
    bool in_it =
        reason == EXIT_EXCEPTION_OR_NMI && (vmcs_read(EXIT_INTERRUPTION_INFO) & INFO_VECTOR) == VECTOR_MC;
    if (in_it || (reason & REASON_BASIC) == EXIT_ENTRY_FAILURE_MACHINE_CHECK)
        raise_machine_check();
    return reason;
}

void own_guest_drop(struct own_guest *g)
{
    vmx_vmcs_drop(g->vmcs);
    frames_free(g->frames, g->vmcs, ORDER_4K);
    frames_free(g->frames, g->msr_bitmap, ORDER_4K);
}
