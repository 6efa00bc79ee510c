// See print.h.
#include <arch/console.h>
#include <arch/lib.h>

#include "print.h"

void print(const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    size_t length = (size_t)fmtv(text, sizeof(text), format, args);
    va_end(args);
    console_write(text, length < sizeof(text) ? length : sizeof(text) - 1);
}
