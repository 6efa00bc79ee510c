// Workloads of processes: fork, fork and exec, copy-on-write after a fork, a shell script, which is all of
// them, and a compiler. Programs are found by their place in the guest: bench_child, bench_commands and
// bench_source.c lie beside bench.
#include "bench.h"
#include <unistd.h>

static unsigned char *cow_memory;
static size_t cow_bytes;

void fork_run(unsigned long iterations)
{
    while (iterations--) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        child_wait(child);
    }
}

void forkbig_setup(struct workload *own)
{
    set_make(own);
}

void exec_run(unsigned long iterations)
{
    static char *const words[] = {"/bin/bench_child", NULL};
    while (iterations--)
        program_run(words);
}

void script_run(unsigned long iterations)
{
    static char *const words[] = {"/bin/sh", "/bin/bench_commands", NULL};
    while (iterations--)
        program_run(words);
}

static char *const compile_words[] = {"/usr/bin/tcc",        "-c", "-o", "/tmp/bench.o",
                                      "/bin/bench_source.c", NULL};

void compile_setup(struct workload *own)
{
    (void)own;
    if (access(compile_words[0], X_OK) != 0)
        fail("there is no %s: make guest-compare builds the initramfs that has it", compile_words[0]);
}

void compile_run(unsigned long iterations)
{
    while (iterations--)
        program_run(compile_words);
}

void cow_setup(struct workload *own)
{
    cow_bytes = own->argument;
    cow_memory = memory_map(cow_bytes, PAGE);
    for (size_t i = 0; i < cow_bytes; i += PAGE)
        cow_memory[i] = 1;
}

void cow_run(unsigned long iterations)
{
    volatile unsigned char *memory = cow_memory;
    while (iterations--) {
        pid_t child = fork();
        if (child == 0) {
            for (size_t i = 0; i < cow_bytes; i += PAGE)
                memory[i] = 2;
            _exit(0);
        }
        child_wait(child);
        for (size_t i = 0; i < cow_bytes; i += PAGE) {
            if (memory[i] != 1)
                die("memory shared after fork");
        }
    }
}
