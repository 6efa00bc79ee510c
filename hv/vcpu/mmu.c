// The objects of a back end: see mmu.h.
#include <arch/lib.h>
#include <arch/phys.h>

#include "../vm.h"

static unsigned order_of(size_t bytes)
{
    unsigned order = 0;
    while (PAGE_SIZE << order < bytes)
        order++;
    return order;
}

static void *take(struct frames *frames, size_t bytes)
{
    mfn_t block;
    if (frames_alloc(frames, order_of(bytes), FRAME_MONITOR, &block))
        return NULL;
    return memset(mfn_ptr(block), 0, bytes);
}

struct mmu *mmu_init(struct vm *vm, const struct mmu_ops *ops, const struct mmu_options *options)
{
    struct mmu *mmu = take(vm->frames, ops->bytes);
    if (!mmu)
        return NULL;
    *mmu = (struct mmu){.ops = ops, .p2m = &vm->p2m};
    return ops->init(mmu, options) ? NULL : mmu;
}

int mmu_enter(struct vcpu *v, struct mmu *mmu)
{
    struct mmu_view *view = take(mmu->p2m->frames, mmu->ops->view_bytes);
    if (!view)
        return ERR_NOMEM;
    *view = (struct mmu_view){.ops = mmu->ops, .mmu = mmu};
    v->mmu = view;
    v->vm->mmu = mmu;
    int error = mmu->ops->enter(v);
    mmu->processors++;
    return error;
}

void mmu_leave(struct vcpu *v)
{
    struct mmu_view *view = v->mmu;
    if (!view)
        return;
    view->mmu->processors--;
    view->ops->leave(v);
    v->mmu = NULL;
    frames_free(view->mmu->p2m->frames, hpa_mfn(ptr_hpa(view)), order_of(view->ops->view_bytes));
}
