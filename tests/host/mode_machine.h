// A machine of fake_machine.h with both back ends, whose mode may change. Programs that use it link both.
#pragma once

#include "fake_machine.h"

// `on`: mmu.switch=on; `churn`: mmu.churn=. Under EPT.
void mode_machine_start(struct vcpu *v, bool on, u32 churn);

// What follows an exit: as the dispatcher does it.
void mode_machine_exit(struct vcpu *v);

// The mode becomes what the words say, which is possible, and the guest can be entered.
void mode_machine_ask(struct vcpu *v, const char *words);
