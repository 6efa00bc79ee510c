// What the workloads share: their shape, and the few helpers that several of them need (support.c). bench.c
// chooses what is run, measure.c measures one workload; the workloads are the other files, one subject each,
// and workloads.def is the table of all.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PAGE = 4096, MIB = 1 << 20, PAGE_2M = 2 << 20, PAGE_1G = 1 << 30 };

static inline size_t rounded_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

// Each workload runs in a process of its own, in which setup, run (a warm-up, then once for each repetition)
// and finish are called in this order. Only run is measured. Where there is no need setup, finish and touch
// are NULL. All end the process by die() or fail() when anything goes wrong, a wrong result included. `own`
// is the process's own: setup may set `operations`.
struct workload {
    const char *name, *group;
    void (*run)(unsigned long iterations);
    unsigned long iterations; // of one repetition
    const char *what;         // one iteration, in words
    void (*setup)(struct workload *own);
    void (*finish)(void);
    void (*touch)(void);      // all memory that run needs a whole repetition to reach; NULL: less does
    size_t argument;          // of setup: bytes, processes, or which program
    size_t each;              // bytes that each of its processes reads
    size_t bytes;             // of the working set; 0: little memory
    size_t page;              // the working set's pages: PAGE, PAGE_2M or PAGE_1G
    bool sized;               // bench -w and -z choose the working set and its pages
    bool sweep;               // without -w it is of all sizes
    bool asked;               // is run only where its name or its group is asked for
    const char *operation;    // what an iteration has several of; NULL: none
    unsigned long operations; // how many
};

// Ends the process with status 1. The words become the workload's error, where it is one's; else they go to
// stderr. die() adds the text of errno.
void die(const char *what) __attribute__((noreturn));
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

// From now on fail() leaves its words here, where no other words are yet: what failed first is the reason.
// The place is shared with the processes that are started from now on. NULL: stderr.
void fail_into(char *place, size_t bytes);

// Anonymous private memory, not touched, aligned to 2 MiB, in pages of PAGE, PAGE_2M or PAGE_1G whatever the
// system's default is. Those of 2 MiB are transparent, and the kernel may give others. Never fails.
unsigned char *memory_map(size_t bytes, size_t page);

// The working set: own->bytes of zeroed memory, touched, in pages of own->page, which is made sure of. One in
// a process. Never fails.
void *set_make(const struct workload *own);

// Bytes of this process that the kernel has really given in huge pages.
size_t huge_bytes(void);

// Reads each page of the working set: a workload's `touch`.
void set_touch(void);

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

#define WORKLOAD(NAME, GROUP, RUN, ...) void RUN(unsigned long iterations);
#include "workloads.def"
#undef WORKLOAD

void advice_setup(struct workload *own);
void bfs_setup(struct workload *own);
void btree_setup(struct workload *own);
void chase_setup(struct workload *own);
void compile_setup(struct workload *own);
void cow_setup(struct workload *own);
void file_setup(struct workload *own);
void forkbig_setup(struct workload *own);
void gups_finish(void);
void gups_setup(struct workload *own);
void gzip_finish(void);
void jit_setup(struct workload *own);
void join_setup(struct workload *own);
void mmap_setup(struct workload *own);
void mprotect_setup(struct workload *own);
void mremap_setup(struct workload *own);
void pagerank_setup(struct workload *own);
void ring_finish(void);
void ring_setup(struct workload *own);
void sort_finish(void);
void split_setup(struct workload *own);
void spmv_setup(struct workload *own);
void stream_finish(void);
void stream_setup(struct workload *own);
void stride_setup(struct workload *own);
void text_setup(struct workload *own);
void uffd_finish(void);
void uffd_setup(struct workload *own);
void writeback_finish(void);
void writeback_setup(struct workload *own);
