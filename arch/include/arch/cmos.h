// The host's real-time clock, read once: the MC146818 behind ports 70H and 71H.
#pragma once

#include <arch/types.h>

#define CMOS_BYTES 64u // that every such clock has

// Copies the registers at a moment when the clock does not change them. Takes up to some milliseconds.
// ERR_ABSENT: there is no clock, or it does not come to rest.
int cmos_read(u8 byte[CMOS_BYTES]) must_check;
