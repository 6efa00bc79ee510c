// The micro-guest from its first C line to its last: start the parts, run the tests, end the machine.
// Under the monitor port 0xF4 ends the guest with the status; bare, Bochs ends at the word written to port
// 0x8900. Neighbours: boot.asm calls this, runner.c runs the tests.
#include "cpu.h"
#include "lapic.h"

void guest_main(u32 magic, u32 info_address);

static void end_machine(u8 status)
{
    uart_drain();
    outb(0xF4, status);
    for (const char *c = "Shutdown"; *c; c++)
        outb(0x8900, (u8)*c);
}

void guest_main(u32 magic, u32 info_address)
{
    uart_start();
    outb(0x21, 0xFF);
    outb(0xA1, 0xFF);
    pages_start();
    traps_start();
    cpu_start();
    info_start(magic, info_address);
    lapic_reset();
    print("# micro-guest: begin\n");
    unsigned failed = tests_run(info.command_line);
    print("# micro-guest: end, %u failed\n", failed);
    end_machine(failed ? 1 : 0);
}
