// Reads the host's ACPI tables into struct acpi: RSDP, XSDT or RSDT, FADT, MADT, MCFG, HPET, SRAT, DSDT and
// SSDTs for the package _S5_ only. Foreign bytes: every read is bounded by the table, a field beyond a short
// (old) table reads as 0. Offsets are those of ACPI 6.5, chapter 5.2.
#include <arch/acpi.h>

#include <arch/lib.h>
#include <arch/phys.h>

#define TABLE_HEADER 36u // 5.2.6: signature, length at 4, revision, checksum, OEM ...

struct table {
    const u8 *data;
    size_t size;
};

static u64 table_read(const struct table *t, size_t offset, size_t bytes)
{
    u64 value = 0;
    if (offset <= t->size && bytes <= t->size - offset)
        memcpy(&value, t->data + offset, bytes);
    return value;
}

static bool sum_is_zero(const u8 *data, size_t size)
{
    u8 sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += data[i];
    return sum == 0;
}

static bool table_open(struct table *t, u64 hpa, u64 limit)
{
    if (!hpa || hpa >= limit || limit - hpa < TABLE_HEADER)
        return false;
    *t = (struct table){phys_ptr(hpa), TABLE_HEADER};
    u64 length = table_read(t, 4, 4);
    if (length < TABLE_HEADER || length > limit - hpa)
        return false;
    t->size = length;
    return sum_is_zero(t->data, t->size);
}

// A table that the firmware lists, and that is listed here in turn. False: it is none.
static bool table_take(struct acpi *a, struct table *t, u64 hpa, u64 limit)
{
    if (!table_open(t, hpa, limit)) {
        a->unread++;
        return false;
    }
    if (a->tables < ACPI_MAX_TABLES) {
        struct acpi_table *row = &a->table[a->tables];
        memcpy(row->signature, t->data, 4);
        row->revision = t->data[8];
        memcpy(row->oem, t->data + 10, 6);
        memcpy(row->oem_table, t->data + 16, 8);
    }
    a->tables++;
    return true;
}

static bool table_is(const struct table *t, const char *signature)
{
    return memcmp(t->data, signature, 4) == 0;
}

// AML of `Name (_S5_, Package () {a, b, ...})`: NameOp (08), perhaps a root prefix (5c), the name, PackageOp
// (12), package length (its first byte's bits 7:6 say how many more bytes it has), element count, elements.
// An element is ZeroOp (00), OneOp (01), or BytePrefix (0a) and a byte. ACPI 6.5, 20.2.
static bool read_element(const struct table *t, size_t *at, u8 *value)
{
    *value = (u8)table_read(t, *at, 1);
    if (*at < t->size && *value <= 1) {
        *at += 1;
        return true;
    }
    if (*value != 0x0a || *at + 2 > t->size)
        return false;
    *value = (u8)table_read(t, *at + 1, 1);
    *at += 2;
    return *value < 8; // SLP_TYP has three bits
}

static bool read_s5(struct acpi *a, const struct table *t, size_t name)
{
    bool named = t->data[name - 1] == 0x08 || (t->data[name - 1] == 0x5c && t->data[name - 2] == 0x08);
    if (!named || table_read(t, name + 4, 1) != 0x12)
        return false;
    size_t at = name + 5;
    at += 1 + (table_read(t, at, 1) >> 6);
    unsigned elements = (unsigned)table_read(t, at++, 1);
    u8 type_a, type_b = 0;
    if (elements < 1 || !read_element(t, &at, &type_a) || (elements >= 2 && !read_element(t, &at, &type_b)))
        return false;
    a->s5_type_a = type_a;
    a->s5_type_b = type_b;
    return true;
}

static void parse_aml(struct acpi *a, const struct table *t, u64 limit)
{
    (void)limit;
    for (size_t at = TABLE_HEADER + 1; !a->s5 && at + 4 <= t->size; at++) {
        if (memcmp(t->data + at, "_S5_", 4) == 0)
            a->s5 = read_s5(a, t, at);
    }
}

