// The eager strategy.
#pragma once

#include "format.h"

// Builds all that the guest has used under the view's root.
void eager_build(struct shadow_view *view);
