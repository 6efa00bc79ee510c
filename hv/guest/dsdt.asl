// The guest's DSDT: what Linux cannot find by itself in a machine without PCI and legacy devices.
// One processor (the same _UID as in the MADT), one serial port, the clock, power-off: the first element of \_S5 is SLP_TYP.
#include "guest_ports.h"
DefinitionBlock ("", "DSDT", 2, "PENUMB", "PENUMBRA", 0x00000001)
{
    Name (\_S5, Package (0x04) { ACPI_S5_SLP_TYP, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (CPU0)
        {
            Name (_HID, "ACPI0007")
            Name (_UID, Zero)
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, One)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, GUEST_COM1_PORT, GUEST_COM1_PORT, 0x01, 0x08)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { GUEST_COM1_PIN }
            })
        }

        // Its interrupt is not there: a driver has no alarms.
        Device (RTC0)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, GUEST_RTC_PORT, GUEST_RTC_PORT, 0x01, 0x02)
            })
        }
    }
}
