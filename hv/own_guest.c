// See own_guest.h.
#include <arch/lib.h>
#include <arch/phys.h>

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

void own_guest_drop(struct own_guest *g)
{
    vmx_vmcs_drop(g->vmcs);
    frames_free(g->frames, g->vmcs, ORDER_4K);
    frames_free(g->frames, g->msr_bitmap, ORDER_4K);
}
