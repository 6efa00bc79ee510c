// The basic exit reasons, by the rows of exits.def.
#pragma once

#include <arch/types.h>

enum exit_reason {
#define EXIT(number, name, handler, flags) EXIT_##name = number,
#include "exits.def"
#undef EXIT
};

// The name of a basic exit reason, or "?".
const char *exit_name(unsigned reason);

// Whether there can be exits of this reason that do not stop the guest.
bool exit_is_handled(unsigned reason);