// A Generic Address Structure at `extended` where it is filled in, else the I/O port at `port`.
static struct acpi_register read_register(const struct table *t, size_t extended, size_t port)
{
    struct acpi_register r = {table_read(t, extended + 4, 8), (u8)table_read(t, extended, 1)};
    if (!r.address && port)
        r = (struct acpi_register){table_read(t, port, 4), ACPI_IO};
    return r;
}

// 5.2.9, table 5.9
#define FADT_DSDT          40
#define FADT_SMI_CMD       48
#define FADT_ACPI_ENABLE   52
#define FADT_PM1A_CNT      64
#define FADT_PM1B_CNT      68
#define FADT_PM_TMR        76
#define FADT_FLAGS         112
#define FADT_RESET_REG     116
#define FADT_RESET_VALUE   128
#define FADT_X_DSDT        140
#define FADT_X_PM1A_CNT    172
#define FADT_X_PM1B_CNT    184
#define FADT_X_PM_TMR      208
#define FADT_SLEEP_CONTROL 244

#define FADT_TMR_VAL_EXT BIT(8)
#define FADT_RESET_SUP   BIT(10)
#define FADT_HW_REDUCED  BIT(20)

static void parse_fixed_hardware(struct acpi *a, const struct table *t, u64 flags)
{
    a->smi_command = (u16)table_read(t, FADT_SMI_CMD, 4);
    a->acpi_enable = (u8)table_read(t, FADT_ACPI_ENABLE, 1);
    a->pm1a_control = read_register(t, FADT_X_PM1A_CNT, FADT_PM1A_CNT);
    a->pm1b_control = read_register(t, FADT_X_PM1B_CNT, FADT_PM1B_CNT);
    a->pm_timer = read_register(t, FADT_X_PM_TMR, FADT_PM_TMR);
    a->pm_timer_bits = flags & FADT_TMR_VAL_EXT ? 32 : 24;
}

static void parse_fadt(struct acpi *a, const struct table *t, u64 limit)
{
    u64 flags = table_read(t, FADT_FLAGS, 4);
    if (flags & FADT_HW_REDUCED)
        a->sleep_control = read_register(t, FADT_SLEEP_CONTROL, 0);
    else
        parse_fixed_hardware(a, t, flags);
    if (flags & FADT_RESET_SUP) {
        a->reset = read_register(t, FADT_RESET_REG, 0);
        a->reset_value = (u8)table_read(t, FADT_RESET_VALUE, 1);
    }
    u64 dsdt_hpa = table_read(t, FADT_X_DSDT, 8);
    struct table dsdt;
    if (table_take(a, &dsdt, dsdt_hpa ? dsdt_hpa : table_read(t, FADT_DSDT, 4), limit) &&
        table_is(&dsdt, "DSDT"))
        parse_aml(a, &dsdt, limit);
}

static bool cpu_known(const struct acpi *a, u64 apic_id)
{
    for (unsigned i = 0; i < a->cpus; i++) {
        if (a->apic_id[i] == apic_id)
            return true;
    }
    return false;
}

// `nobody`: the id that means all processors, with which firmware fills entries that are no processor. Some
// are listed twice, as local APIC and as local x2APIC.
static void add_cpu(struct acpi *a, u64 apic_id, u64 nobody, u64 flags)
{
    bool enabled = flags & BIT(0);
    if (enabled && apic_id != nobody && a->cpus < ACPI_MAX_CPUS && !cpu_known(a, apic_id))
        a->apic_id[a->cpus++] = (u32)apic_id;
}

static void add_local_apic(struct acpi *a, const struct table *e)
{
    add_cpu(a, table_read(e, 3, 1), 0xff, table_read(e, 4, 4));
}

static void add_local_x2apic(struct acpi *a, const struct table *e)
{
    add_cpu(a, table_read(e, 4, 4), 0xffffffff, table_read(e, 8, 4));
}

