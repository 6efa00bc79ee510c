// What the guest has sent to the console, as far as it changes where and how the monitor's own text would
// appear. Pure. The console (console.c) asks before it writes a text of the monitor's behind bytes of the
// guest's.
#pragma once

#include <arch/types.h>

// A zeroed one has sent nothing.
struct guest_stream {
    u8 before, last; // the last two bytes
    bool sent;
    bool altered; // an escape sequence may be open, or the terminal may not be as it was
};

// The guest's next byte, which goes to the console as it is.
void guest_stream_take(struct guest_stream *s, u8 byte);

// What brings a terminal to the beginning of a fresh line, whatever the guest has sent: "" if it is there.
// Nothing of the guest's can then be open, hide what follows, stand in the same line, or put it among older
// lines. From then on the guest has sent nothing.
const char *guest_stream_end(struct guest_stream *s);
