// What the guest cost: counters as a table for people, and as one line of JSON for programs.
#pragma once

#include "../vm.h"

void summary_table(struct vm *vm);
void summary_json(struct vm *vm);
