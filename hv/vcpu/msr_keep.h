// MSRs that a guest writes without an exit, and that VM entry and exit do not switch: their values before the
// first guest, for every further one.
#pragma once

// Reads their values, once, before the first guest.
void msr_keep(void);

// Writes them back.
void msr_keep_restore(void);
