// The monitor's tables and lines of JSON: text on every console as it is, without the mark of a log message.
#pragma once

#include <arch/types.h>

// At most 159 characters at once.
void print(const char *format, ...) printf_like(1);
