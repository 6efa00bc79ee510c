// See host.h.
#include "host.h"
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { ANSWER_MS = 30000 };

static int line = -1;
static size_t count;
static char answer[2048];

static void line_open(const char *device)
{
    struct termios raw;
    line = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (line < 0 || tcgetattr(line, &raw) != 0)
        die(device);
    cfmakeraw(&raw);
    if (tcsetattr(line, TCSAFLUSH, &raw) != 0)
        die(device);
}

static void ask(void)
{
    size_t length = 0;
    if (write(line, "\n", 1) != 1)
        die("the line to the machine below");
    while (length == 0 || answer[length - 1] != '\n') {
        struct pollfd ready = {.fd = line, .events = POLLIN};
        if (length == sizeof answer || poll(&ready, 1, ANSWER_MS) != 1)
            fail("the machine below does not answer what it counts");
        ssize_t got = read(line, answer + length, sizeof answer - length);
        if (got <= 0)
            die("the line to the machine below");
        length += (size_t)got;
    }
    answer[length - 1] = '\0';
}

// The next NAME=NUMBER; its name, or NULL after the last one.
static const char *word_next(char **rest, uint64_t *value)
{
    char *word = strsep(rest, " "), *equals = word ? strchr(word, '=') : NULL;
    if (!word || !*word)
        return NULL;
    if (!equals)
        fail("the machine below counts no `%s'", word);
    *equals = '\0';
    *value = strtoull(equals + 1, NULL, 10);
    return word;
}

size_t host_counters_learn(const char *device, struct penumbra_counter *table, size_t room)
{
    char *rest = answer;
    uint64_t value;
    line_open(device);
    ask();
    for (const char *name; (name = word_next(&rest, &value)); count++) {
        if (count == room || strlen(name) >= sizeof table->name)
            fail("the machine below has more counters, or longer names, than there is room for");
        table[count] = (struct penumbra_counter){.kind = PENUMBRA_COUNT};
        strcpy(table[count].name, name);
    }
    return count;
}

void host_counters_read(uint64_t *values)
{
    char *rest = answer;
    size_t read = 0;
    ask();
    for (uint64_t value; word_next(&rest, &value); read++) {
        if (read < count)
            values[read] = value;
    }
    if (read != count)
        fail("the machine below counts other things than at first");
}
