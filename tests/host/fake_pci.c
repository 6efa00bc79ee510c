// See fake_pci.h.
#include "support.h"

#include <arch/io.h>

#include "fake_pci.h"

struct fake_pci fake_pci;

void fake_pci_reset(void)
{
    memset(&fake_pci, 0, sizeof(fake_pci));
}

struct fake_function *fake_pci_add(const struct fake_function *function)
{
    struct fake_function *f = &fake_pci.functions[fake_pci.count++];
    assert_in_range(fake_pci.count, 1, FAKE_PCI_MOST);
    *f = *function;
    return f;
}

static struct fake_function *addressed(void)
{
    u32 address = fake_pci.address, at = (address & 0xffff00) << 4;
    assert_true(address & BIT(31) && !(address & 0x7f000003));
    for (unsigned i = 0; i < fake_pci.count; i++) {
        if (fake_pci.functions[i].at == at)
            return &fake_pci.functions[i];
    }
    return NULL;
}

// The base address register at this offset.
static u32 *bar_at(struct fake_function *f, u32 offset)
{
    assert_int_not_equal(f->bytes, 0);
    assert_in_range(offset, PCI_BAR, PCI_BAR + 4 * PCI_BARS - 4);
    return &f->bar[(offset - PCI_BAR) / 4];
}

static void bar_write(struct fake_function *f, u32 offset, u32 value)
{
    u32 *bar = bar_at(f, offset);
    assert_int_equal(*bar & PCI_BAR_IO, 0);
    assert_int_equal(f->command & PCI_COMMAND_MEMORY, 0); // it would answer at a wrong address
    *bar = (value & ~(f->bytes - 1)) | (*bar & 0xf);
}

void outl(u16 port, u32 value)
{
    if (port == 0xcf8) {
        fake_pci.address = value;
        return;
    }
    struct fake_function *f = addressed();
    u32 offset = fake_pci.address & 0xfc;
    assert_int_equal(port, 0xcfc);
    assert_non_null(f);
    f->writes++;
    if (offset != PCI_COMMAND) {
        bar_write(f, offset, value);
        return;
    }
    assert_int_equal(value >> 16, 0); // a status bit written as 1 is cleared
    f->command = (f->command & 0xffff0000) | value | (f->stuck ? PCI_COMMAND_BUS_MASTER : 0);
}

u32 inl(u16 port)
{
    struct fake_function *f = addressed();
    u32 offset = fake_pci.address & 0xfc;
    assert_int_equal(port, 0xcfc);
    fake_pci.reads++;
    if (!f)
        return 0xffffffff;
    switch (offset) {
    case 0:
        return 0x12348086;
    case PCI_COMMAND:
        return f->command;
    case 8:
        return f->class_code << 8 | 0x01;
    case 0xc:
        return (u32)f->header << 16 | 0x4010;
    default:
        return *bar_at(f, offset);
    }
}
