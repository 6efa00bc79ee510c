// The monitor's version: written by the Makefile, and compiled here alone.
#include "machine.h"
#include "version.h"

const char machine_monitor_version[] = MONITOR_VERSION;
