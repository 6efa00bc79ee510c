// See hardware.h.
#include "hardware.h"

void hardware_say(enum log_level level, const char *when, u32 apic_id, const struct mca_log *log)
{
    char text[MCA_TEXT];
    for (unsigned i = 0; i < log->count; i++) {
        mca_text(&log->bank[i], text);
        log_message(level, "hardware: %s, processor with local APIC ID %u, %s", when, apic_id, text);
    }
}
