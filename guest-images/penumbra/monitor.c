// See monitor.h. Nothing here executes VMCALL before CPUID has shown Penumbra: its callers ask
// monitor_interface() first.
#include "monitor.h"
#include <cpuid.h>
#include <stdio.h>
#include <string.h>

enum { HYPERVISOR_BIT = 31 }; // of CPUID.1:ECX

static const struct {
    int64_t error;
    const char *name;
    const char *words;
} errors[] = {
    {PENUMBRA_UNKNOWN, "PENUMBRA_UNKNOWN", "the monitor has no such call: is it older than this program?"},
    {PENUMBRA_DENIED, "PENUMBRA_DENIED", "the monitor refuses calls of programs: boot it with vmcall=user"},
    {PENUMBRA_ARGUMENT, "PENUMBRA_ARGUMENT", "the monitor refuses an argument of the call"},
    {PENUMBRA_FAULT, "PENUMBRA_FAULT", "the monitor cannot reach the memory that the call names"},
    {PENUMBRA_OFF, "PENUMBRA_OFF", "what the call is for is not switched on: see the monitor's parameters"},
};
enum { ERRORS = sizeof errors / sizeof *errors };

const char *monitor_signature(void)
{
    static uint32_t words[4]; // the last one stays 0 and ends the text
    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx >> HYPERVISOR_BIT & 1))
        return "";
    __cpuid(PENUMBRA_LEAF_SIGNATURE, eax, words[0], words[1], words[2]);
    return (const char *)words;
}

uint32_t monitor_interface(void)
{
    uint32_t eax, ebx, ecx, edx;
    if (strcmp(monitor_signature(), PENUMBRA_SIGNATURE) != 0)
        return 0;
    __cpuid(PENUMBRA_LEAF_SIGNATURE, eax, ebx, ecx, edx);
    if (eax < PENUMBRA_LEAF_INTERFACE)
        return 0;
    __cpuid(PENUMBRA_LEAF_INTERFACE, eax, ebx, ecx, edx);
    return eax;
}

const char *monitor_error_name(int64_t result)
{
    for (size_t i = 0; i < ERRORS; i++)
        if (errors[i].error == result)
            return errors[i].name;
    return NULL;
}

const char *monitor_error_words(int64_t error)
{
    for (size_t i = 0; i < ERRORS; i++)
        if (errors[i].error == error)
            return errors[i].words;
    return "the monitor gives an error that this program does not know";
}

int64_t monitor_counters_learn(struct penumbra_counter *table, size_t room)
{
    int64_t count = penumbra_call(PENUMBRA_COUNTERS, 0, 0, 0);
    for (int64_t i = 0; i < count && (size_t)i < room; i++) {
        memset(&table[i], 0, sizeof table[i]); // the monitor writes only memory that is there
        int64_t result = penumbra_call(PENUMBRA_COUNTER, (uint64_t)i, (uintptr_t)&table[i], 0);
        if (result < 0)
            return result;
    }
    return count;
}

int64_t monitor_counters_read(uint64_t *values, size_t count)
{
    memset(values, 0, count * sizeof *values);
    return penumbra_call(PENUMBRA_COUNTERS, (uintptr_t)values, count, 0);
}

int64_t monitor_mode_switch(const char *words, unsigned seconds, char *answer, size_t bytes)
{
    memset(answer, 0, bytes);
    snprintf(answer, bytes, "%s", words); // the same place is for both
    int64_t result = penumbra_call(PENUMBRA_SWITCH, (uintptr_t)answer, bytes, seconds);
    if (result < 0 && result != PENUMBRA_ARGUMENT)
        snprintf(answer, bytes, "%s", monitor_error_words(result));
    return result;
}

int64_t monitor_modes(char *text, size_t bytes)
{
    memset(text, 0, bytes);
    return penumbra_call(PENUMBRA_MODES, (uintptr_t)text, bytes, 0);
}

int64_t monitor_result_tell(const struct penumbra_result *result)
{
    return penumbra_call(PENUMBRA_RESULT, (uintptr_t)result, 0, 0);
}
