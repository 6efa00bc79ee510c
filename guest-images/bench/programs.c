// See programs.h. One iteration is one run in the program's folder, without input; its output goes to a file,
// of which the last line is shown when it fails.
#include "programs.h"
#include "../penumbra/monitor.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NAME_BYTES = sizeof(((struct penumbra_result *)0)->workload) - 1, PATH_BYTES = 512 };

static const char OUTPUT[] = "/tmp/bench.output";
static const char *program_folder; // whose programs are looked for
static char program_paths[PROGRAMS_MAX][PATH_BYTES];
static size_t programs;
static const char *program; // which one runs

static void program_setup(struct workload *own)
{
    static char folder[PATH_BYTES];
    program = program_paths[own->argument];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(program, '/') - program), program);
    if (chdir(folder) != 0)
        die(folder);
}

static void output_redirect(void)
{
    int in = open("/dev/null", O_RDONLY);
    int out = open(OUTPUT, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        die(OUTPUT);
    close(in);
    close(out);
}

// The last line that is not empty, of the last part of the output.
static const char *last_line(void)
{
    static char text[256];
    int file = open(OUTPUT, O_RDONLY);
    off_t length = lseek(file, 0, SEEK_END);
    off_t from = length > (off_t)sizeof text - 1 ? length - (off_t)sizeof text + 1 : 0;
    ssize_t got = pread(file, text, sizeof text - 1, from);
    close(file);
    while (got > 0 && strchr("\r\n", text[got - 1]))
        got--;
    text[got < 0 ? 0 : got] = '\0';
    const char *newline = strrchr(text, '\n');
    return newline ? newline + 1 : text;
}

static void program_failed(int status)
{
    const char *line = last_line();
    if (*line)
        fail("%s; its last line: %s", status_words(status), line);
    fail("%s; it printed nothing", status_words(status));
}

static void programs_run(unsigned long iterations)
{
    char *words[] = {(char *)program, NULL};
    while (iterations--) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            output_redirect();
            program_exec(words);
        }
        if (child < 0 || waitpid(child, &status, 0) != child)
            die("fork");
        if (status != 0)
            program_failed(status);
    }
}

static int is_program(const struct dirent *entry)
{
    char path[PATH_BYTES];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", program_folder, entry->d_name);
    return entry->d_name[0] != '.' && stat(path, &about) == 0 && S_ISREG(about.st_mode) &&
           access(path, X_OK) == 0;
}

static bool name_taken(const char *name, const struct workload *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return true;
    return false;
}

// Names stand in JSON, on the kernel's command line between commas, and in tables; no two are the same, and
// none is cut.
static const char *name_make(const char *file, const struct workload *table, size_t count)
{
    char *clean = strdup(file);
    for (char *c = clean; c && *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_-.+", *c))
            *c = '_';
    char *name = clean;
    for (unsigned i = 2; name && name_taken(name, table, count); i++)
        if (asprintf(&name, "%s_%u", clean, i) < 0)
            name = NULL;
    if (!name)
        die(file);
    if (strlen(name) > NAME_BYTES)
        fail("a program's name has at most %d characters: %s", (int)NAME_BYTES, file);
    return name;
}

static void program_append(const char *file, const char *group, struct workload *table, size_t count)
{
    snprintf(program_paths[programs], PATH_BYTES, "%s/%s", program_folder, file);
    table[count] = (struct workload){
        .name = name_make(file, table, count),
        .group = group,
        .setup = program_setup,
        .run = programs_run,
        .iterations = 1,
        .argument = programs,
        .what = program_paths[programs],
    };
    programs++;
}

size_t programs_append(const char *folder, const char *group, struct workload *table, size_t count)
{
    struct dirent **entries;
    program_folder = realpath(folder, NULL); // later this process is elsewhere
    int found = program_folder ? scandir(program_folder, &entries, is_program, alphasort) : 0;
    if (found > (int)(PROGRAMS_MAX - programs))
        fail("%s has %d programs, at most %d can run", folder, found, (int)(PROGRAMS_MAX - programs));
    for (int i = 0; i < found; i++)
        program_append(entries[i]->d_name, group, table, count++);
    return count;
}
