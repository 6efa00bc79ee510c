// What the parts of bench share: the shape of a workload, and the few helpers that several of them need.
// bench.c measures; the other files are the workloads, one subject each; workloads.def is the table of all.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PAGE = 4096, MIB = 1 << 20 };

// Each workload runs in a process of its own, in which setup, run (a warm-up, then once for each repetition)
// and finish are called in this order. Only run is measured. setup and finish may be NULL. All end the
// process by die() when anything goes wrong, a wrong result included.
struct workload {
    const char *name;
    void (*setup)(size_t argument);
    void (*run)(unsigned long iterations);
    void (*finish)(void);
    unsigned long iterations; // of one repetition
    size_t argument;          // of setup: bytes or processes
    bool by_name_only;        // needs more memory or time than a default run has
    const char *what;         // one iteration, in words
};

// Ends the process with "bench: WHAT: errno's text" on stderr and status 1.
void die(const char *what) __attribute__((noreturn));

// Anonymous private memory, not touched, aligned to 2 MiB, with transparent huge pages on or off whatever the
// system's default is. Never fails.
unsigned char *memory_map(size_t bytes, bool huge);

// Waits for one child; dies unless it ended with status 0.
void child_wait(pid_t child);

#define WORKLOAD(NAME, SETUP, RUN, FINISH, ITERATIONS, ARGUMENT, BY_NAME_ONLY, WHAT) \
    void RUN(unsigned long iterations);
#include "workloads.def"
#undef WORKLOAD

void cow_setup(size_t bytes);
void mmap_setup(size_t bytes);
void mprotect_setup(size_t bytes);
void ring_setup(size_t processes);
void ring_finish(void);
void file_setup(size_t bytes);
void chase_setup(size_t bytes);
void chase_huge_setup(size_t bytes);
