// The configurations of a comparison: the list that compare= gives, as parameters of each run. Pure; running
// them is compare.c's work.
#pragma once

#include "params.h"

#define CONFIGURATIONS_MAX 16

// What compare=default stands for.
#define CONFIGURATIONS_DEFAULT "ept/ept,vpid=off/ept,p2m.max=4k/adaptive/adaptive,vpid=off/trace/lazy/eager"

#define CONFIGURATION_TEXT 64 // bytes, with the NUL
struct configuration {
    char name[CONFIGURATION_TEXT]; // as it was written
    struct params params;
    bool by_switch; // not asked for: stands for all that differ from it in mode alone, in one boot
};

struct configurations {
    unsigned count;
    struct configuration list[CONFIGURATIONS_MAX];
};

// Reads params->compare, which is not COMPARE_OFF. Configurations are separated by `/', their words by `,'. A
// word is a parameter of scope EACH, or short for some: `ept', `shadow', and a strategy's name for shadow
// paging by it. What a configuration does not say is as in *params. ERR_INVALID with one sentence in
// message[size]: a word that is none, an empty configuration, one given twice, too many, too long.
int configurations_read(struct configurations *c, const struct params *params, char *message,
                        size_t size) must_check;

// Makes the list of boots of the list that was asked for, as compare.how= says. Configurations that differ in
// nothing but the mode, and there are at least two, are one boot more with mmu.switch=on, called switch,
// switch-2 ...; with COMPARE_SWITCH no boots of their own. The first of them under EPT with pcid=on has one
// all the same, but with shadow.pcid=on: else a guest has no PCID while the mode can change. ERR_INVALID with
// one sentence in message[size]: too many.
int configurations_boots(struct configurations *boots, const struct configurations *asked,
                         enum compare_how how, char *message, size_t size) must_check;

// Whether the boot, of by_switch, stands for this configuration.
bool configuration_by_switch(const struct configuration *boot, const struct configuration *c);

// The one with exactly this name, or NULL.
const struct configuration *configurations_find(const struct configurations *all, const char *name);

// Changes *params by the words of a mode, as a configuration has them. ERR_INVALID with one sentence in
// message[size], also where a word is of a parameter that may not change while a guest runs: *params is as
// before.
int mode_read(struct params *params, const char *words, char *message, size_t size) must_check;
