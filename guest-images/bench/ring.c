// Workload of context switches: a token goes round a ring of processes joined by pipes; with two it is
// ping-pong. Before a process hands it on, it may read memory of its own, a word of each line. The measuring
// process is one of them; the others live from setup to finish, and end when their pipe is closed.
#include "bench.h"
#include <stdint.h>
#include <unistd.h>

enum { RING_MAX = 16, LINE = 64 };

static pid_t ring_children[RING_MAX];
static int ring_in, ring_out;
static size_t ring_processes, ring_each;

// Written by the process itself, so that no other has it.
static unsigned char *own_make(void)
{
    unsigned char *memory = memory_map(ring_each, PAGE);
    for (size_t i = 0; i < ring_each; i += LINE)
        memory[i] = 1;
    return memory;
}

static const unsigned char *ring_own; // the measuring process's

static void own_read(const unsigned char *memory)
{
    size_t sum = 0;
    for (size_t i = 0; i < ring_each; i += LINE)
        sum += memory[i];
    if (sum != ring_each / LINE)
        fail("a process has lost its memory");
}

static void member_main(int in, int out)
{
    unsigned long token;
    const unsigned char *own = own_make();
    while (read(in, &token, sizeof token) == sizeof token) {
        own_read(own);
        token++;
        if (write(out, &token, sizeof token) != sizeof token)
            die("write");
    }
    _exit(0);
}

// One more process at the end of the chain; the ring's end is the new one's output.
static pid_t member_start(void)
{
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(ring_out);
        close(ends[0]);
        member_main(ring_in, ends[1]);
    }
    close(ring_in);
    close(ends[1]);
    ring_in = ends[0];
    return child;
}

void ring_setup(struct workload *own)
{
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    ring_in = ends[0];
    ring_out = ends[1];
    ring_processes = own->argument;
    ring_each = own->each;
    ring_own = own_make();
    for (size_t i = 1; i < ring_processes; i++)
        ring_children[i] = member_start();
}

void ring_run(unsigned long iterations)
{
    for (unsigned long token = 0, back; iterations--; token++) {
        if (write(ring_out, &token, sizeof token) != sizeof token)
            die("write");
        if (read(ring_in, &back, sizeof back) != sizeof back || back != token + ring_processes - 1)
            die("the token came back wrong");
        own_read(ring_own);
    }
}

void ring_finish(void)
{
    close(ring_out);
    for (size_t i = 1; i < ring_processes; i++)
        child_wait(ring_children[i]);
    close(ring_in);
}
