// Lines of JSON: their beginning, and text in them.
#pragma once

#include "effect.h"

// Begins one of the monitor's lines: an object with its name and the word by which it is known from a
// guest's.
void json_line(const char *what);

// Prints `text` as a JSON string, with its quotes. It may hold whatever a guest or a firmware has made of it:
// bytes that are no printable ASCII are escaped.
void json_print(const char *text);

// Prints a further member of an object: its name, and its text as a JSON string.
void json_text(const char *name, const char *text);

// Prints a further member of an object, "without_effect": what of the parameters does nothing.
void json_effects(const struct effect *e);

// Prints a further member of an object: its name, and all parameters but those that are secret as one text.
void json_params(const char *name, const struct params *params);
