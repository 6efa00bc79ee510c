// Text as JSON. Nothing else of JSON needs more than printf().
#pragma once
#include <stdio.h>

// Writes the text as a string with its quotes. What is not printable ASCII is escaped, byte by byte, so that
// whatever a program prints stays one line.
void json_string(FILE *out, const char *text);

// Writes a comma, the key with its quotes, a colon and the text as json_string does.
void json_member(FILE *out, const char *key, const char *text);
