// A comparison: the same guest under one configuration after the other, in one boot.
#pragma once

#include "configurations.h"
#include "results.h"
#include "run.h"

// What came of one configuration, in all rounds.
struct outcome {
    char why[256]; // it could not run: one sentence; else why its guest ended, the first time that it failed
                   // or else last
    bool refused;
    bool failed;          // a guest ended by a mistake, its own or ours
    struct effect effect; // what of the configuration takes effect here
    struct results results;
};

struct comparison {
    struct configurations asked;          // as compare= has them
    struct configurations configurations; // what is booted: configurations_boots
    struct configurations turns;          // of the present run: what its guest measures by turns
    struct effect turn_effects[CONFIGURATIONS_MAX];
    struct outcome outcomes[CONFIGURATIONS_MAX];
};

// Runs all, `rounds` times one after the other, each announced by a line and followed by its summary; at the
// end the table, and the results as lines of JSON. A configuration that the machine cannot run, or whose
// guest fails, does not keep the others from it.
void compare_run(struct comparison *c, unsigned rounds, struct vm *vm, struct host *host);

// The table, for a screen of 80 columns.
void compare_table(struct comparison *c);

// All that came of it, as few lines of JSON: the machine, and each configuration with its results. The lines
// of each run are not among them.
void compare_json(const struct comparison *c, unsigned rounds, const struct host *host);
