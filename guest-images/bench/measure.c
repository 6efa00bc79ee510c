// See measure.h. The measuring process leaves its results in memory that it shares with this one, so that a
// workload that is killed in the middle has printed nothing.
#include "measure.h"
#include "proc.h"
#include "repeat.h"
#include "sizes.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    char failure[FAILURE_BYTES];           // of the whole process
    struct measurement results[MODES_MAX]; // one for each mode, or one
} * shared;

enum { IN_VAIN_MOST = 3 };
static unsigned in_vain[MODES_MAX]; // workloads in a row for which the mode failed alone

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
        workload_repeat(w, plan, shared->results);
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
    unsigned limit = plan->limit * plan_measurements(plan);
    bool in_time = ends_within(child, limit);
    int status = group_end(child);
    if (!in_time)
        snprintf(shared->failure, sizeof shared->failure, "over its limit of %u s", limit);
    else if (status != 0 && *shared->failure == '\0')
        snprintf(shared->failure, sizeof shared->failure, "%s", status_words(status));
}

static unsigned failed_modes(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < MODES_MAX; i++)
        count += *shared->results[i].failure != '\0';
    return count;
}

// A mode that has used up its limit in vain for some workloads would do so for the others.
static void leave_out(void)
{
    for (unsigned i = 0; i < MODES_MAX; i++)
        if (in_vain[i] >= IN_VAIN_MOST)
            snprintf(shared->results[i].failure, FAILURE_BYTES,
                     "not tried: it was over its limit in the %u workloads before", IN_VAIN_MOST);
}

static void tries_count(void)
{
    for (unsigned i = 0; i < MODES_MAX; i++)
        in_vain[i] = *shared->results[i].failure ? in_vain[i] + 1 : 0;
}

// What fails for all modes that have not failed themselves.
static void failure_spread(const struct plan *plan)
{
    for (unsigned i = 0; i < plan_measurements(plan); i++)
        if (*shared->results[i].failure == '\0')
            memcpy(shared->results[i].failure, shared->failure, FAILURE_BYTES);
}

// Pages of 1 GiB are set aside already.
static bool memory_suffices(const struct workload *w)
{
    if (w->bytes == 0 || w->page == PAGE_1G)
        return true;
    size_t needs = set_needs(w->bytes), available = proc_number("/proc/meminfo", "MemAvailable") * 1024;
    if (available >= needs)
        return true;
    snprintf(shared->failure, sizeof shared->failure, "needs %zu MiB of free memory, there are %zu",
             needs / MIB, available / MIB);
    return false;
}

const struct measurement *workload_measure(const struct workload *w, const struct plan *plan)
{
    if (!shared)
        shared = memory_shared(sizeof *shared);
    memset(shared, 0, sizeof *shared);
    leave_out();
    if (memory_suffices(w))
        for (unsigned before = MODES_MAX;
             before != failed_modes();) { // again, without the mode that has failed
            before = failed_modes();
            workload_supervise(w, plan);
        }
    tries_count();
    failure_spread(plan);
    return shared->results;
}
