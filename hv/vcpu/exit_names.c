// The names of exit reasons, and which of them have a handler: what tables of exits need of exits.def. Pure.
#include <hv/vcpu.h>

#include "exit_names.h"

static const struct {
    const char *name;
    bool handled;
} reasons[EXIT_REASONS] = {
#define EXIT(number, name, handler, flags) [number] = {#name, sizeof(#handler) != sizeof("0")},
#include "exits.def"
#undef EXIT
};

const char *exit_name(unsigned reason)
{
    return reason < EXIT_REASONS && reasons[reason].name ? reasons[reason].name : "?";
}

bool exit_is_handled(unsigned reason)
{
    return reason < EXIT_REASONS && reasons[reason].handled;
}
