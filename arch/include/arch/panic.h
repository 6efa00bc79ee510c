// The end of the road for the monitor's own mistakes.
#pragma once

#include <arch/types.h>

// Prints the message, the registers and a backtrace on every console, and stops the machine. Host tests
// supply their own, which ends the test.
_Noreturn void panic(const char *format, ...) printf_like(1);

#define assert_that(condition)                                            \
    do {                                                                  \
        if (unlikely(!(condition)))                                       \
            panic("%s:%d: not true: %s", __FILE__, __LINE__, #condition); \
    } while (0)
