// The builder of acpi_tables.h. Field names are those of the ACPI specification 6.3, chapter 5.2.
// Not here: the DSDT's text (dsdt.asl), and the models behind the ports.
#include "guest_ports.h"
#include "acpi_tables.h"
#include "guest_map.h"
#include "ioapic.h"

#include <arch/lib.h>

#define packed          __attribute__((packed))
#define PROCESSOR_UID   0u   // as in dsdt.asl
#define XAPIC_ID_MAX    254u // a larger ID needs the x2APIC structure (5.2.12.12)
#define TABLE_ALIGNMENT 16u

struct acpi_rsdp {
    char signature[8];
    u8 checksum; // of the first 20 bytes
    char oem_id[6];
    u8 revision;
    u32 rsdt_address;
    u32 length;
    u64 xsdt_address;
    u8 extended_checksum; // of all bytes
    u8 reserved[3];
} packed;

struct acpi_header {
    char signature[4];
    u32 length;
    u8 revision;
    u8 checksum;
    char oem_id[6];
    char oem_table_id[8];
    u32 oem_revision;
    char creator_id[4];
    u32 creator_revision;
} packed;

struct acpi_xsdt {
    struct acpi_header header;
    u64 entry[2]; // FADT and MADT
} packed;

#define GAS_SYSTEM_IO   1
#define GAS_ACCESS_BYTE 1

struct acpi_gas {
    u8 address_space_id, register_bit_width, register_bit_offset, access_size;
    u64 address;
} packed;

#define FADT_WBINVD          BIT(0)
#define FADT_PROC_C1         BIT(2)
#define FADT_PWR_BUTTON      BIT(4) // set: not a fixed feature
#define FADT_SLP_BUTTON      BIT(5) // set: not a fixed feature
#define FADT_RESET_REG_SUP   BIT(10)
#define FADT_HEADLESS        BIT(12)
#define FADT_HW_REDUCED_ACPI BIT(20)
#define FADT_NO_VGA          BIT(2)

struct acpi_fadt {
    struct acpi_header header;
    u32 firmware_ctrl, dsdt; // no FACS: allowed in hardware-reduced mode
    u8 reserved0, preferred_pm_profile;
    u8 fixed_hardware[109 - 46]; // SCI_INT to CENTURY: all 0 in hardware-reduced mode
    u16 iapc_boot_arch;
    u8 reserved1;
    u32 flags;
    struct acpi_gas reset_reg;
    u8 reset_value;
    u16 arm_boot_arch;
    u8 fadt_minor_version;
    u64 x_firmware_ctrl, x_dsdt;
    struct acpi_gas x_fixed_hardware[8]; // X_PM1a_EVT_BLK to X_GPE1_BLK: likewise
    struct acpi_gas sleep_control_reg, sleep_status_reg;
    u64 hypervisor_vendor_identity;
} packed;

struct acpi_madt {
    struct acpi_header header;
    u32 local_interrupt_controller_address;
    u32 flags; // no PCAT_COMPAT: there is no PIC
} packed;

#define MADT_LOCAL_APIC   0
#define MADT_IO_APIC      1
#define MADT_LOCAL_X2APIC 9
#define MADT_ENABLED      1

struct acpi_local_apic {
    u8 type, length;
    u8 acpi_processor_uid, apic_id;
    u32 flags;
} packed;

struct acpi_local_x2apic {
    u8 type, length;
    u16 reserved;
    u32 x2apic_id, flags, acpi_processor_uid;
} packed;

struct acpi_io_apic {
    u8 type, length;
    u8 io_apic_id, reserved;
    u32 io_apic_address, global_system_interrupt_base;
} packed;

_Static_assert(sizeof(struct acpi_rsdp) == 36, "5.2.5.3");
_Static_assert(sizeof(struct acpi_header) == 36, "5.2.6");
_Static_assert(sizeof(struct acpi_gas) == 12, "5.2.3.2");
_Static_assert(offsetof(struct acpi_fadt, iapc_boot_arch) == 109, "5.2.9");
_Static_assert(sizeof(struct acpi_fadt) == 276, "5.2.9");

// Where the tables lie in the area.
enum table { RSDP, XSDT, FADT, MADT, DSDT, TABLES };

struct layout {
    u8 *area;
    u32 gpa;
    u32 at[TABLES]; // offsets in bytes
    u32 end;
};

static u8 sum(const void *bytes, size_t count)
{
    u8 total = 0;
    for (size_t i = 0; i < count; i++)
        total += ((const u8 *)bytes)[i];
    return total;
}

static void *table_start(struct layout *l, enum table table, const char *signature, u8 revision)
{
    struct acpi_header *header = (void *)(l->area + l->at[table]);
    memcpy(header->signature, signature, sizeof(header->signature));
    header->revision = revision;
    memcpy(header->oem_id, "PENUMB", sizeof(header->oem_id));
    memcpy(header->oem_table_id, "PENUMBRA", sizeof(header->oem_table_id));
    header->oem_revision = 1;
    memcpy(header->creator_id, "PNMB", sizeof(header->creator_id));
    header->creator_revision = 1;
    return header;
}

static void table_finish(struct acpi_header *header, size_t length)
{
    header->length = (u32)length;
    header->checksum = -sum(header, length);
}

static void rsdp_write(struct layout *l)
{
    struct acpi_rsdp *rsdp = (void *)(l->area + l->at[RSDP]);
    memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
    memcpy(rsdp->oem_id, "PENUMB", sizeof(rsdp->oem_id));
    rsdp->revision = 2;
    rsdp->length = sizeof(*rsdp);
    rsdp->xsdt_address = l->gpa + l->at[XSDT];
    rsdp->checksum = -sum(rsdp, offsetof(struct acpi_rsdp, length));
    rsdp->extended_checksum = -sum(rsdp, sizeof(*rsdp));
}

