// The memory functions that the compiler and arch/fmt.c call, and the console: COM1 by polling.
// Formatting itself is arch/fmt.c. Neighbour: runner.c prints the results through print().
#include "cpu.h"

#define UART 0x3F8

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *result = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
    return result;
}

void *memset(void *to, int value, size_t size)
{
    void *result = to;
    asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return result;
}

int memcmp(const void *left, const void *right, size_t size)
{
    const u8 *a = left, *b = right;
    for (; size; size--, a++, b++) {
        if (*a != *b)
            return *a - *b;
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

void uart_start(void)
{
    static const u8 program[][2] = {{3, 0x80}, {0, 1}, {1, 0}, {3, 3}, {2, 7}, {4, 0x0B}};
    for (unsigned i = 0; i < ARRAY_SIZE(program); i++)
        outb(UART + program[i][0], program[i][1]);
}

void uart_drain(void)
{
    while ((inb(UART + 5) & 0x60) != 0x60)
        asm volatile("pause");
}

void print(const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    fmtv(line, sizeof(line), format, args);
    va_end(args);
    for (const char *c = line; *c; c++) {
        while (!(inb(UART + 5) & 0x20))
            asm volatile("pause");
        outb(UART, (u8)*c);
    }
}
