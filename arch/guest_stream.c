// See guest_stream.h. A guest that sends plain text with whole lines costs nothing, and leaves nothing in a
// log.
#include "guest_stream.h"

// In this order: CAN and ST end what is open (ECMA-48, 8.3.6 and 8.3.143), VT52 mode is left, the main screen
// and its standard attributes come back (xterm's private modes 47, 1047 and 1049; DECSTR: margins, insertion,
// origin, character sets, attributes), G0 is ASCII and in use, lines wrap, margins are the screen's. Then the
// last line, and one more.
#define RESET                                                                                             \
    "\x18\033\\\033<\033[?47l\033[?1047l\033[?1049l\033[!p\033[0m\033(B\x0f\033[4l\033[20l\033[?6l\033[?" \
    "69l\033[?7h"                                                                                         \
    "\033[r\033[999;1H\r\n"

void guest_stream_take(struct guest_stream *s, u8 byte)
{
    bool shifts = byte == 0x0e || byte == 0x0f;
    bool c1 = byte >= 0x80 && byte <= 0x9f; // also inside of UTF-8, which does no harm
    s->altered |= byte == 0x1b || shifts || c1;
    s->before = s->last;
    s->last = byte;
    s->sent = true;
}

static const char *ending(const struct guest_stream *s)
{
    if (s->altered)
        return RESET;
    if (!s->sent || (s->before == '\r' && s->last == '\n'))
        return "";
    return s->last == '\n' ? "\r" : "\r\n";
}

const char *guest_stream_end(struct guest_stream *s)
{
    const char *text = ending(s);
    *s = (struct guest_stream){0};
    return text;
}
