// See shadow_unpaged.h.
#include "shadow_unpaged.h"
#include "model_history.h"
#include "model_walk.h"
#include "shadow_attempt.h"
#include "shadow_machine.h"
#include "shadow_story.h"
#include "shadow_tables.h"

#include <arch/cpu.h>
#include <arch/lib.h>

static void change_regs(u64 cr0, u64 cr4, u64 efer)
{
    struct paging_regs regs = guest->regs;
    regs.cr0 ^= cr0;
    regs.cr4 ^= cr4;
    regs.efer ^= efer;
    guest_paging(&regs);
}

// Without paging all is allowed, whatever the registers say.
static void touch(u64 gpa)
{
    u64 value = rnd(BIT(62));
    struct walk_access access = {.kind = (enum access)rnd(3), .implicit = chance(5)};
    guest->cpl = chance(30) ? 3 : 0;
    guest->rflags = maybe(RFLAGS_AC, 40);
    guest_access((u32)gpa, access, &value, 8);
}

static void edit(void)
{
    unsigned level = 1 + (unsigned)rnd(4);
    u64 gpa = table_of(level) * PAGE_SIZE + random_index(level) * 8;
    u64 value = edited_entry(gpa, level);
    guest->cpl = 0;
    happened.stores++;
    guest_access(gpa, (struct walk_access){ACCESS_WRITE, false}, &value, sizeof(value));
}

static void registers(void)
{
    change_regs(maybe(CR0_WP, 30), maybe(CR4_PGE, 30) | maybe(CR4_SMEP | CR4_SMAP, 30), maybe(EFER_NXE, 5));
}

static void place(u64 g)
{
    place_change(g, (enum place_change)rnd(PLACE_CHANGES));
}

static void place_back(u64 g)
{
    place_change(g, PLACE_BACK);
}

static void move(void)
{
    u64 g = random_frame();
    if (g >= GUEST_FRAMES)
        return;
    touch(g * PAGE_SIZE);
    guest_p2m(place, g);
    touch(g * PAGE_SIZE);
    if (chance(90))
        guest_p2m(place_back, g);
}

static void step(void)
{
    u64 kind = rnd(100);
    if (kind < 45)
        edit();
    else if (kind < 85)
        touch((chance(80) ? random_frame() : rnd(BIT(20))) * PAGE_SIZE + rnd(512) * 8);
    else if (kind < 92)
        guest_cr3((FIRST_ROOT + rnd(ROOTS)) * PAGE_SIZE);
    else if (kind < 96)
        guest_invlpg((u32)random_gva());
    else if (kind < 99)
        registers();
    else
        move();
}

void step_unpaged(void)
{
    if (guest->regs.cr4 & CR4_PCIDE) // paging cannot go before it
        change_regs(0, CR4_PCIDE, 0);
    change_regs(CR0_PG, 0, EFER_LMA);
    for (u64 i = rnd(40); i-- > 0;) {
        step();
        if (history_full())
            history_start(guest->regs.cr3, 0);
    }
    change_regs(CR0_PG, 0, EFER_LMA);
}
