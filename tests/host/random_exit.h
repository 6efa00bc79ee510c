// Random exits of random guests against the exit handlers as they are, under both back ends: registers,
// segments, flags, code, exit fields and memory are any, drawn so that the devices, the edges of pages and of
// address spaces, and the guest's own tables are hit often. Each exit is judged: what the guest may see holds
// nothing of the monitor's (and nothing uninitialised, under MemorySanitizer), nothing but the guest's memory
// has changed, the next VM entry is one that a processor takes, and the exit has ended after so much work.
// Neighbours: fake_machine.h has the machine, support.h the random numbers.
#pragma once

// Makes a guest, has `exits` exits of it or fewer (the back end may not go on with it), and takes it away.
void random_guest(unsigned exits);
