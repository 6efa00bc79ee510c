// See arch/numa.h. Pure.
#include <arch/numa.h>

// Some firmware lists a processor twice, by its local APIC and by its local x2APIC: the first counts.
static bool find_node(const struct acpi *acpi, u32 apic_id, u32 *node)
{
    for (unsigned i = 0; i < acpi->cpu_nodes; i++) {
        if (acpi->cpu_node[i].apic_id == apic_id) {
            *node = acpi->cpu_node[i].node;
            return true;
        }
    }
    return false;
}

// Where broken tables give memory to two nodes, the processor's own wins: it comes last.
static void hold_other_nodes(struct frames *frames, const struct acpi *acpi, u32 node)
{
    for (unsigned i = 0; i < acpi->memory_nodes; i++)
        frames_hold(frames, acpi->memory_node[i].start, acpi->memory_node[i].end);
    for (unsigned i = 0; i < acpi->memory_nodes; i++) {
        if (acpi->memory_node[i].node == node)
            frames_unhold(frames, acpi->memory_node[i].start, acpi->memory_node[i].end);
    }
}

struct numa numa_hold(struct frames *frames, const struct acpi *acpi, const struct boot_info *boot,
                      u32 apic_id)
{
    struct numa n = {.known = false};
    n.known = find_node(acpi, apic_id, &n.node);
    if (n.known)
        hold_other_nodes(frames, acpi, n.node);
    for (unsigned i = 0; i < boot->special_count; i++)
        frames_hold(frames, boot->special[i].start, boot->special[i].end);
    n.far = frames->count[FRAME_HELD];
    if (n.far && frames->count[FRAME_FREE] < NUMA_LEAST / PAGE_SIZE) {
        n.too_few = true;
        frames_unhold(frames, 0, UINT64_MAX);
    }
    return n;
}
