// What a back end is made with, and its objects: see mmu.h.
#include <arch/lib.h>
#include <arch/phys.h>
#include <hv/log.h>

#include "../vm.h"

static void *take(struct frames *frames, size_t bytes)
{
    mfn_t block;
    if (frames_alloc(frames, frames_order(bytes), FRAME_MONITOR, &block))
        return NULL;
    return memset(mfn_ptr(block), 0, bytes);
}

static const char *const page_words[] = {[P2M_LEVEL_4K] = "4k", [P2M_LEVEL_2M] = "2m", [P2M_LEVEL_1G] = "1g"};

void mmu_choose(const struct mmu_ops *ops, struct mmu_options *options)
{
    const struct mmu_options asked = *options;
    ops->choose(options);
    if (options->p2m_max != asked.p2m_max)
        log_info("p2m.max=%s is p2m.max=%s on this processor: its EPT has no larger pages",
                 page_words[asked.p2m_max], page_words[options->p2m_max]);
    if (options->in_place != asked.in_place)
        log_info(
            "shadow.cr3=inplace is shadow.cr3=exit on this processor: it has no CR3-target values, so each load of CR3 exits");
    if (options->directpf != asked.directpf && options->physical_bits <= MMU_MARK_BIT)
        log_info(
            "shadow.directpf=on is shadow.directpf=off on this processor: CPUID says that bit 51 of a page-table entry is reserved, but it does not fault: a hypervisor below shows fewer address bits than its processor has");
    else if (options->directpf != asked.directpf)
        log_info(
            "shadow.directpf=on is shadow.directpf=off on this processor: its physical addresses have 52 bits, so no bit of a page-table entry is reserved");
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
