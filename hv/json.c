// See json.h. Pure.
#include "json.h"

void json_quote(char *buffer, size_t size, const char *text)
{
    size_t length = 0;
    buffer[length++] = '"';
    for (; *text && length + 4 <= size; text++) { // room for two characters, the quote and the NUL
        bool printable = *text >= ' ' && *text <= '~';
        if (*text == '"' || *text == '\\')
            buffer[length++] = '\\';
        buffer[length++] = printable ? *text : '?';
    }
    buffer[length++] = '"';
    buffer[length] = 0;
}
