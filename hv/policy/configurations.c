// See configurations.h.
#include <arch/lib.h>

#include "configurations.h"

static const struct {
    const char *word;
    const char *stands_for[2];
} short_words[] = {
    {"ept", {"mmu=ept"}},
    {"shadow", {"mmu=shadow"}},
    {"auto", {"mmu=auto"}},
#define STRATEGY(name, word, traces) {word, {"mmu=shadow", "shadow=" word}},
#include <hv/strategies.def>
};

struct reader {
    struct configurations *all;
    char *message;
    size_t size;
};

static int change(struct params *params, const char *word, char *message, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(short_words); i++) {
        if (strcmp(word, short_words[i].word))
            continue;
        const char *const *stands_for = short_words[i].stands_for;
        int error = params_change(params, stands_for[0], message, size);
        if (!error && stands_for[1])
            error = params_change(params, stands_for[1], message, size);
        return error;
    }
    return params_change(params, word, message, size);
}

// Words that commas join, one after the other.
static int read_words(struct params *params, const char *words, char *message, size_t size)
{
    char text[CONFIGURATION_TEXT];
    fmt(text, sizeof(text), "%s", words);
    for (char *word = text, *comma; word; word = comma ? comma + 1 : NULL) {
        comma = (char *)(uintptr_t)strchr(word, ',');
        if (comma)
            *comma = 0;
        if (change(params, word, message, size))
            return ERR_INVALID;
    }
    return 0;
}

int mode_read(struct params *params, const char *words, char *message, size_t size)
{
    struct params changed = *params;
    if (read_words(&changed, words, message, size) || params_same_but_mode(params, &changed, message, size))
        return ERR_INVALID;
    *params = changed;
    return 0;
}

static int refuse(const struct reader *r, const char *why, const char *name)
{
    fmt(r->message, r->size, "compare=: %s: %s", why, name);
    return ERR_INVALID;
}

static int read_one(const struct reader *r, const struct params *params, const char *begin, size_t length)
{
    struct configurations *all = r->all;
    if (all->count == CONFIGURATIONS_MAX)
        return refuse(r, "more than 16 configurations, leave some out", begin);
    struct configuration *c = &all->list[all->count];
    if (!length || length >= sizeof(c->name))
        return refuse(r, "a configuration is empty or longer than 63 characters", begin);
    memset(c, 0, sizeof(*c));
    memcpy(c->name, begin, length);
    for (unsigned i = 0; i < all->count; i++) {
        if (!strcmp(all->list[i].name, c->name))
            return refuse(r, "given twice, leave one of them", c->name);
    }
    c->params = *params;
    if (read_words(&c->params, c->name, r->message, r->size))
        return ERR_INVALID;
    all->count++;
    return 0;
}

static bool ends(char c)
{
    return !c || c == ' ' || c == '\t';
}

int configurations_read(struct configurations *c, const struct params *params, char *message, size_t size)
{
    const struct reader r = {c, message, size};
    const char *at = params->compare == COMPARE_DEFAULT ? CONFIGURATIONS_DEFAULT : params->compare_list;
    c->count = 0;
    for (;;) {
        const char *end = at;
        while (!ends(*end) && *end != '/')
            end++;
        if (read_one(&r, params, at, (size_t)(end - at)))
            return ERR_INVALID;
        if (ends(*end))
            return 0;
        at = end + 1;
    }
}

// Whether one guest can have both.
static bool alike(const struct params *one, const struct params *other)
{
    char message[160]; // of which parameter does not matter
    struct params a = *one, b = *other;
    a.mmu_switch = b.mmu_switch = true;
    return !params_same_but_mode(&a, &b, message, sizeof(message));
}

bool configuration_by_switch(const struct configuration *boot, const struct configuration *c)
{
    return boot->by_switch && alike(&boot->params, &c->params);
}

const struct configuration *configurations_find(const struct configurations *all, const char *name)
{
    for (unsigned i = 0; i < all->count; i++) {
        if (!strcmp(all->list[i].name, name))
            return &all->list[i];
    }
    return NULL;
}

static unsigned partners(const struct configurations *all, unsigned first, const struct params *params)
{
    unsigned count = 0;
    for (unsigned i = first; i < all->count; i++)
        count += alike(&all->list[i].params, params);
    return count;
}

static int boot_add(struct configurations *boots, const struct configuration *c, char *message, size_t size)
{
    if (boots->count == CONFIGURATIONS_MAX) {
        fmt(message, size, "compare=: with compare.how= these are more than 16 boots, leave some out");
        return ERR_INVALID;
    }
    boots->list[boots->count++] = *c;
    return 0;
}

static int switches_add(struct configurations *boots, const struct configurations *asked, char *message,
                        size_t size)
{
    unsigned number = 0;
    for (unsigned i = 0; i < asked->count; i++) {
        struct configuration c = {.params = asked->list[i].params, .by_switch = true};
        unsigned all = partners(asked, 0, &c.params);
        if (all < 2 || partners(asked, i, &c.params) < all) // alone, or one before stands for it
            continue;
        c.params.mmu_switch = true;
        number++;
        fmt(c.name, sizeof(c.name), number == 1 ? "switch" : "switch-%u", number);
        if (boot_add(boots, &c, message, size))
            return ERR_INVALID;
    }
    return 0;
}

// While the mode can change a guest has no PCID, but with shadow.pcid=on.
static bool loses_pcid(const struct params *p)
{
    return p->mmu == MMU_EPT && p->pcid && !p->shadow_pcid && !p->mmu_switch;
}

// The first of a boot by switch that loses it: its own boot shows what that is worth.
static bool shows_pcid(const struct configurations *asked, unsigned which)
{
    const struct params *p = &asked->list[which].params;
    for (unsigned i = 0; i < which; i++) {
        if (loses_pcid(&asked->list[i].params) && alike(&asked->list[i].params, p))
            return false;
    }
    return loses_pcid(p);
}

int configurations_boots(struct configurations *boots, const struct configurations *asked,
                         enum compare_how how, char *message, size_t size)
{
    boots->count = 0;
    for (unsigned i = 0; i < asked->count; i++) {
        bool alone = partners(asked, 0, &asked->list[i].params) < 2;
        bool own = how != COMPARE_SWITCH || alone || shows_pcid(asked, i);
        if (own && boot_add(boots, &asked->list[i], message, size))
            return ERR_INVALID;
    }
    return how == COMPARE_BOOT ? 0 : switches_add(boots, asked, message, size);
}
