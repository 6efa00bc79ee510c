// What VM entry checks of an event that it is to deliver, and of the guest state that the event must fit. SDM
// vol. 3, 27.2.1.3 (event injection), 27.3.1.4 (RFLAGS), 27.3.1.5 (non-register state). See fake_cpu.h.
#include <arch/cpu.h>

#include "fake_cpu.h"
#include "support.h"

enum {
    EXTERNAL,
    RESERVED,
    NMI,
    HARDWARE_EXCEPTION,
    SOFTWARE_INTERRUPT,
    PRIVILEGED_EXCEPTION,
    SOFTWARE_EXCEPTION,
    OTHER
};
enum { ACTIVE, HLT };

#define BLOCKED_BY_STI    BIT(0)
#define BLOCKED_BY_MOV_SS BIT(1)
#define BLOCKED_BY_NMI    BIT(3)

struct entry {
    u64 info, error_code, length, cr0, rflags, blocking, activity, pending, debugctl;
    u64 type, vector;
    bool injects;
};

static bool bad_type(const struct entry *e)
{
    return e->type == RESERVED || e->type == OTHER || e->info >> 12 & 0x7ffff;
}

static bool bad_vector(const struct entry *e)
{
    return (e->type == NMI && e->vector != VECTOR_NMI) || (e->type == HARDWARE_EXCEPTION && e->vector > 31);
}

static bool bad_error_code(const struct entry *e)
{
    bool pushes =
        e->vector == 8 || (e->vector >= 10 && e->vector <= 14) || e->vector == 17 || e->vector == 21;
    bool wanted = e->type == HARDWARE_EXCEPTION && pushes && e->cr0 & CR0_PE;
    bool has = e->info >> 11 & 1;
    return has != wanted || (has && e->error_code >> 16);
}

static bool bad_length(const struct entry *e)
{
    return e->type >= SOFTWARE_INTERRUPT && (e->length < 1 || e->length > 15);
}

static bool bad_interrupt(const struct entry *e)
{
    return e->type == EXTERNAL &&
           (!(e->rflags & RFLAGS_IF) || e->blocking & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));
}

static bool bad_nmi(const struct entry *e)
{
    return e->type == NMI && e->blocking & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS | BLOCKED_BY_NMI);
}

static bool bad_while_halted(const struct entry *e)
{
    bool exception = e->type == HARDWARE_EXCEPTION && (e->vector == VECTOR_DB || e->vector == VECTOR_MC);
    return e->activity == HLT && e->type != EXTERNAL && e->type != NMI && !exception;
}

static bool bad_rflags(const struct entry *e)
{
    return e->rflags >> 22 || e->rflags & (BIT(15) | BIT(5) | BIT(3)) || !(e->rflags & RFLAGS_FIXED);
}

static bool bad_blocking(const struct entry *e)
{
    return e->blocking >> 5 || (e->blocking & 3) == 3 ||
           (e->blocking & BLOCKED_BY_STI && !(e->rflags & RFLAGS_IF));
}

// A single step that STI, MOV SS or HLT hold back is pending.
static bool bad_pending(const struct entry *e)
{
    bool steps = e->rflags & RFLAGS_TF && !(e->debugctl & BIT(1));
    bool held = e->blocking & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS) || e->activity == HLT;
    return e->pending & ~(0xfull | BIT(12) | BIT(14)) || (held && (e->pending >> 14 & 1) != steps);
}

static const struct {
    bool (*fails)(const struct entry *);
    bool of_injection;
    const char *what;
} checks[] = {
    {bad_type, true, "reserved bits or type"},
    {bad_vector, true, "vector"},
    {bad_error_code, true, "error code"},
    {bad_length, true, "instruction length"},
    {bad_interrupt, true, "an interrupt while they are blocked"},
    {bad_nmi, true, "an NMI while they are blocked"},
    {bad_while_halted, true, "an exception in HLT"},
    {bad_rflags, false, "RFLAGS"},
    {bad_blocking, false, "blocking"},
    {bad_pending, false, "pending debug exceptions"},
};

// With guest state as `get` has it.
static struct entry entry_read(u64 (*get)(enum vmcs_field))
{
    u64 info = vmcs_read(ENTRY_INTERRUPTION_INFO);
    return (struct entry){
        .info = info,
        .error_code = vmcs_read(ENTRY_EXCEPTION_ERROR_CODE),
        .length = vmcs_read(ENTRY_INSTRUCTION_LENGTH),
        .cr0 = get(GUEST_CR0),
        .rflags = get(GUEST_RFLAGS),
        .blocking = get(GUEST_INTERRUPTIBILITY),
        .activity = get(GUEST_ACTIVITY_STATE),
        .pending = get(GUEST_PENDING_DEBUG_EXCEPTIONS),
        .debugctl = get(GUEST_IA32_DEBUGCTL),
        .type = info >> 8 & 7,
        .vector = info & 0xff,
        .injects = info >> 31,
    };
}

void fake_entry_check(void)
{
    struct entry e = entry_read(vmcs_read), exited = entry_read(fake_vmcs_left);
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        bool applies = checks[i].of_injection ? e.injects : !checks[i].fails(&exited);
        if (applies && checks[i].fails(&e))
            fail_msg("VM entry fails: %s: event %lx, RFLAGS %lx, blocking %lx, pending %lx", checks[i].what,
                     e.info, e.rflags, e.blocking, e.pending);
    }
}
