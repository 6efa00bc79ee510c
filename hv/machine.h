// What a reader of measurements must know of the machine that they were made on, as one line of JSON for
// programs: raw registers and tables, which iso/report names. iso/report/README.md has its members.
#pragma once

#include "host.h"

// The monitor's own version, as git describes it.
extern const char machine_monitor_version[];

// Begins the line: all that is known of the machine by now. Of what has not been found out yet it says
// nothing, or 0. The caller may add members, and ends the line. With the traps in place.
void machine_json_begin(const struct host *host);
void machine_json_end(void);