static void add_ioapic(struct acpi *a, const struct table *e)
{
    struct acpi_ioapic ioapic = {
        .id = (u8)table_read(e, 2, 1),
        .hpa = (u32)table_read(e, 4, 4),
        .gsi_base = (u32)table_read(e, 8, 4),
    };
    if (a->ioapics < ACPI_MAX_IOAPICS)
        a->ioapic[a->ioapics++] = ioapic;
}

static void add_override(struct acpi *a, const struct table *e)
{
    struct acpi_override override = {
        .irq = (u8)table_read(e, 3, 1),
        .gsi = (u32)table_read(e, 4, 4),
        .flags = (u16)table_read(e, 8, 2),
    };
    if (a->overrides < ACPI_MAX_OVERRIDES)
        a->override[a->overrides++] = override;
}

static void set_local_apic_hpa(struct acpi *a, const struct table *e)
{
    a->local_apic_hpa = table_read(e, 4, 8);
}

// An entry of a table is its type, its size and what follows.
struct entry_kind {
    u8 type;
    u8 size;
    void (*add)(struct acpi *a, const struct table *entry);
};

static void parse_entries(struct acpi *a, const struct table *t, size_t first, const struct entry_kind *kinds,
                          size_t count)
{
    for (size_t at = first; at + 2 <= t->size;) {
        struct table entry = {t->data + at, t->data[at + 1]};
        if (entry.size < 2 || entry.size > t->size - at)
            return;
        for (size_t i = 0; i < count; i++) {
            if (kinds[i].type == entry.data[0] && entry.size >= kinds[i].size)
                kinds[i].add(a, &entry);
        }
        at += entry.size;
    }
}

// 5.2.12, table 5.21.
static const struct entry_kind madt_kinds[] = {
    {0, 8, add_local_apic},      {1, 12, add_ioapic},       {2, 10, add_override},
    {5, 12, set_local_apic_hpa}, {9, 16, add_local_x2apic},
};

static void parse_madt(struct acpi *a, const struct table *t, u64 limit)
{
    (void)limit;
    a->local_apic_hpa = table_read(t, 36, 4);
    parse_entries(a, t, 44, madt_kinds, ARRAY_SIZE(madt_kinds));
}

static void add_cpu_node(struct acpi *a, u64 apic_id, u64 node, u64 flags)
{
    if (flags & BIT(0) && a->cpu_nodes < ACPI_MAX_CPUS)
        a->cpu_node[a->cpu_nodes++] = (struct acpi_cpu_node){(u32)apic_id, (u32)node};
}

static void add_local_apic_node(struct acpi *a, const struct table *e)
{
    u64 node = table_read(e, 2, 1) | table_read(e, 9, 3) << 8;
    add_cpu_node(a, table_read(e, 3, 1), node, table_read(e, 4, 4));
}

static void add_local_x2apic_node(struct acpi *a, const struct table *e)
{
    add_cpu_node(a, table_read(e, 8, 4), table_read(e, 4, 4), table_read(e, 12, 4));
}

// What is hot-pluggable, too: whether there is RAM now is not for this table to say.
static void add_memory_node(struct acpi *a, const struct table *e)
{
    u64 start = table_read(e, 8, 8), length = table_read(e, 16, 8);
    if (table_read(e, 28, 4) & BIT(0) && length <= UINT64_MAX - start && a->memory_nodes < ACPI_MAX_NODES)
        a->memory_node[a->memory_nodes++] =
            (struct acpi_memory_node){start, start + length, (u32)table_read(e, 2, 4)};
}

// 5.2.16.
static const struct entry_kind srat_kinds[] = {
    {0, 16, add_local_apic_node},
    {1, 40, add_memory_node},
    {2, 24, add_local_x2apic_node},
};

// Before revision 2 a domain is one byte, and what is now the rest of it need not be 0.
static void parse_srat(struct acpi *a, const struct table *t, u64 limit)
{
    (void)limit;
    parse_entries(a, t, 48, srat_kinds, ARRAY_SIZE(srat_kinds));
    u32 mask = table_read(t, 8, 1) < 2 ? 0xff : 0xffffffff;
    for (unsigned i = 0; i < a->cpu_nodes; i++)
        a->cpu_node[i].node &= mask;
    for (unsigned i = 0; i < a->memory_nodes; i++)
        a->memory_node[i].node &= mask;
}

