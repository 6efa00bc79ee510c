// See hv/log.h.
#include <arch/console.h>
#include <arch/lib.h>
#include <hv/log.h>

static enum log_level shown = LOG_INFO;

void log_set_level(enum log_level level)
{
    shown = level;
}

void log_message(enum log_level level, const char *format, ...)
{
    static const char *const marks[] = {"", "error: ", "warning: ", "", "debug: "};
    if (level > shown)
        return;
    char line[512];
    size_t length = (size_t)fmt(line, sizeof(line), "[penumbra] %s", marks[level - LOG_NOTICE]);
    va_list args;
    va_start(args, format);
    length += (size_t)fmtv(line + length, sizeof(line) - length, format, args);
    va_end(args);
    if (length > sizeof(line) - 2)
        length = sizeof(line) - 2;
    line[length++] = '\n';
    console_write(line, length);
}
