// See params.h. Pure: also on the host. All that differs between parameters is in params.def.
#include <arch/console.h>
#include <arch/lib.h>
#include <arch/panic.h>
#include <hv/p2m.h>
#include "guest_map.h"
#include "params.h"

enum param_kind { PARAM_WORDS, PARAM_SIZE, PARAM_NUMBER, PARAM_PORT, PARAM_LIST };
enum param_scope { ONCE, EACH, MODE, SECRET };

struct param {
    const char *name;
    enum param_scope scope;
    enum param_kind kind;
    const char *initial;
    u64 lowest, highest;
};
struct word {
    unsigned param;
    u64 value;
    const char *text;
};

static const struct param table[PARAMS_COUNT] = {
#define PARAM(field, type, name, scope, kind, initial, lowest, highest, help) \
    [PARAM_INDEX_##field] = {name, scope, kind, initial, lowest, highest},
#define WORD(...)
#include "params.def"
#undef PARAM
#undef WORD
};

static const struct word words[] = {
#define PARAM(...)
#define WORD(field, value, text) {PARAM_INDEX_##field, value, text},
#include "params.def"
#undef PARAM
#undef WORD
};

// A value on its way from text or to it is a u64.
#define PARAM(field, type, name, scope, kind, initial, lowest, highest, help) \
    _Static_assert((u64)(type)(highest) == (highest), name "= has numbers that its type has not");
#define WORD(...)
#include "params.def"
#undef PARAM
#undef WORD

u64 params_value(const struct params *params, unsigned index)
{
    const u64 values[PARAMS_COUNT] = {
#define PARAM(field, ...) [PARAM_INDEX_##field] = (u64)params->field,
#define WORD(...)
#include "params.def"
#undef PARAM
#undef WORD
    };
    return values[index];
}

void params_set(struct params *params, unsigned index, u64 value)
{
    switch (index) {
#define PARAM(field, type, ...)      \
    case PARAM_INDEX_##field:        \
        params->field = (type)value; \
        break;
#define WORD(...)
#include "params.def"
#undef PARAM
#undef WORD
    }
}

// A piece of text that is being written, cut where the buffer ends.
struct text {
    char *buffer;
    size_t size;
    size_t length;
};

static void put(struct text *text, const char *format, ...) printf_like(2);
static void put(struct text *text, const char *format, ...)
{
    size_t used = text->length < text->size ? text->length : text->size - 1;
    va_list args;
    va_start(args, format);
    text->length += (size_t)fmtv(text->buffer + used, text->size - used, format, args);
    va_end(args);
}

static void put_size(struct text *text, u64 bytes)
{
    if (bytes % GIB == 0)
        put(text, "%lluG", (unsigned long long)(bytes / GIB));
    else if (bytes % MIB == 0)
        put(text, "%lluM", (unsigned long long)(bytes / MIB));
    else
        put(text, "%lluK", (unsigned long long)(bytes / KIB));
}

static void put_number(struct text *text, enum param_kind kind, u64 value)
{
    if (kind == PARAM_SIZE)
        put_size(text, value);
    else
        put(text, kind == PARAM_PORT ? "0x%lx" : "%lu", value);
}

static void put_valid(struct text *text, unsigned index)
{
    const struct param *param = &table[index];
    const char *separator = "";
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (words[i].param != index)
            continue;
        put(text, "%s%s", separator, words[i].text);
        separator = "|";
    }
    if (param->kind == PARAM_LIST)
        put(text, " or configurations, separated by `/', of words, separated by `,'");
    if (param->kind == PARAM_WORDS || param->kind == PARAM_LIST)
        return;
    put(text, "%sa number from ", *separator ? " or " : "");
    put_number(text, param->kind, param->lowest);
    put(text, " to ");
    put_number(text, param->kind, param->highest);
    put(text, "%s", param->kind == PARAM_SIZE ? " in steps of 4K" : "");
}

static bool value_of(unsigned index, const char *string, u64 *value)
{
    const struct param *param = &table[index];
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (words[i].param == index && !strcmp(words[i].text, string)) {
            *value = words[i].value;
            return true;
        }
    }
    if (param->kind == PARAM_LIST) {
        *value = COMPARE_LIST;
        return *string;
    }
    if (param->kind == PARAM_WORDS || !parse_number(string, value))
        return false;
    if (param->kind == PARAM_SIZE && *value % PAGE_SIZE)
        return false;
    return *value >= param->lowest && *value <= param->highest;
}

// `origin`: where the value stands in the command line.
static bool take_value(struct params *params, unsigned index, const char *string, const char *origin)
{
    u64 value;
    if (!value_of(index, string, &value))
        return false;
    params_set(params, index, value);
    if (table[index].kind == PARAM_LIST)
        params->compare_list = origin;
    return true;
}

static void set_defaults(struct params *params)
{
    for (unsigned i = 0; i < PARAMS_COUNT; i++)
        assert_that(take_value(params, i, table[i].initial, NULL));
}

bool params_is_default(const struct params *params, unsigned index)
{
    u64 value;
    assert_that(value_of(index, table[index].initial, &value));
    return params_value(params, index) == value;
}

