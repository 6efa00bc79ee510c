// Changes of a page of guest memory while the guest runs: to another machine frame, away and back again. They
// are made of p2m.h's, which tell the back end; making a page read-only and writable again is p2m_protect
// itself. They do not decide which page, nor what the guest sees meanwhile: hv/access/churn.c (for tests) and
// shadow/ do.
#pragma once

#include <hv/p2m.h>

// Between two runs of the guest. The page must be P2M_RAM, mapped by this gfn alone: its frame is given away.

// Moves the page to another machine frame, contents and all, and frees the old one. ERR_INVALID: not P2M_RAM.
// ERR_NOMEM: no frame; nothing has changed.
int p2m_move(struct p2m *p, gfn_t g) must_check;

// Takes the page away: P2M_HOLE or P2M_DEVICE (`type`) is there afterwards. Its frame, with its contents, is
// the caller's, who gives it back or frees it. Errors as p2m_move.
int p2m_take(struct p2m *p, gfn_t g, enum p2m_type type, mfn_t *frame) must_check;

// The page whose frame this is: the first that is P2M_RAM there. Looks at every leaf: for what is rare.
// ERR_ABSENT.
int p2m_find(const struct p2m *p, mfn_t frame, gfn_t *g) must_check;

// Puts a frame that p2m_take gave to where nothing of RAM is: P2M_RAM again. ERR_INVALID: there is RAM.
// ERR_NOMEM: no frame for a table (only where no other RAM is near); nothing has changed.
int p2m_give(struct p2m *p, gfn_t g, mfn_t frame) must_check;
