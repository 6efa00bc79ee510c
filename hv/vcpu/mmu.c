// What a back end is made with, and its objects: see mmu.h.
#include <arch/lib.h>
#include <arch/phys.h>

#include "../vm.h"

static void *take(struct frames *frames, size_t bytes)
{
    mfn_t block;
    if (frames_alloc(frames, frames_order(bytes), FRAME_MONITOR, &block))
        return NULL;
    return memset(mfn_ptr(block), 0, bytes);
}

struct mmu *mmu_init(struct vm *vm, const struct mmu_ops *ops, const struct mmu_options *options)
{
    struct mmu *mmu = take(vm->frames, ops->bytes);
    if (!mmu)
        return NULL;
    *mmu = (struct mmu){.ops = ops, .p2m = &vm->p2m, .next = vm->mmus};
    if (ops->init(mmu, options))
        return NULL;
    return vm->mmus = mmu;
}

static void view_free(struct vcpu *v)
{
    const struct mmu_view *view = v->mmu;
    v->mmu = NULL;
    frames_free(view->mmu->p2m->frames, hpa_mfn(ptr_hpa(view)), frames_order(view->ops->view_bytes));
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
    mmu->p2m_changed = false;
    if (error)
        view_free(v);
    else
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
    v->cr3_unseen = false; // the next one has no root that could have been switched unseen
    view_free(v);
}
