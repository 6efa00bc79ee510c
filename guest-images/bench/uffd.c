// Workload of userfaultfd: pages that are not there come from another process, as when a guest or a process
// moves to another machine while it runs. Each fault is two switches of processes, and a page that the other
// one puts in.
#include "bench.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned char *uffd_memory;
static size_t uffd_bytes;
static int uffd;
static pid_t uffd_pager;

// Each page holds its own number.
static void page_give(uint64_t address)
{
    static uint64_t page[PAGE / sizeof(uint64_t)] __attribute__((aligned(PAGE)));
    uint64_t base = address & -(uint64_t)PAGE;
    page[0] = (base - (uintptr_t)uffd_memory) / PAGE;
    struct uffdio_copy copy = {.dst = base, .src = (uintptr_t)page, .len = PAGE};
    if (ioctl(uffd, UFFDIO_COPY, &copy) != 0)
        die("userfaultfd: copy");
}

static void pager_main(void)
{
    struct uffd_msg message;
    while (read(uffd, &message, sizeof message) == sizeof message)
        if (message.event == UFFD_EVENT_PAGEFAULT)
            page_give(message.arg.pagefault.address);
    _exit(1);
}

static void uffd_open(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (uffd < 0)
        die("this kernel has no userfaultfd for us");
    if (ioctl(uffd, UFFDIO_API, &api) != 0)
        die("userfaultfd: API");
}

void uffd_setup(struct workload *own)
{
    uffd_bytes = own->argument;
    uffd_memory = memory_map(uffd_bytes, PAGE);
    uffd_open();
    struct uffdio_register range = {.range = {.start = (uintptr_t)uffd_memory, .len = uffd_bytes},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (ioctl(uffd, UFFDIO_REGISTER, &range) != 0)
        die("userfaultfd: register");
    uffd_pager = fork();
    if (uffd_pager < 0)
        die("fork");
    if (uffd_pager == 0)
        pager_main();
}

void uffd_run(unsigned long iterations)
{
    while (iterations--) {
        for (size_t i = 0; i < uffd_bytes; i += PAGE)
            if (*(volatile uint64_t *)(uffd_memory + i) != i / PAGE)
                fail("userfaultfd gave another page");
        if (madvise(uffd_memory, uffd_bytes, MADV_DONTNEED) != 0)
            die("madvise");
    }
}

void uffd_finish(void)
{
    kill(uffd_pager, SIGKILL);
    close(uffd);
}