// PCI Firmware Specification 3.2, table 4-3.
static void parse_mcfg(struct acpi *a, const struct table *t, u64 limit)
{
    (void)limit;
    for (size_t at = 44; at + 16 <= t->size && a->segments < ACPI_MAX_SEGMENTS; at += 16) {
        struct acpi_segment *segment = &a->segment[a->segments];
        *segment = (struct acpi_segment){.ecam = table_read(t, at, 8),
                                         .number = (u16)table_read(t, at + 8, 2),
                                         .first_bus = (u8)table_read(t, at + 10, 1),
                                         .last_bus = (u8)table_read(t, at + 11, 1)};
        a->segments += segment->ecam && segment->first_bus <= segment->last_bus;
    }
}

// IA-PC HPET specification 1.0a, 3.2.4: the address of its registers at 40, which are in memory.
#define HPET_REGISTERS 40
#define HPET_BYTES     0x400u

static void parse_hpet(struct acpi *a, const struct table *t, u64 limit)
{
    struct acpi_register r = read_register(t, HPET_REGISTERS, 0);
    if (!a->hpet_hpa && r.space == ACPI_MEMORY && r.address < limit && limit - r.address >= HPET_BYTES)
        a->hpet_hpa = r.address;
}

// Interface types of SPCR and DBG2: 16550, 16450, 16550 whose registers the address describes.
static bool is_16550(u64 type)
{
    return type == 0 || type == 1 || type == 0x12;
}

#define GAS_BITS         1
#define GAS_ACCESS       3
#define GAS_ACCESS_BYTE  1 // 0: as wide as the register
#define GAS_ACCESS_DWORD 3

// Operating systems take the distance of the registers from the width of one, or from that of an access:
// where firmware says both, they are the same. Accesses of other widths no UART of this kind needs.
static struct acpi_uart read_uart(const struct table *t, size_t at)
{
    u64 bits = table_read(t, at + GAS_BITS, 1), access = table_read(t, at + GAS_ACCESS, 1);
    u8 stride = bits == 32 || access == GAS_ACCESS_DWORD ? 4 : 1;
    return (struct acpi_uart){
        .at = read_register(t, at, 0), .stride = stride, .width = access == GAS_ACCESS_BYTE ? 1 : stride};
}

// Serial Port Console Redirection Table 1.10.
#define SPCR_TYPE    36
#define SPCR_ADDRESS 40
#define SPCR_BAUD    58

static void parse_spcr(struct acpi *a, const struct table *t, u64 limit)
{
    static const u32 bauds[] = {[3] = 9600, [4] = 19200, [6] = 57600, [7] = 115200};
    (void)limit;
    u64 baud = table_read(t, SPCR_BAUD, 1);
    if (!is_16550(table_read(t, SPCR_TYPE, 1)))
        return;
    a->spcr = read_uart(t, SPCR_ADDRESS);
    a->spcr.baud = baud < ARRAY_SIZE(bauds) ? bauds[baud] : 0;
}

// Debug Port Table 2, 1.0: the offset of the first device and their number; of each device its length, the
// number of its registers, its type and subtype, and where it has the registers' addresses.
#define DBG2_FIRST       36
#define DBG2_COUNT       40
#define DBG2_DEVICE      22 // bytes at least
#define DBG2_TYPE_SERIAL 0x8000

static void add_debug_port(struct acpi *a, const struct table *t, u64 at)
{
    bool serial = table_read(t, at + 12, 2) == DBG2_TYPE_SERIAL && is_16550(table_read(t, at + 14, 2));
    if (serial && table_read(t, at + 3, 1) && !a->dbg2.at.address)
        a->dbg2 = read_uart(t, at + table_read(t, at + 18, 2));
}

