// One access of the guest's to a device, at a port or in a page: what each row of devices.c gets.
#pragma once

#include <hv/vcpu.h>

#include "verdict.h"

struct device_access {
    u64 at;         // port, or gpa
    unsigned bytes; // 1, 2 or 4; in a page also 8, and aligned
    u64 value;      // of a write
};
