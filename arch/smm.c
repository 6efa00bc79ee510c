// See arch/smm.h. The save area is the same page for the 32-bit and the 64-bit map: SDM vol. 3, 32.4.1.
#include <arch/lib.h>
#include <arch/phys.h>
#include <arch/smm.h>

#define SMBASE_RESET 0x30000ull
#define SMM_CODE     (SMBASE_RESET + 0x8000) // the first instruction
#define SMM_STATE    (SMBASE_RESET + 0xfc00) // the save area, to SMBASE + ffffH

static const u8 rsm[] = {0x0f, 0xaa};

enum smm_guard smm_guard(struct frames *frames, const struct boot_info *boot)
{
    static const u64 pages[] = {SMM_STATE, SMM_CODE};
    enum smm_guard result = SMM_GUARDED;
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        if (frames_alloc_at(frames, hpa_mfn(pages[i]), ORDER_4K, FRAME_MONITOR) == 0)
            continue;
        if (boot_has_ram(boot, pages[i], pages[i] + 1))
            return SMM_IN_USE;
        result = SMM_FIRMWARE;
    }
    if (result == SMM_GUARDED)
        memcpy(phys_ptr(SMM_CODE), rsm, sizeof(rsm));
    return result;
}
