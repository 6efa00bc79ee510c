// A guest without paging: see unpaged.c.
#pragma once

#include "format.h"

// Takes the frame of the view's PDPT, below 4 GiB, and gives it back. ERR_NOMEM: none is free there.
int unpaged_init(struct shadow_view *view) must_check;
void unpaged_leave(struct shadow_view *view);

// The table that is its root, made if there is none.
u32 unpaged_root(struct shadow *s);

// Gives the processor the root's links, as PDPTEs: before the guest runs, while view->unpaged.
void unpaged_publish(struct shadow_view *view);

// NULL, or what is wrong.
const char *unpaged_audit(const struct shadow_view *view);
