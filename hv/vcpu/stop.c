// See stop.h.
#include <arch/lib.h>

#include "stop.h"
#include "../vm.h"

static enum verdict say_end(struct vm *vm, const char *format, va_list args)
{
    fmt_mark_cut(vm->end, sizeof(vm->end), fmtv(vm->end, sizeof(vm->end), format, args));
    return VERDICT_STOP;
}

enum verdict vm_stop(struct vcpu *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum verdict verdict = say_end(v->vm, format, args);
    va_end(args);
    return verdict;
}

enum verdict vm_fail(struct vcpu *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    v->vm->failed = true;
    enum verdict verdict = say_end(v->vm, format, args);
    va_end(args);
    return verdict;
}

enum verdict vm_stop_unsupported(struct vcpu *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    v->vm->failed = v->vm->says_where = true;
    enum verdict verdict = say_end(v->vm, format, args);
    va_end(args);
    return verdict;
}
