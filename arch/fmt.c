// Text formatting and number parsing: the pure part of arch/lib.h. Compiles on the host too.
#include <arch/lib.h>

struct sink {
    char *buffer;
    size_t size;
    size_t length;
};

static void put(struct sink *s, char c)
{
    if (s->length + 1 < s->size)
        s->buffer[s->length] = c;
    s->length++;
}

static void put_repeated(struct sink *s, char c, int count)
{
    for (; count > 0; count--)
        put(s, c);
}

struct spec {
    bool left;
    bool zeros;
    int width;
    int precision; // -1: none
    int longs;
};

static void put_field(struct sink *s, const struct spec *spec, const char *text, int length)
{
    int pad = spec->width - length;
    if (!spec->left)
        put_repeated(s, ' ', pad);
    for (int i = 0; i < length; i++)
        put(s, text[i]);
    if (spec->left)
        put_repeated(s, ' ', pad);
}

static void put_number(struct sink *s, struct spec *spec, u64 value, unsigned base, const char *digits,
                       bool negative)
{
    char text[24];
    int at = sizeof(text);
    do {
        text[--at] = digits[value % base];
        value /= base;
    } while (value);
    int length = (int)sizeof(text) - at;
    if (spec->zeros && !spec->left) {
        if (negative)
            put(s, '-');
        put_repeated(s, '0', spec->width - length - negative);
        spec->width = 0;
    } else if (negative) {
        text[--at] = '-';
        length++;
    }
    put_field(s, spec, text + at, length);
}

static u64 next_unsigned(const struct spec *spec, va_list *args)
{
    return spec->longs ? va_arg(*args, u64) : va_arg(*args, unsigned);
}

static s64 next_signed(const struct spec *spec, va_list *args)
{
    return spec->longs ? va_arg(*args, s64) : va_arg(*args, int);
}

static int read_count(const char **format, va_list *args)
{
    int count = 0;
    if (**format == '*') {
        (*format)++;
        return va_arg(*args, int);
    }
    for (; **format >= '0' && **format <= '9'; (*format)++)
        count = count * 10 + (**format - '0');
    return count;
}

static struct spec read_spec(const char **format, va_list *args)
{
    struct spec spec = {.precision = -1};
    for (;; (*format)++) {
        if (**format == '-')
            spec.left = true;
        else if (**format == '0')
            spec.zeros = true;
        else
            break;
    }
    spec.width = read_count(format, args);
    if (spec.width < 0) { // of `*`: the flag `-` and the width
        spec.left = true;
        spec.width = -spec.width;
    }
    if (**format == '.') {
        (*format)++;
        spec.precision = read_count(format, args);
    }
    for (; **format == 'l' || **format == 'z'; (*format)++)
        spec.longs++;
    return spec;
}

static void put_string(struct sink *s, const struct spec *spec, const char *text)
{
    int length = 0;
    while ((spec->precision < 0 || length < spec->precision) && text[length])
        length++;
    put_field(s, spec, text, length);
}

static void put_conversion(struct sink *s, struct spec *spec, char conversion, va_list *args)
{
    static const char lower[] = "0123456789abcdef";
    static const char upper[] = "0123456789ABCDEF";
    s64 number;
    char c;
    switch (conversion) {
    case 'd':
        number = next_signed(spec, args);
        put_number(s, spec, number < 0 ? -(u64)number : (u64)number, 10, lower, number < 0);
        break;
    case 'u':
        put_number(s, spec, next_unsigned(spec, args), 10, lower, false);
        break;
    case 'x':
        put_number(s, spec, next_unsigned(spec, args), 16, lower, false);
        break;
    case 'X':
        put_number(s, spec, next_unsigned(spec, args), 16, upper, false);
        break;
    case 'p':
        put_number(s, spec, (uintptr_t)va_arg(*args, void *), 16, lower, false);
        break;
    case 's':
        put_string(s, spec, va_arg(*args, const char *));
        break;
    case 'c':
        c = (char)va_arg(*args, int);
        put_field(s, spec, &c, 1);
        break;
    default:
        put(s, conversion);
    }
}

int fmtv(char *buffer, size_t size, const char *format, va_list args)
{
    struct sink s = {buffer, size, 0};
    va_list copy;
    va_copy(copy, args);
    while (*format) {
        if (*format != '%') {
            put(&s, *format++);
            continue;
        }
        format++;
        struct spec spec = read_spec(&format, &copy);
        if (!*format)
            break;
        put_conversion(&s, &spec, *format++, &copy);
    }
    va_end(copy);
    buffer[s.length < size ? s.length : size - 1] = 0;
    return (int)s.length;
}

int fmt(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = fmtv(buffer, size, format, args);
    va_end(args);
    return length;
}

void fmt_mark_cut(char *buffer, size_t size, int length)
{
    static const char mark[] = "...";
    if ((size_t)length >= size && size >= sizeof(mark))
        memcpy(buffer + size - sizeof(mark), mark, sizeof(mark));
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

static unsigned suffix_shift(char c)
{
    switch (c) {
    case 'k':
    case 'K':
        return 10;
    case 'm':
    case 'M':
        return 20;
    case 'g':
    case 'G':
        return 30;
    default:
        return 0;
    }
}

bool parse_number(const char *text, u64 *value)
{
    unsigned base = 10;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    if (digit_of(*text) >= (int)base)
        return false;
    u64 number = 0;
    for (; digit_of(*text) < (int)base; text++) {
        if (__builtin_mul_overflow(number, (u64)base, &number) ||
            __builtin_add_overflow(number, (u64)digit_of(*text), &number))
            return false;
    }
    unsigned shift = suffix_shift(*text);
    if (shift) {
        if (number << shift >> shift != number)
            return false;
        number <<= shift;
        text++;
    }
    *value = number;
    return *text == 0;
}
