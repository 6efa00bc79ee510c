// NMIs: the host console's input comes as one (an NMI exits at once, even from a halted or spinning guest,
// and costs nothing while nobody types); every other NMI is the guest's, and so is each where the console is
// polled (vcpu_run).
#pragma once

#include "verdict.h"

// Takes NMIs that arrived in root mode.
enum verdict nmi_take(struct vcpu *v);
