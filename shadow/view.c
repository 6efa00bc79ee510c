// Which tables the processors use as their roots. See view.h.
#include "view.h"

void view_set_root(struct shadow_view *view, u32 table)
{
    struct shadow *s = view->s;
    bool unpaged = table != SHADOW_NONE && s->tables[table].level != WALK_LEVELS;
    s->unpaged += unpaged;
    s->unpaged -= view->unpaged;
    s->unsettled |= unpaged;
    view->unpaged = unpaged;
    view_switch_root(view, table);
}

void view_change_controls(struct shadow *s)
{
    for (struct shadow_view *view = s->views; view; view = view->next)
        view->control_changes++;
}

void view_drop_root(struct shadow *s, u32 table)
{
    for (struct shadow_view *view = s->views; view; view = view->next) {
        if (view->root == table)
            view_set_root(view, SHADOW_NONE);
    }
}
