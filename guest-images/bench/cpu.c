// Workloads that should cost the same with and without a monitor: plain computation, and the shortest system
// call (which a kernel with page-table isolation makes two loads of CR3). Memory and processes are in the
// other files.
#include "bench.h"
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

void syscall_run(unsigned long iterations)
{
    long self = getpid();
    while (iterations--)
        if (syscall(SYS_getpid) != self)
            die("getpid changed");
}

void cpuid_run(unsigned long iterations)
{
    while (iterations--) {
        uint32_t eax = 0, ecx = 0;
        __asm__ volatile("cpuid" : "+a"(eax), "+c"(ecx) : : "rbx", "rdx");
        if (eax == 0)
            die("CPUID shows no leaf");
    }
}

void alu_run(unsigned long iterations)
{
    uint64_t x = 88172645463325252;
    while (iterations--) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        __asm__ volatile("" : "+r"(x));
    }
}
