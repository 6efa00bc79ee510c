// Text in JSON.
#pragma once

#include <arch/types.h>

// Writes `text` as a JSON string, quotes included, what is no ASCII character as `?'. A text that does not
// fit is cut. `size` is at least 3.
void json_quote(char *buffer, size_t size, const char *text);