static int refuse_name(struct text *text, const char *word)
{
    put(text, "There is no parameter `%s': the parameters are", word);
    for (unsigned i = 0; i < PARAMS_COUNT; i++)
        put(text, " %s=", table[i].name);
    put(text, ".");
    return ERR_INVALID;
}

static int refuse_value(struct text *text, unsigned index, const char *value)
{
    put(text, "%s= cannot be `%s': it takes ", table[index].name, value);
    put_valid(text, index);
    put(text, ".");
    return ERR_INVALID;
}

static unsigned index_of(const char *word, size_t length)
{
    unsigned i = 0;
    while (i < PARAMS_COUNT && (strlen(table[i].name) != length || strncmp(table[i].name, word, length)))
        i++;
    return i;
}

// One word, which stands at `origin` in the command line. Its parameter's index into *found.
static int set_word(struct params *params, const char *word, const char *origin, unsigned *found,
                    struct text *text)
{
    const char *equals = strchr(word, '=');
    unsigned index = equals ? index_of(word, (size_t)(equals - word)) : PARAMS_COUNT;
    if (index == PARAMS_COUNT)
        return refuse_name(text, word);
    const char *value = equals + 1;
    if (!take_value(params, index, value, origin + (value - word)))
        return refuse_value(text, index, value);
    *found = index;
    return 0;
}

// The one word that stands for others.
static const char *const mmu_auto[] = {"mmu.switch=on", "mmu.auto=on"};

static bool is_mmu_auto(const char *word)
{
    return !strcmp(word, "mmu=auto");
}

static int parse_word(struct params *params, u64 *seen, const char *word, const char *origin,
                      struct text *text)
{
    if (is_mmu_auto(word))
        return parse_word(params, seen, mmu_auto[0], origin, text) ||
               parse_word(params, seen, mmu_auto[1], origin, text);
    struct params changed = *params;
    unsigned index;
    if (set_word(&changed, word, origin, &index, text))
        return ERR_INVALID;
    if (*seen & BIT(index)) {
        put(text, "%s= is given more than once: leave one of them.", table[index].name);
        return ERR_INVALID;
    }
    *seen |= BIT(index);
    *params = changed;
    return 0;
}

int params_change(struct params *params, const char *word, char *message, size_t size)
{
    if (is_mmu_auto(word)) {
        int error = params_change(params, mmu_auto[0], message, size);
        return error ? error : params_change(params, mmu_auto[1], message, size);
    }
    struct text text = {message, size, 0};
    struct params changed = *params;
    unsigned index;
    if (set_word(&changed, word, word, &index, &text))
        return ERR_INVALID;
    if (table[index].scope != EACH && table[index].scope != MODE) {
        put(&text, "%s= cannot differ between configurations: give it as a word of its own.",
            table[index].name);
        return ERR_INVALID;
    }
    *params = changed;
    return 0;
}

int params_same_but_mode(const struct params *params, const struct params *other, char *message, size_t size)
{
    for (unsigned i = 0; i < PARAMS_COUNT; i++) {
        if (table[i].scope == MODE || params_value(params, i) == params_value(other, i))
            continue;
        fmt(message, size, "%s= cannot change while the guest runs: boot with it.", table[i].name);
        return ERR_INVALID;
    }
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

// Copies the next word, and returns where it begins; NULL at the end. One that does not fit ends in "...",
// which no valid word does but a list of configurations, which is read where it stands.
static const char *next_word(const char **line, char *word, size_t size)
{
    size_t length = 0;
    while (is_space(**line))
        (*line)++;
    const char *begin = *line;
    if (!*begin)
        return NULL;
    for (; **line && !is_space(**line); (*line)++, length++) {
        if (length + 1 < size)
            word[length] = **line;
    }
    if (length < size)
        word[length] = 0;
    else
        memcpy(word + size - 4, "...", 4);
    return begin;
}

int params_parse(struct params *params, const char *command_line, char *message, size_t size)
{
    _Static_assert(PARAMS_COUNT <= 64, "the set of names seen is one u64");
    struct text text = {message, size, 0};
    char word[80];
    u64 seen = 0;
    set_defaults(params);
    for (const char *begin; (begin = next_word(&command_line, word, sizeof(word)));) {
        if (parse_word(params, &seen, word, begin, &text))
            return ERR_INVALID;
    }
    return 0;
}

int params_text(const struct params *params, char *buffer, size_t size)
{
    struct text text = {buffer, size, 0};
    char one[PARAMS_TEXT];
    for (unsigned i = 0; i < PARAMS_COUNT; i++) {
        if (table[i].scope == SECRET)
            continue;
        params_format(params, i, one, sizeof(one));
        put(&text, "%s%s", text.length ? " " : "", one);
    }
    return (int)text.length;
}

static void put_word(struct text *text, const char *word)
{
    for (; *word && !is_space(*word); word++)
        put(text, "%c", *word);
}

int params_format(const struct params *params, unsigned index, char *buffer, size_t size)
{
    struct text text = {buffer, size, 0};
    u64 value = params_value(params, index);
    put(&text, "%s=", table[index].name);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (words[i].param == index && words[i].value == value) {
            put(&text, "%s", words[i].text);
            return (int)text.length;
        }
    }
    if (table[index].kind == PARAM_LIST)
        put_word(&text, params->compare_list);
    else
        put_number(&text, table[index].kind, value);
    return (int)text.length;
}
