// See measure.h. The measuring process leaves its results in memory that it shares with this one, so that a
// workload that is killed in the middle has printed nothing.
#include "measure.h"
#include "proc.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WARM_UP_SHARE = 4 };

static struct measurement *shared;

static uint64_t tsc_read(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void workload_repeat(const struct workload *w, const struct plan *plan)
{
    double wanted = (double)w->iterations * plan->factor;
    unsigned long iterations = wanted < 1 ? 1 : (unsigned long)wanted;
    memset(shared->cycles, 0, sizeof shared->cycles); // touched: no page fault while it is measured
    shared->iterations = iterations;
    if (w->setup)
        w->setup(w->argument);
    w->run(iterations < WARM_UP_SHARE ? 1 : iterations / WARM_UP_SHARE);
    meter_start();
    for (unsigned i = 0; i < plan->repetitions; i++) {
        uint64_t before = tsc_read();
        w->run(iterations);
        shared->cycles[i] = tsc_read() - before;
    }
    shared->faults = meter_stop(shared->counters);
    if (w->finish)
        w->finish();
    shared->repetitions = plan->repetitions;
}

// Its own process group is what can be killed as a whole. When bench itself is killed, this process goes with
// it.
static pid_t workload_start(const struct workload *w, const struct plan *plan)
{
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fail_into(shared->failure, sizeof shared->failure);
        workload_repeat(w, plan);
        _exit(0);
    }
    setpgid(child, child);
    return child;
}

static bool ends_within(pid_t child, unsigned seconds)
{
    struct pollfd end = {.fd = pidfd_open(child, 0), .events = POLLIN};
    if (end.fd < 0)
        die("pidfd_open");
    int ready = poll(&end, 1, seconds ? (int)seconds * 1000 : -1);
    close(end.fd);
    return ready == 1;
}

// Also what the workload has left behind, which becomes this process's children: nothing of it is to run
// while the next workload is measured.
static int group_end(pid_t leader)
{
    int status;
    kill(-leader, SIGKILL); // before the leader is waited for: until then its number is nobody else's
    if (waitpid(leader, &status, 0) != leader)
        die("waitpid");
    while (waitpid(-leader, NULL, 0) > 0) {
    }
    return status;
}

static void workload_supervise(const struct workload *w, const struct plan *plan)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1); // for group_end()
    pid_t child = workload_start(w, plan);
    bool in_time = ends_within(child, plan->limit);
    int status = group_end(child);
    if (!in_time)
        snprintf(shared->failure, sizeof shared->failure, "over its limit of %u s", plan->limit);
    else if (status != 0 && *shared->failure == '\0')
        snprintf(shared->failure, sizeof shared->failure, "%s", status_words(status));
}

const struct measurement *workload_measure(const struct workload *w, const struct plan *plan)
{
    if (!shared)
        shared = memory_shared(sizeof *shared);
    memset(shared, 0, sizeof *shared);
    size_t free_mib = w->needs_mib ? proc_number("/proc/meminfo", "MemAvailable") / 1024 : 0;
    if (free_mib < w->needs_mib)
        snprintf(shared->failure, sizeof shared->failure, "needs %zu MiB of free memory, there are %zu",
                 w->needs_mib, free_mib);
    else
        workload_supervise(w, plan);
    return shared;
}
