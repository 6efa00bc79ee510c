// See debug.h.
#include <arch/io.h>
#include <arch/vmx.h>

#include "debug.h"
#include "event.h"

// The exit qualification of a #DB and the pending debug exceptions have DR6's bits, 1 meaning that it
// happened. In DR6 the last two are 0 when it happened.
#define BREAKPOINTS     4
#define DR6_BREAKPOINTS 0xfull
#define DR6_BD          BIT(13) // a debug register was accessed while DR7.GD was set
#define DR6_BS          BIT(14)
#define DR6_BLD         BIT(11) // bus lock
#define DR6_RTM         BIT(16)

#define DR7_ENABLED 0xffull
#define DR7_GD      BIT(13)

#define DEBUGCTL_LBR BIT(0)
#define DEBUGCTL_BTF BIT(1)

#define PENDING_ENABLED BIT(12) // a breakpoint that was hit is enabled in DR7

// B3 to B0 are those of this exception; what else is set stays until software clears it (SDM vol. 3, 18.2.3).
static u64 dr6_after(u64 dr6, u64 cause)
{
    u64 set = (dr6 & ~DR6_BREAKPOINTS) | DR6_RTM | (cause & (DR6_BREAKPOINTS | DR6_BD | DR6_BS));
    return set & ~(cause & (DR6_RTM | DR6_BLD));
}

static void clear_bits(enum vmcs_field field, u64 bits)
{
    u64 value = vmcs_read(field);
    if (value & bits)
        vmcs_write(field, value & ~bits);
}

// An interrupt or NMI whose delivery the exit interrupted is queued again and would be lost. An exception, or
// INT n, comes again when the instruction at RIP runs again after the #DB.
static bool interrupts_an_interrupt(const struct vcpu *v)
{
    u64 type = INFO_TYPE_OF(vmcs_read(IDT_VECTORING_INFO));
    return v->delivering && (type == TYPE_INTERRUPT || type == TYPE_NMI);
}

enum verdict debug_exception(struct vcpu *v, u64 info)
{
    if (INFO_TYPE_OF(info) == TYPE_INT1) // which changes no debug register
        return event_debug(v, vmcs_read(EXIT_INSTRUCTION_LENGTH));
    if (interrupts_an_interrupt(v))
        return VERDICT_RESUME;
    write_dr6(dr6_after(read_dr6(), vmcs_read(EXIT_QUALIFICATION)));
    clear_bits(GUEST_DR7, DR7_GD);
    clear_bits(GUEST_IA32_DEBUGCTL, DEBUGCTL_LBR | DEBUGCTL_BTF);
    return event_debug(v, 0);
}

static void follow_moves(struct vcpu *v, bool debugged)
{
    v->debugged = debugged;
    v->base_proc = debugged ? v->base_proc & ~(u32)PROC_MOV_DR_EXITING : v->base_proc | PROC_MOV_DR_EXITING;
    v->refresh_controls = true;
}

// The processor itself executes it, from now on without an exit.
enum verdict exit_mov_dr(struct vcpu *v)
{
    follow_moves(v, true);
    return VERDICT_RESUME;
}

u64 debug_dr7(struct vcpu *v)
{
    u64 dr7 = vmcs_read(GUEST_DR7);
    if (dr7 & DR7_ENABLED)
        return dr7;
    follow_moves(v, false);
    return 0;
}

bool debug_watches(struct vcpu *v)
{
    u64 dr7 = debug_dr7(v);
    bool watches = false;
    for (unsigned n = 0; n < BREAKPOINTS; n++)
        watches |= dr7 >> 2 * n & 3 && WATCHES_WRITE >> (dr7 >> (16 + 4 * n) & 3) & 1;
    return watches;
}

// The bytes that a breakpoint watches begin at a multiple of their number.
static bool overlaps(u64 dr7, unsigned n, u64 first, u64 last)
{
    static const u8 more[] = {0, 1, 7, 3}; // bytes beside the first, by DR7.LENn
    u64 length = more[dr7 >> (18 + 4 * n) & 3], begin = read_breakpoint(n) & ~length;
    return first <= begin + length && last >= begin;
}

u64 debug_match(u64 dr7, u64 gva, unsigned bytes, enum watches kinds)
{
    u64 hits = 0;
    bool enabled = false;
    for (unsigned n = 0; dr7 && n < BREAKPOINTS; n++) {
        bool watched = (unsigned)kinds >> (dr7 >> (16 + 4 * n) & 3) & 1;
        if (!watched || !overlaps(dr7, n, gva, gva + bytes - 1))
            continue;
        hits |= BIT(n);
        enabled |= dr7 >> 2 * n & 3;
    }
    return enabled ? hits : 0;
}

u64 debug_match_port(u64 dr7, u16 port, unsigned bytes)
{
    return dr7 && vmcs_read(GUEST_CR4) & CR4_DE ? debug_match(dr7, port, bytes, WATCHES_IO) : 0;
}

void debug_hit(struct vcpu *v, u64 hits)
{
    (void)v;
    if (!hits)
        return;
    u64 pending = vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS);
    vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS, pending | hits | PENDING_ENABLED);
}
