// The VMCS in words, for when a VM entry fails.
#pragma once

// Logs every field that the processor has, by name.
void vmcs_dump(void);

// Which of the SDM's checks on guest state (vol. 3, 27.3.1) fails, as far as that can be told.
const char *vmcs_guest_state_problem(void);
