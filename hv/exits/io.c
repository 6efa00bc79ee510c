// IN, OUT, INS and OUTS: all ports exit.
#include <arch/cpu.h>

#include "debug.h"
#include "devices.h"
#include "exit.h"
#include "guest_access.h"
#include "event.h"
#include "../vm.h"

// Exit qualification of I/O instructions (SDM vol. 3, table 28-5).
#define IO_BYTES(q) ((unsigned)((q)&7) + 1)
#define IO_IN       BIT(3)
#define IO_STRING   BIT(4)
#define IO_REP      BIT(5)
#define IO_PORT(q)  ((u16)((q) >> 16))
// Exit instruction information of INS and OUTS (table 28-8).
#define INFO_ADDRESS_SIZE(i) ((i) >> 7 & 7)
#define INFO_SEGMENT(i)      ((i) >> 15 & 7)

#define RFLAGS_DF BIT(10)
#define RUN       1024 // iterations of a repeated instruction in one exit, so that none takes the machine for long

static enum verdict io_plain(struct vcpu *v, u64 qualification)
{
    unsigned bytes = IO_BYTES(qualification);
    u64 *rax = vcpu_reg(v, GPR_RAX);
    u64 mask = bytes == 4 ? 0xffffffff : BIT(8 * bytes) - 1;
    if (!(qualification & IO_IN))
        return devices_port_write(v, IO_PORT(qualification), bytes, (u32)(*rax & mask));
    u64 value = devices_port_read(v, IO_PORT(qualification), bytes);
    *rax = bytes == 4 ? value : (*rax & ~mask) | (value & mask);
    return VERDICT_SKIP;
}

struct io_string {
    struct guest_access access;
    u8 segment;
    u64 address_mask; // of RSI, RDI and RCX
    unsigned index;   // GPR_RSI or GPR_RDI
    u64 step;
    unsigned bytes;
    u16 port;
    bool in;
};

static void register_add(struct vcpu *v, unsigned gpr, u64 mask, u64 amount)
{
    u64 *reg = vcpu_reg(v, gpr);
    u64 sum = (*reg + amount) & mask;
    *reg = mask == 0xffff ? (*reg & ~mask) | sum : sum; // a 32-bit result clears the upper half
}

static int io_string_one(struct vcpu *v, struct io_string *s, enum verdict *verdict)
{
    struct insn_address at = {*vcpu_reg(v, s->index) & s->address_mask, s->segment};
    u32 value = 0;
    int error;
    if (s->in) {
        error = guest_may_write(&s->access, at, s->bytes); // before the device is asked
        if (error)
            return error;
        value = devices_port_read(v, s->port, s->bytes);
        error = guest_write(&s->access, at, &value, s->bytes);
    } else {
        error = guest_read(&s->access, at, &value, s->bytes, false);
        if (!error)
            *verdict = devices_port_write(v, s->port, s->bytes, value);
    }
    if (error)
        return error;
    register_add(v, s->index, s->address_mask, s->step);
    s->access.hits |= debug_match_port(s->access.dr7, s->port, s->bytes);
    return 0;
}

static void io_string_init(struct vcpu *v, u64 qualification, struct io_string *s)
{
    u64 info = vmcs_read(EXIT_INSTRUCTION_INFO);
    guest_access_init(&s->access, v);
    s->bytes = IO_BYTES(qualification);
    s->port = IO_PORT(qualification);
    s->in = qualification & IO_IN;
    s->index = s->in ? GPR_RDI : GPR_RSI;
    s->segment = s->in ? INSN_ES : INFO_SEGMENT(info);
    unsigned address_bits = 16u << INFO_ADDRESS_SIZE(info);
    s->address_mask = address_bits == 64 ? ~0ull : BIT(address_bits) - 1;
    s->step = s->access.walk.rflags & RFLAGS_DF ? -(u64)s->bytes : s->bytes;
}

static bool io_string_done(struct vcpu *v, const struct io_string *s)
{
    return !(*vcpu_reg(v, GPR_RCX) & s->address_mask);
}

// After so many iterations, or one that traps, the rest is done after the next entry, so that events come
// through.
static enum verdict io_string_repeat(struct vcpu *v, struct io_string *s)
{
    u64 rflags = s->access.walk.rflags;
    enum verdict verdict = VERDICT_SKIP;
    unsigned runs = rflags & RFLAGS_TF ? 1 : RUN;
    for (unsigned run = 0; run < runs && !s->access.hits && !io_string_done(v, s); run++) {
        if (io_string_one(v, s, &verdict))
            return guest_fault(&s->access);
        if (verdict == VERDICT_STOP)
            return verdict;
        register_add(v, GPR_RCX, s->address_mask, -1ull);
    }
    if (io_string_done(v, s))
        return VERDICT_SKIP;
    event_iteration_done(v, rflags, rflags);
    return VERDICT_RESUME;
}

static enum verdict io_string(struct vcpu *v, u64 qualification)
{
    struct io_string s;
    enum verdict verdict = VERDICT_SKIP;
    io_string_init(v, qualification, &s);
    if (qualification & IO_REP)
        verdict = io_string_repeat(v, &s);
    else if (io_string_one(v, &s, &verdict))
        return guest_fault(&s.access);
    debug_hit(v, s.access.hits);
    return verdict;
}

enum verdict exit_io(struct vcpu *v)
{
    u64 qualification = vmcs_read(EXIT_QUALIFICATION);
    if (qualification & IO_STRING)
        return io_string(v, qualification);
    debug_hit(v, debug_match_port(debug_enabled(v), IO_PORT(qualification), IO_BYTES(qualification)));
    return io_plain(v, qualification);
}
