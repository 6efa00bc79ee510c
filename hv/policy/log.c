// See hv/log.h.
#include <arch/console.h>
#include <arch/lib.h>
#include <hv/log.h>

#define LOG_LINE 2304 // all parameters with the longest list for compare= are one line

static enum log_level shown = LOG_INFO;

void log_set_level(enum log_level level)
{
    shown = level;
}

// One line, and no sequence for a terminal, whatever the text was made of: a guest's file, a command line.
static void make_printable(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((u8)text[i] < ' ' || (u8)text[i] > '~')
            text[i] = '?';
    }
}

void log_message(enum log_level level, const char *format, ...)
{
    static const char *const marks[] = {"", "error: ", "warning: ", "", "debug: "};
    if (level > shown)
        return;
    const char *word = console_word();
    char line[LOG_LINE];
    size_t length = (size_t)fmt(line, sizeof(line), "[penumbra%s%s] %s", *word ? " " : "", word,
                                marks[level - LOG_NOTICE]);
    va_list args;
    va_start(args, format);
    length += (size_t)fmtv(line + length, sizeof(line) - length, format, args);
    va_end(args);
    fmt_mark_cut(line, sizeof(line) - 1, (int)length); // and the newline
    if (length > sizeof(line) - 2)
        length = sizeof(line) - 2;
    make_printable(line, length);
    line[length++] = '\n';
    if (level == LOG_ERROR)
        console_alert(line, length);
    else
        console_write(line, length);
}