static void parse_dbg2(struct acpi *a, const struct table *t, u64 limit)
{
    (void)limit;
    u64 at = table_read(t, DBG2_FIRST, 4), length;
    for (u64 left = table_read(t, DBG2_COUNT, 4); left && at < t->size; left--, at += length) {
        length = table_read(t, at + 1, 2);
        if (length < DBG2_DEVICE || length > t->size - at)
            return;
        add_debug_port(a, t, at);
    }
}

static const struct {
    char signature[5];
    void (*parse)(struct acpi *a, const struct table *t, u64 limit);
} tables[] = {{"FACP", parse_fadt}, {"APIC", parse_madt}, {"MCFG", parse_mcfg}, {"HPET", parse_hpet},
              {"SRAT", parse_srat}, {"SSDT", parse_aml},  {"SPCR", parse_spcr}, {"DBG2", parse_dbg2}};

static void parse_table(struct acpi *a, u64 hpa, u64 limit)
{
    struct table t;
    if (!table_take(a, &t, hpa, limit))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        if (table_is(&t, tables[i].signature))
            tables[i].parse(a, &t, limit);
    }
}

// 5.2.5.3. Revision 0 is 20 bytes and has only the RSDT; later ones add a length (20), the XSDT's address
// (24) and a second checksum over all. False if it is broken.
static bool find_root(const struct table *rsdp, u64 limit, struct table *root, size_t *pointer_bytes)
{
    if (rsdp->size < 20 || memcmp(rsdp->data, "RSD PTR ", 8) != 0 || !sum_is_zero(rsdp->data, 20))
        return false;
    u64 length = table_read(rsdp, 20, 4);
    bool extended = table_read(rsdp, 15, 1) >= 2 && length >= 36 && length <= rsdp->size &&
                    sum_is_zero(rsdp->data, length);
    *pointer_bytes = 8;
    if (extended && table_open(root, table_read(rsdp, 24, 8), limit) && table_is(root, "XSDT"))
        return true;
    *pointer_bytes = 4;
    return table_open(root, table_read(rsdp, 16, 4), limit) && table_is(root, "RSDT");
}

// A register that the direct map does not reach is none.
static void drop_unmapped(struct acpi *a, u64 limit)
{
    struct acpi_register *registers[] = {&a->pm_timer, &a->reset, &a->pm1a_control, &a->pm1b_control,
                                         &a->sleep_control};
    for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
        struct acpi_register *r = registers[i];
        if (r->space == ACPI_MEMORY && (r->address >= limit || limit - r->address < sizeof(u32)))
            *r = (struct acpi_register){0};
    }
}

int acpi_parse(struct acpi *a, const void *rsdp, size_t size, u64 limit)
{
    struct table pointer = {rsdp, size};
    struct table root;
    size_t pointer_bytes;
    memset(a, 0, sizeof(*a));
    if (!find_root(&pointer, limit, &root, &pointer_bytes))
        return ERR_INVALID;
    memcpy(a->oem, pointer.data + 9, 6);
    for (size_t at = TABLE_HEADER; at + pointer_bytes <= root.size; at += pointer_bytes)
        parse_table(a, table_read(&root, at, pointer_bytes), limit);
    drop_unmapped(a, limit);
    return 0;
}

struct acpi_override acpi_isa_route(const struct acpi *a, u8 irq)
{
    for (unsigned i = 0; i < a->overrides; i++) {
        if (a->override[i].irq == irq)
            return a->override[i];
    }
    return (struct acpi_override){.irq = irq, .gsi = irq};
}

const struct acpi_ioapic *acpi_ioapic_of(const struct acpi *a, u32 gsi)
{
    const struct acpi_ioapic *best = NULL;
    for (unsigned i = 0; i < a->ioapics; i++) {
        const struct acpi_ioapic *ioapic = &a->ioapic[i];
        if (ioapic->gsi_base <= gsi && (!best || ioapic->gsi_base > best->gsi_base))
            best = ioapic;
    }
    return best;
}
