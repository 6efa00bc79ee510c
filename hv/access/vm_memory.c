// See vm_memory.h.
#include <arch/lib.h>
#include <arch/phys.h>
#include <arch/memory.h>
#include <arch/panic.h>
#include <hv/log.h>

#include "vm_memory.h"

static u8 host_memtype(const struct p2m *p, mfn_t first, u64 count)
{
    return mtrr_memtype(&container_of(p, const struct vm, p2m)->mtrrs, first, count);
}

// The largest block that the alignment of gpa, what is left, the allocator and p2m.max allow; with
// mmu.switch= p2m.max may become larger.
static int block_alloc(struct vm *vm, u64 gpa, u64 left, unsigned *order, mfn_t *block)
{
    static const struct {
        unsigned level, order;
    } sizes[] = {{P2M_LEVEL_1G, ORDER_1G}, {P2M_LEVEL_2M, ORDER_2M}, {P2M_LEVEL_4K, ORDER_4K}};
    unsigned largest = vm->params->mmu_switch ? P2M_LEVEL_1G : vm->params->p2m_max;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        u64 bytes = PAGE_SIZE << sizes[i].order;
        *order = sizes[i].order;
        if (sizes[i].level <= largest && gpa % bytes == 0 && left >= bytes &&
            !frames_alloc(vm->frames, sizes[i].order, FRAME_GUEST, block))
            return 0;
    }
    return ERR_NOMEM;
}

// Memory that is far from this processor comes last.
static int block_alloc_anywhere(struct vm *vm, u64 gpa, u64 left, unsigned *order, mfn_t *block)
{
    int error = block_alloc(vm, gpa, left, order, block);
    if (!error || !frames_unhold(vm->frames, 0, UINT64_MAX))
        return error;
    vm->far_memory = true;
    log_warn(
        "the guest does not fit in the memory that is near this processor: the last %lu MiB of its memory are elsewhere",
        left / MIB);
    return block_alloc(vm, gpa, left, order, block);
}

static int ram_make(struct vm *vm, u64 start, u64 end)
{
    for (u64 gpa = start; gpa < end;) {
        unsigned order;
        mfn_t block;
        int error = block_alloc_anywhere(vm, gpa, end - gpa, &order, &block);
        if (error)
            return error;
        memset(mfn_ptr(block), 0, PAGE_SIZE << order);
        error = p2m_map(&vm->p2m, gpa_gfn(gpa), block, 1ull << order, P2M_RAM);
        if (error)
            return error;
        gpa += PAGE_SIZE << order;
    }
    return 0;
}

static void p2m_changing(void *context, gfn_t first, u64 count)
{
    struct vcpu *v = context;
    for (struct mmu *mmu = v->vm->mmus; mmu; mmu = mmu->next)
        mmu->p2m_changed |= !mmu->processors;
    if (v->mmu)
        mmu_p2m_changing(v, first, count);
}

// Every back end, in use or not.
static int p2m_adding(void *context, mfn_t first, u64 count)
{
    const struct vcpu *v = context;
    int error = 0;
    for (struct mmu *mmu = v->vm->mmus; mmu && !error; mmu = mmu->next)
        error = mmu_p2m_adding(mmu, first, count);
    return error;
}

int vm_p2m_make(struct vm *vm)
{
    memory_mtrrs(&vm->mtrrs);
    int error = p2m_init(&vm->p2m, vm->frames, vm->params->p2m_max, host_memtype);
    vm->p2m.adding = p2m_adding;
    vm->p2m.context = &vm->vcpu;
    return error;
}

const char *vm_memory_make(struct vm *vm)
{
    static const char no_memory[] =
        "The machine has too little memory for mem=: give the guest less, or the machine more.";
    guest_map_make(&vm->map, vm->params->mem);
    u64 frames = vm->frames->count[FRAME_FREE] + vm->frames->count[FRAME_HELD];
    if (vm->params->mem / PAGE_SIZE > frames || ram_make(vm, 0, vm->map.low_end) ||
        ram_make(vm, GUEST_HIGH_RAM, vm->map.high_end) ||
        p2m_clear(&vm->p2m, gpa_gfn(GUEST_IOAPIC_GPA), 1, P2M_DEVICE) || apic_map(&vm->vcpu))
        return no_memory;
    vm->p2m.changing = p2m_changing;
    return NULL;
}

typedef void piece_fn(void *machine, u8 *buffer, u64 bytes);

// Applies `piece` to each part of [gpa, gpa + bytes) that is contiguous in machine memory.
static int for_pieces(const struct vm *vm, u64 gpa, u8 *buffer, u64 bytes, bool write, piece_fn *piece)
{
    while (bytes) {
        struct p2m_leaf leaf = p2m_lookup(&vm->p2m, gpa_gfn(gpa));
        u64 offset = gpa & (PAGE_SIZE - 1), part = PAGE_SIZE - offset;
        if (part > bytes)
            part = bytes;
        if (leaf.type != P2M_RAM && (write || leaf.type != P2M_RAM_RO))
            return ERR_ABSENT;
        piece(phys_ptr(mfn_hpa(leaf.mfn) + offset), buffer, part);
        gpa += part;
        bytes -= part;
        if (buffer)
            buffer += part;
    }
    return 0;
}

static void piece_read(void *machine, u8 *buffer, u64 bytes)
{
    memcpy(buffer, machine, bytes);
}

static void piece_write(void *machine, u8 *buffer, u64 bytes)
{
    memcpy(machine, buffer, bytes);
}

static void piece_clear(void *machine, u8 *buffer, u64 bytes)
{
    (void)buffer;
    memset(machine, 0, bytes);
}

int vm_ram_read(const struct vm *vm, u64 gpa, void *to, u64 bytes)
{
    return for_pieces(vm, gpa, to, bytes, false, piece_read);
}

int vm_ram_write(struct vm *vm, u64 gpa, const void *from, u64 bytes)
{
    return for_pieces(vm, gpa, (u8 *)(uintptr_t)from, bytes, true, piece_write);
}

static void loader_copy(void *vm, u64 gpa, const void *from, u64 bytes)
{
    assert_that(vm_ram_write(vm, gpa, from, bytes) == 0);
}

static void loader_clear(void *vm, u64 gpa, u64 bytes)
{
    assert_that(for_pieces(vm, gpa, NULL, bytes, true, piece_clear) == 0);
}

struct guest_ram vm_loader_ram(struct vm *vm)
{
    return (struct guest_ram){loader_copy, loader_clear, vm};
}
