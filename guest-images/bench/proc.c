// See proc.h. Not for what is read while something is measured: meter.c keeps its file open.
#include "proc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(char *line, const char *key)
{
    if (strncmp(line, key, strlen(key)) != 0)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    line += strlen(key);
    return line + strspn(line, " \t:");
}

const char *proc_text(const char *file, const char *key)
{
    static char line[4096];
    const char *value = NULL;
    FILE *in = fopen(file, "r");
    while (in && !value && fgets(line, sizeof line, in))
        value = value_of(line, key);
    if (in)
        fclose(in);
    return value ? value : "";
}

uint64_t proc_number(const char *file, const char *key)
{
    return strtoull(proc_text(file, key), NULL, 10);
}
