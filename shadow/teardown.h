// Tables that the guest tears down: dropped with what led to them and what lies below, so that the rest of
// the teardown need not be seen.
#pragma once

#include "format.h"

// A table that no entry points to any more stands for a page that the guest is about to use for something
// else: it goes.
void teardown_orphan(struct shadow *s, u32 table);

// The table that the guest's entry of level 2, in `table`, led to goes, if it is apart.
void teardown_apart(struct shadow *s, u32 table, u64 guest_entry);

// A table that leads nowhere any more goes, and what led to it if that now leads nowhere either.
void teardown_empty(struct shadow *s, u32 table);

// The guest has taken away an entry of this user's table of level 1 by a plain store, as if nobody else could
// use it any more: all that its roots have for users goes, and these roots, which the guest is about to
// write, go out of sync. Not if such guesses were wrong lately. False: the table is still there.
bool teardown_begins(struct shadow *s, u32 table);

// This entry of a root for which teardown_begins has guessed so is used: in the user's half that refutes it.
void teardown_refuted(struct shadow *s, u32 id);

// Whether the guest has emptied the user's half of this root, which is not in use, since teardown_begins:
// then it goes.
bool teardown_ends(struct shadow *s, u32 table);
