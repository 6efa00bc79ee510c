// What a comparison must have alike on both sides, as the kernel under bench tells it.
#pragma once

// Prints the facts as members of the JSON object whose line is begun: each with a comma before it. Reads
// files and maps a page for a moment: not while something is measured.
void facts_print(void);
