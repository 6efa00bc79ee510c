// The functions of <string.h> that arch/lib.h promises, and that gcc calls on its own. Formatting is in
// arch/fmt.c. Bulk moves go by quadwords: as fast as bytes on processors with fast strings, and an eighth of
// the steps where every iteration counts (emulators). The copies are asm so that gcc does not make a call of
// memcpy out of memcpy's own loop.
#include <arch/lib.h>

static void copy_up(void *to, const void *from, size_t size)
{
    size_t words = size / 8;
    asm volatile("rep movsq\n\t"
                 "mov %3, %2\n\t"
                 "rep movsb"
                 : "+D"(to), "+S"(from), "+c"(words)
                 : "r"(size % 8)
                 : "memory");
}

static void copy_down(void *to, const void *from, size_t size)
{
    to = (u8 *)to + size - 1;
    from = (const u8 *)from + size - 1;
    asm volatile("std\n\t"
                 "rep movsb\n\t"
                 "cld"
                 : "+D"(to), "+S"(from), "+c"(size)
                 :
                 : "memory");
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    copy_up(to, from, size);
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    bool tail_overlaps = (uintptr_t)to - (uintptr_t)from < size; // unsigned: false if `to` lies below
    if (tail_overlaps && size)
        copy_down(to, from, size);
    else
        copy_up(to, from, size);
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    void *at = to;
    size_t words = size / 8;
    asm volatile("rep stosq\n\t"
                 "mov %3, %1\n\t"
                 "rep stosb"
                 : "+D"(at), "+c"(words)
                 : "a"((u8)byte * 0x0101010101010101ull), "r"(size % 8)
                 : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const u8 *x = a, *y = b;
    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i])
            return x[i] - y[i];
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (((const volatile char *)text)[length]) // volatile: else gcc finds that this loop is strlen
        length++;
    return length;
}

int strncmp(const char *a, const char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i] || !a[i])
            return (u8)a[i] - (u8)b[i];
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *text, int c)
{
    for (; *text != (char)c; text++) {
        if (!*text)
            return NULL;
    }
    return (char *)text;
}
