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

void json_text(const char *name, const char *text)
{
    console_print(",\"%s\":", name);
    json_print(text);
}

void json_params(const char *name, const struct params *params)
{
    char text[PARAMS_TEXT];
    params_text(params, text, sizeof(text));
    json_text(name, text);
}

static void print_word(const char *name, const struct params *params, unsigned index)
{
    char word[80];
    params_format(params, index, word, sizeof(word));
    console_print("\"%s\":", name);
    json_print(word);
    console_print(",");
}

static void print_row(const struct effect *e, const struct effect_row *row)
{
    console_print("{");
    print_word("asked", &e->asked, row->param);
    if (!row->stays)
        print_word("instead", &e->now, row->param);
    console_print("\"by\":\"%s\",\"why\":", row->cause == BY_MACHINE ? "machine" : "configuration");
    json_print(row->why);
    console_print("}");
}

void json_effects(const struct effect *e)
{
    const char *separator = "";
    console_print(",\"without_effect\":[");
    for (unsigned i = 0; i < effect_rows_count; i++) {
        if (!(e->found & BIT(i)))
            continue;
        console_print("%s", separator);
        print_row(e, &effect_rows[i]);
        separator = ",";
    }
    console_print("]");
}
