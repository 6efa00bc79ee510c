// Root loads.
#pragma once

#include "format.h"

// Makes the table for the guest's root the view's. The VPID to run under: see shadow_load_root.
u16 root_load(struct shadow_view *view);

// What CR3 is to hold for the root in use.
u64 root_address(const struct shadow_view *view);
