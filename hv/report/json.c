// See json.h.
#include <arch/console.h>
#include <arch/types.h>

#include "json.h"

void json_line(const char *what)
{
    console_print("{\"penumbra\":\"%s\",\"word\":\"%s\"", what, console_word());
}

void json_print(const char *text)
{
    console_print("\"");
    for (; *text; text++) {
        if ((u8)*text < ' ' || (u8)*text > '~' || *text == '"' || *text == '\\')
            console_print("\\u%04x", (u8)*text);
        else
            console_print("%c", *text);
    }
    console_print("\"");
}

void json_params(const char *name, const struct params *params)
{
    char text[PARAMS_TEXT];
    params_text(params, text, sizeof(text));
    console_print(",\"%s\":", name);
    json_print(text);
}
