// See facts.h. A file that is not there is an empty text: "" of idle, for one, is a kernel without the
// driver.
#include "facts.h"
#include "bench.h"
#include "json.h"
#include "proc.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SYSTEM_CPU      "/sys/devices/system/cpu/"
#define VULNERABILITIES SYSTEM_CPU "vulnerabilities"
#define LEVEL4_END      (1ull << 47) // of a process' addresses with four levels of page tables

static const struct {
    const char *key, *file, *line; // the line's beginning; "" the first
} texts[] = {
    {"command_line", "/proc/cmdline", ""},
    {"processor", "/proc/cpuinfo", "model name"},
    {"microcode", "/proc/cpuinfo", "microcode"},
    {"flags", "/proc/cpuinfo", "flags"},
    {"clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource", ""},
    {"idle", SYSTEM_CPU "cpuidle/current_driver", ""},
    {"cpufreq", SYSTEM_CPU "cpu0/cpufreq/scaling_driver", ""},
    {"governor", SYSTEM_CPU "cpu0/cpufreq/scaling_governor", ""},
    {"no_turbo", SYSTEM_CPU "intel_pstate/no_turbo", ""},
};

// A kernel with five levels gives what lies above the end of four to who asks for it.
static unsigned paging_levels(void)
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap((void *)LEVEL4_END, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        die("mmap");
    munmap(page, bytes);
    return (uintptr_t)page >= LEVEL4_END ? 5 : 4;
}

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void mitigations_print(void)
{
    struct dirent **files;
    int count = scandir(VULNERABILITIES, &files, is_file, alphasort);
    fputs(",\"mitigations\":{", stdout);
    for (int i = 0; i < count; i++) {
        char file[sizeof VULNERABILITIES + sizeof files[i]->d_name + 1];
        snprintf(file, sizeof file, "%s/%s", VULNERABILITIES, files[i]->d_name);
        fputs(i ? "," : "", stdout);
        json_string(stdout, files[i]->d_name);
        putchar(':');
        json_string(stdout, proc_text(file, ""));
        free(files[i]);
    }
    putchar('}');
    if (count >= 0)
        free(files);
}

void facts_print(void)
{
    struct utsname kernel;
    if (uname(&kernel) != 0)
        die("uname");
    json_member(stdout, "kernel", kernel.release);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_member(stdout, texts[i].key, proc_text(texts[i].file, texts[i].line));
    printf(",\"memory_kib\":%" PRIu64 ",\"processors\":%ld,\"paging_levels\":%u",
           proc_number("/proc/meminfo", "MemTotal"), sysconf(_SC_NPROCESSORS_ONLN), paging_levels());
    mitigations_print();
}
