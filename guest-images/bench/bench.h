// What the workloads share: their shape, and the few helpers that several of them need (support.c). bench.c
// chooses what is run, measure.c measures one workload; the workloads are the other files, one subject each,
// and workloads.def is the table of all.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PAGE = 4096, MIB = 1 << 20 };

// Each workload runs in a process of its own, in which setup, run (a warm-up, then once for each repetition)
// and finish are called in this order. Only run is measured. setup and finish may be NULL. All end the
// process by die() or fail() when anything goes wrong, a wrong result included.
struct workload {
    const char *name;
    void (*setup)(size_t argument);
    void (*run)(unsigned long iterations);
    void (*finish)(void);
    void (*touch)(void);      // all memory that run needs a whole repetition to reach; NULL: less does
    unsigned long iterations; // of one repetition
    size_t argument;          // of setup: bytes, processes, or which program
    size_t needs_mib;         // of free memory; 0: little
    const char *what;         // one iteration, in words
};

// Ends the process with status 1. The words become the workload's error, where it is one's; else they go to
// stderr. die() adds the text of errno.
void die(const char *what) __attribute__((noreturn));
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

// From now on fail() leaves its words here, where no other words are yet: what failed first is the reason.
// The place is shared with the processes that are started from now on. NULL: stderr.
void fail_into(char *place, size_t bytes);

// Anonymous private memory, not touched, aligned to 2 MiB, with transparent huge pages on or off whatever the
// system's default is. Never fails.
unsigned char *memory_map(size_t bytes, bool huge);

// Memory, zero, that processes started later share with this one.
void *memory_shared(size_t bytes);

// Waits for one child; dies unless it ended with status 0.
void child_wait(pid_t child);

// How a process ended, such as "exit status 3"; the text lasts until the next call.
const char *status_words(int status);

// Replaces this process by the program words[0], with a fixed environment.
void program_exec(char *const *words) __attribute__((noreturn));

// Runs a program and waits for it; dies unless its status is 0.
void program_run(char *const *words);

#define WORKLOAD(NAME, SETUP, RUN, FINISH, TOUCH, ITERATIONS, ARGUMENT, NEEDS_MIB, WHAT) \
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
void chase_touch(void);
void compile_setup(size_t argument);
