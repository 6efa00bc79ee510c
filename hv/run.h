// One guest from nothing to its end, under one set of parameters. Several may run one after the other: each
// begins with zeroed memory, devices and processor state, as after a reset, and leaves nothing to the next.
#pragma once

#include "host.h"
#include "vm.h"

// What this machine lacks for these parameters, as one sentence with the remedy, or NULL. Changes nothing.
// After vmx_missing.
const char *run_missing(const struct params *params, const struct host *host);

// Finds out what of effect->asked takes effect on this machine (effect_choose), and says what does not. After
// run_missing, which has found nothing, and host_start.
void run_choose(struct effect *effect, const struct host *host);

// Makes the virtual machine and loads the guest that the boot loader's modules describe. NULL, or one
// sentence with the remedy: then, too, run_release follows. After run_choose and frames_keep, in VMX
// operation.
const char *run_prepare(struct vm *vm, struct host *host, const struct effect *effect);

// Runs the guest until it ends; vm->end says why. After a machine check host->machine_check is set, and
// run_missing refuses whatever is to run next.
void run_guest(struct vm *vm, struct host *host);

// Frees all that the guest had. *vm still tells what came of it, until run_prepare, but not its counters: the
// back end is gone.
void run_release(struct vm *vm, struct host *host);
