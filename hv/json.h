// Text in JSON.
#pragma once

// Prints `text` as a JSON string, with its quotes. It may hold whatever a guest or a firmware has made of it:
// bytes that are no printable ASCII are escaped.
void json_print(const char *text);
