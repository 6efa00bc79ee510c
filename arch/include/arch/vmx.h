// VMX: what the processor can do, entering VMX operation, INVEPT and INVVPID. The VMCS is in arch/vmcs.h.
// It decides nothing: which controls are wanted is hv's business.
#pragma once

#include <arch/frames.h>
#include <arch/types.h>
#include <arch/vmcs.h>

// Pin-based controls (SDM vol. 3, table 25-5).
#define PIN_EXTERNAL_INTERRUPT_EXITING BIT(0)
#define PIN_NMI_EXITING                BIT(3)
#define PIN_VIRTUAL_NMIS               BIT(5)
#define PIN_PREEMPTION_TIMER           BIT(6)
// Primary processor-based controls (table 25-6).
#define PROC_INTERRUPT_WINDOW_EXITING BIT(2)
#define PROC_INVLPG_EXITING           BIT(9)
#define PROC_MWAIT_EXITING            BIT(10)
#define PROC_RDPMC_EXITING            BIT(11)
#define PROC_CR3_LOAD_EXITING         BIT(15)
#define PROC_CR3_STORE_EXITING        BIT(16)
#define PROC_NMI_WINDOW_EXITING       BIT(22)
#define PROC_MOV_DR_EXITING           BIT(23)
#define PROC_UNCONDITIONAL_IO         BIT(24)
#define PROC_MSR_BITMAPS              BIT(28)
#define PROC_MONITOR_EXITING          BIT(29)
#define PROC_SECONDARY_CONTROLS       BIT(31)
// Secondary processor-based controls (table 25-7).
#define PROC2_EPT                BIT(1)
#define PROC2_RDTSCP             BIT(3)
#define PROC2_VPID               BIT(5)
#define PROC2_UNRESTRICTED_GUEST BIT(7)
#define PROC2_INVPCID            BIT(12)
#define PROC2_ENCLS_EXITING      BIT(15)
#define PROC2_XSAVES             BIT(20)
// Exit controls (table 25-13).
#define EXIT_SAVE_DEBUG_CONTROLS   BIT(2)
#define EXIT_HOST_64BIT            BIT(9)
#define EXIT_LOAD_PERF_CTRL        BIT(12) // IA32_PERF_GLOBAL_CTRL
#define EXIT_ACKNOWLEDGE_INTERRUPT BIT(15)
#define EXIT_SAVE_PAT              BIT(18)
#define EXIT_LOAD_PAT              BIT(19)
#define EXIT_SAVE_EFER             BIT(20)
#define EXIT_LOAD_EFER             BIT(21)
#define EXIT_SAVE_PREEMPTION_TIMER BIT(22)
// Entry controls (table 25-15).
#define ENTRY_LOAD_DEBUG_CONTROLS BIT(2)
#define ENTRY_IA32E_GUEST         BIT(9)
#define ENTRY_LOAD_PERF_CTRL      BIT(13)
#define ENTRY_LOAD_PAT            BIT(14)
#define ENTRY_LOAD_EFER           BIT(15)

// IA32_VMX_EPT_VPID_CAP (SDM vol. 3, A.10).
#define EPT_CAP_WALK_4           BIT(6)
#define EPT_CAP_WRITE_BACK       BIT(14)
#define EPT_CAP_2M               BIT(16)
#define EPT_CAP_1G               BIT(17)
#define EPT_CAP_INVEPT           BIT(20)
#define EPT_CAP_ACCESSED_DIRTY   BIT(21)
#define EPT_CAP_INVEPT_CONTEXT   BIT(25)
#define EPT_CAP_INVEPT_ALL       BIT(26)
#define VPID_CAP_INVVPID         BIT(32)
#define VPID_CAP_INVVPID_ADDRESS BIT(40)
#define VPID_CAP_INVVPID_CONTEXT BIT(41)
#define VPID_CAP_INVVPID_ALL     BIT(42)
#define VPID_CAP_INVVPID_GLOBALS BIT(43) // keeps global translations

// One 32-bit control word: bits that must be 1, and bits that may be 1.
struct vmx_controls {
    u32 must, may;
};

struct vmx_caps {
    u64 basic;
    struct vmx_controls pin, proc, proc2, exit, entry;
    u64 misc;
    u64 ept_vpid;
    u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
};

// How many values MOV to CR3 is compared with (SDM vol. 3, A.6).
static inline unsigned vmx_cr3_targets(const struct vmx_caps *caps)
{
    return caps->misc >> 16 & 0x1ff;
}

// What keeps this processor from VMX operation, as one sentence with the remedy; NULL: nothing, and `caps` is
// filled. Sets and locks IA32_FEATURE_CONTROL where the firmware left it unlocked. Needs traps_init.
const char *vmx_missing(struct vmx_caps *caps);

// Enters VMX operation with fixed CR0/CR4 bits set. ERR_NOMEM: no frame for the VMXON region; ERR_INVALID:
// VMXON failed.
int vmx_on(const struct vmx_caps *caps, struct frames *frames) must_check;

// The same for another processor, which runs with the monitor's address space: memory for its VMXON region is
// taken on the first processor (ERR_NOMEM); vmx_join is called on the other one. ERR_INVALID: VT-x is
// disabled there, or VMXON failed.
int vmx_region_new(const struct vmx_caps *caps, struct frames *frames, mfn_t *region) must_check;
int vmx_join(const struct vmx_caps *caps, mfn_t region) must_check;

// Leaves VMX operation. What INIT has come meanwhile takes effect here: the processor starts anew, or waits
// for a SIPI if it is not the first one.
void vmx_off(void);

// A new VMCS, cleared and made current. Its frame in `region`. Errors as vmx_on.
int vmx_vmcs_new(const struct vmx_caps *caps, struct frames *frames, mfn_t *region) must_check;

// Before the frame of a VMCS is used for something else (SDM vol. 3, 25.11.1): the processor keeps nothing of
// it.
void vmx_vmcs_drop(mfn_t region);

// The legal word for what is wanted: must bits added, impossible bits dropped.
u32 vmx_controls_fit(struct vmx_controls controls, u32 wanted);

// False where the processor does not have the field.
bool vmcs_try_read(enum vmcs_field field, u64 *value) must_check;

enum { INVEPT_CONTEXT = 1, INVEPT_ALL = 2 };
enum { INVVPID_ADDRESS = 0, INVVPID_CONTEXT = 1, INVVPID_ALL = 2, INVVPID_GLOBALS = 3 };

// INVEPT and INVVPID (SDM vol. 3, chapter 31). The caller has checked that the type is supported.
void vmx_invept(u64 type, u64 eptp);
void vmx_invvpid(u64 type, u16 vpid, u64 gva);

// After an exit for an NMI: lets the next one through in root mode. Writes the current VMCS.
void vmx_nmi_unblock(void);
