// bench_child: the smallest program that the kernel can run, for bench's "exec": no libc, one page, one
// system call. What an exec costs is then the kernel's work, and the monitor's, not a program's start.
__asm__(".globl _start\n"
        "_start:\n"
        "    mov $60, %eax\n" // exit
        "    xor %edi, %edi\n"
        "    syscall\n");
