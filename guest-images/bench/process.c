// Workloads of processes: fork, fork and exec, copy-on-write after a fork, and a shell script, which is all
// of them. Programs are found by their place in the guest: bench_child and bench_commands lie beside bench.
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

static void program_run(char *const *words)
{
    static char *const environment[] = {"PATH=/bin:/sbin:/usr/bin:/usr/sbin", NULL};
    pid_t child = fork();
    if (child == 0) {
        execve(words[0], words, environment);
        die(words[0]);
    }
    child_wait(child);
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

void cow_setup(size_t bytes)
{
    cow_bytes = bytes;
    cow_memory = memory_map(bytes, false);
    for (size_t i = 0; i < bytes; i += PAGE)
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
