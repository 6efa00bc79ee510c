// What a person types on the host console: bytes for the guest's UART, or commands after the escape key
// Ctrl-A.
#pragma once

#include "verdict.h"

// Reads the host console until it is empty. Sets *any if there was something. VERDICT_STOP if the person said
// so.
enum verdict keys_read(struct vcpu *v, bool *any);
