// What the kernel tells in text files: lines that begin with a key.
#pragma once
#include <stddef.h>
#include <stdint.h>

// What follows the key, blanks and a colon on the first line that begins with it, without the line's end; ""
// where there is no such line or no such file. The key "" finds the first line. The text lasts until the next
// call.
const char *proc_text(const char *file, const char *key);

// The same as a number; 0 where there is none.
uint64_t proc_number(const char *file, const char *key);
