// `make run` and `make compare` ask the monitor's own parser about the monitor's command line before anything
// is built: prints the sentence with which the monitor would refuse it, and fails. Compiled for the host,
// with hv/policy/params.c.
#include <stdio.h>
#include <stdlib.h>

#include <arch/panic.h>

#include "hv/policy/configurations.h"

_Noreturn void panic(const char *format, ...)
{
    fprintf(stderr, "parameters: %s\n", format);
    exit(2);
}

int main(int count, char **arguments)
{
    static struct configurations configurations, boots;
    struct params params;
    char message[1024];
    if (count != 2) {
        fprintf(stderr, "usage: parameters COMMAND-LINE\n");
        return 2;
    }
    int error = params_parse(&params, arguments[1], message, sizeof(message));
    if (!error && params.compare)
        error = configurations_read(&configurations, &params, message, sizeof(message));
    if (!error && params.compare)
        error = configurations_boots(&boots, &configurations, params.how, message, sizeof(message));
    if (error)
        puts(message);
    return error ? 1 : 0;
}
