// See finish.h.
#include <arch/power.h>
#include <hv/log.h>

#include "finish.h"

_Noreturn void refuse(const char *sentence)
{
    log_error("Penumbra cannot run here. %s", sentence);
    machine_halt();
}

_Noreturn void finish(const struct host *host, enum on_exit on_exit)
{
    if (on_exit == ON_EXIT_POWEROFF)
        machine_poweroff(&host->acpi);
    if (on_exit == ON_EXIT_REBOOT)
        machine_reboot(&host->acpi);
    machine_halt();
}
