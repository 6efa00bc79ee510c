// The guest's devices behind I/O ports and device pages: who answers where. What has no row reads as ones.
#pragma once

#include "verdict.h"

// Sets the devices up as after reset. `second` is the date and time, as rtc_seconds gives them.
void devices_init(struct vcpu *v, u64 second);

// One access of 1, 2 or 4 bytes to a port; what is read may have further bits set. A write may end the guest:
// VERDICT_STOP, else VERDICT_SKIP.
u32 devices_port_read(struct vcpu *v, u16 port, unsigned bytes);
enum verdict devices_port_write(struct vcpu *v, u16 port, unsigned bytes, u32 value);

// What the devices do by themselves when their time has come (due.h): the serial port has sent.
void devices_due(struct vcpu *v);

// One access to a gpa of type P2M_DEVICE, aligned, of 1, 2, 4 or 8 bytes.
u64 devices_page_read(struct vcpu *v, u64 gpa, unsigned bytes);
void devices_page_write(struct vcpu *v, u64 gpa, unsigned bytes, u64 value);
