// See msr_switch.h.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/phys.h>

#include "msr_switch.h"

static const struct row {
    u32 index;
    u32 entry_control, exit_controls; // all of them, or the MSR is listed
    enum vmcs_field guest, host;
} rows[SWITCHED_MSRS] = {
    [SWITCHED_EFER] = {IA32_EFER, ENTRY_LOAD_EFER, EXIT_SAVE_EFER | EXIT_LOAD_EFER, GUEST_IA32_EFER,
                       HOST_IA32_EFER},
    [SWITCHED_PAT] = {IA32_PAT, ENTRY_LOAD_PAT, EXIT_SAVE_PAT | EXIT_LOAD_PAT, GUEST_IA32_PAT, HOST_IA32_PAT},
    [SWITCHED_PERF_CTRL] = {IA32_PERF_GLOBAL_CTRL, ENTRY_LOAD_PERF_CTRL, EXIT_LOAD_PERF_CTRL,
                            GUEST_IA32_PERF_GLOBAL_CTRL, HOST_IA32_PERF_GLOBAL_CTRL},
};

static bool has_controls(const struct vmx_caps *caps, const struct row *row)
{
    return (caps->entry.may & row->entry_control) == row->entry_control &&
           (caps->exit.may & row->exit_controls) == row->exit_controls;
}

void msr_switch_make(struct msr_switch *m, const struct vmx_caps *caps, bool counting, void *page)
{
    memset(page, 0, PAGE_SIZE);
    *m = (struct msr_switch){.guest = page, .switched = counting ? SWITCHED_MSRS : SWITCHED_PERF_CTRL};
    m->host = m->guest + SWITCHED_MSRS;
    for (unsigned i = 0; i < m->switched; i++) {
        m->listed[i] = !has_controls(caps, &rows[i]);
        if (m->listed[i]) {
            m->guest[m->count].index = m->host[m->count].index = rows[i].index;
            m->count++;
        } else {
            m->entry_controls |= rows[i].entry_control;
            m->exit_controls |= rows[i].exit_controls;
        }
    }
}

static struct msr_entry *entry_of(struct msr_entry *list, enum switched_msr msr)
{
    while (list->index != rows[msr].index)
        list++;
    return list;
}

void msr_switch_setup(struct msr_switch *m)
{
    for (unsigned i = 0; i < m->switched; i++) {
        u64 value = rdmsr(rows[i].index);
        if (m->listed[i])
            entry_of(m->host, i)->value = value;
        else
            vmcs_write(rows[i].host, value);
    }
    vmcs_write(ENTRY_MSR_LOAD_ADDRESS, ptr_hpa(m->guest));
    vmcs_write(EXIT_MSR_LOAD_ADDRESS, ptr_hpa(m->host));
    vmcs_write(ENTRY_MSR_LOAD_COUNT, m->count);
    vmcs_write(EXIT_MSR_LOAD_COUNT, m->count);
    vmcs_write(EXIT_MSR_STORE_COUNT, 0);
}

void msr_switch_set(struct msr_switch *m, enum switched_msr msr, u64 value)
{
    if (unlikely(m->listed[msr]))
        entry_of(m->guest, msr)->value = value;
    else
        vmcs_write(rows[msr].guest, value);
}
