// What several workloads need: how they fail, memory of a known page size, children, programs. See bench.h.
#include "bench.h"
#include <errno.h>
#include <linux/mman.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char *failure;
static size_t failure_bytes;

void fail_into(char *place, size_t bytes)
{
    failure = place;
    failure_bytes = bytes;
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!failure) {
        fputs("bench: ", stderr);
        vfprintf(stderr, format, arguments);
        fputs("\n", stderr);
    } else if (*failure == '\0') {
        vsnprintf(failure, failure_bytes, format, arguments);
    }
    va_end(arguments);
    _exit(1);
}

void die(const char *what)
{
    fail("%s: %s", what, strerror(errno));
}

static unsigned char *pages_1g_map(size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_1GB;
    void *memory = mmap(NULL, rounded_up(bytes, PAGE_1G), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
        fail(
            "the kernel has not as many 1G pages: hugepagesz=1G hugepages=%zu on its command line sets them aside",
            rounded_up(bytes, PAGE_1G) / PAGE_1G);
    return memory;
}

unsigned char *memory_map(size_t bytes, size_t page)
{
    if (page == PAGE_1G)
        return pages_1g_map(bytes);
    size_t whole = rounded_up(bytes, page);
    unsigned char *memory =
        mmap(NULL, whole + PAGE_2M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    memory += -(uintptr_t)memory % PAGE_2M;
    if (madvise(memory, whole, page == PAGE_2M ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) != 0)
        die("madvise");
    return memory;
}

void *memory_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    return memory;
}

void child_wait(pid_t child)
{
    int status;
    if (child < 0)
        die("fork");
    if (waitpid(child, &status, 0) != child)
        die("waitpid");
    if (status != 0)
        fail("a child failed: %s", status_words(status));
}

const char *status_words(int status)
{
    static char words[64];
    if (WIFSIGNALED(status))
        snprintf(words, sizeof words, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(words, sizeof words, "exit status %d", WEXITSTATUS(status));
    return words;
}

void program_exec(char *const *words)
{
    static char *const environment[] = {"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", NULL};
    execve(words[0], words, environment);
    if (errno == ENOENT && access(words[0], F_OK) == 0)
        fail("%s: what should run it (its first line, or its loader) is not in the guest", words[0]);
    if (errno == ENOEXEC)
        fail("%s: neither a program for this processor nor a script that begins with #!", words[0]);
    die(words[0]);
}

void program_run(char *const *words)
{
    pid_t child = fork();
    if (child == 0)
        program_exec(words);
    child_wait(child);
}