static void xsdt_write(struct layout *l)
{
    struct acpi_xsdt *xsdt = table_start(l, XSDT, "XSDT", 1);
    xsdt->entry[0] = l->gpa + l->at[FADT];
    xsdt->entry[1] = l->gpa + l->at[MADT];
    table_finish(&xsdt->header, sizeof(*xsdt));
}

static struct acpi_gas byte_port(u16 port)
{
    return (struct acpi_gas){
        .address_space_id = GAS_SYSTEM_IO,
        .register_bit_width = 8,
        .access_size = GAS_ACCESS_BYTE,
        .address = port,
    };
}

static void fadt_write(struct layout *l)
{
    struct acpi_fadt *fadt = table_start(l, FADT, "FACP", 6);
    fadt->fadt_minor_version = 3;
    fadt->dsdt = l->gpa + l->at[DSDT];
    fadt->x_dsdt = fadt->dsdt;
    fadt->iapc_boot_arch = FADT_NO_VGA;
    fadt->flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REG_SUP |
                  FADT_HEADLESS | FADT_HW_REDUCED_ACPI;
    fadt->reset_reg = byte_port(ACPI_RESET_PORT);
    fadt->reset_value = ACPI_RESET_VALUE;
    fadt->sleep_control_reg = byte_port(ACPI_SLEEP_CONTROL_PORT);
    fadt->sleep_status_reg = byte_port(ACPI_SLEEP_STATUS_PORT);
    memcpy(&fadt->hypervisor_vendor_identity, "PENUMBRA", sizeof(u64));
    table_finish(&fadt->header, sizeof(*fadt));
}

static size_t processor_bytes(u32 apic_id)
{
    return apic_id <= XAPIC_ID_MAX ? sizeof(struct acpi_local_apic) : sizeof(struct acpi_local_x2apic);
}

static void processor_write(void *entry, u32 apic_id)
{
    if (apic_id <= XAPIC_ID_MAX)
        *(struct acpi_local_apic *)entry = (struct acpi_local_apic){
            .type = MADT_LOCAL_APIC,
            .length = sizeof(struct acpi_local_apic),
            .acpi_processor_uid = PROCESSOR_UID,
            .apic_id = (u8)apic_id,
            .flags = MADT_ENABLED,
        };
    else
        *(struct acpi_local_x2apic *)entry = (struct acpi_local_x2apic){
            .type = MADT_LOCAL_X2APIC,
            .length = sizeof(struct acpi_local_x2apic),
            .x2apic_id = apic_id,
            .flags = MADT_ENABLED,
            .acpi_processor_uid = PROCESSOR_UID,
        };
}

// No interrupt source overrides: GSI n is pin n, and the DSDT tells each trigger mode.
static void madt_write(struct layout *l, u32 apic_id)
{
    struct acpi_madt *madt = table_start(l, MADT, "APIC", 5);
    u8 *entry = (u8 *)(madt + 1);
    madt->local_interrupt_controller_address = GUEST_LAPIC_GPA;
    processor_write(entry, apic_id);
    entry += processor_bytes(apic_id);
    *(struct acpi_io_apic *)entry = (struct acpi_io_apic){
        .type = MADT_IO_APIC,
        .length = sizeof(struct acpi_io_apic),
        .io_apic_id = IOAPIC_ID,
        .io_apic_address = GUEST_IOAPIC_GPA,
        .global_system_interrupt_base = 0,
    };
    entry += sizeof(struct acpi_io_apic);
    table_finish(&madt->header, (size_t)(entry - (u8 *)madt));
}

// The area is at most as large as the guest's gap for it; a DSDT is some hundred bytes. 1M bounds both.
static bool dsdt_valid(const struct acpi_guest *guest)
{
    const struct acpi_header *header = guest->dsdt;
    return guest->dsdt_bytes >= sizeof(*header) && guest->dsdt_bytes <= MIB &&
           memcmp(header->signature, "DSDT", 4) == 0 && header->length == guest->dsdt_bytes &&
           sum(guest->dsdt, guest->dsdt_bytes) == 0;
}

static void layout_make(struct layout *l, const struct acpi_guest *guest)
{
    const size_t bytes[TABLES] = {
        [RSDP] = sizeof(struct acpi_rsdp),
        [XSDT] = sizeof(struct acpi_xsdt),
        [FADT] = sizeof(struct acpi_fadt),
        [MADT] = sizeof(struct acpi_madt) + processor_bytes(guest->apic_id) + sizeof(struct acpi_io_apic),
        [DSDT] = guest->dsdt_bytes,
    };
    for (unsigned table = 0; table < TABLES; table++) {
        l->at[table] = l->end;
        l->end += (u32)align_up(bytes[table], TABLE_ALIGNMENT);
    }
}

int acpi_tables_build(void *area, size_t area_bytes, u32 gpa_of_area, const struct acpi_guest *guest)
{
    struct layout l = {.area = area, .gpa = gpa_of_area};
    if (gpa_of_area % TABLE_ALIGNMENT || !dsdt_valid(guest))
        return ERR_INVALID;
    layout_make(&l, guest);
    if (l.end > area_bytes)
        return ERR_NOMEM;
    if (gpa_of_area + (u64)l.end > 4 * GIB)
        return ERR_INVALID;
    memset(area, 0, l.end);
    rsdp_write(&l);
    xsdt_write(&l);
    fadt_write(&l);
    madt_write(&l, guest->apic_id);
    memcpy(l.area + l.at[DSDT], guest->dsdt, guest->dsdt_bytes);
    return (int)l.end;
}
