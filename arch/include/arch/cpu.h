// Bits of control registers, EFER, RFLAGS, page-fault error codes and MSR numbers, named as in the SDM.
#pragma once

#include <arch/types.h>

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR3_PCID     0xffful // with CR4.PCIDE
#define CR3_NO_FLUSH BIT(63)

#define CR4_VME        BIT(0)
#define CR4_PVI        BIT(1)
#define CR4_TSD        BIT(2)
#define CR4_DE         BIT(3)
#define CR4_PSE        BIT(4)
#define CR4_PAE        BIT(5)
#define CR4_MCE        BIT(6)
#define CR4_PGE        BIT(7)
#define CR4_PCE        BIT(8)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP       BIT(11)
#define CR4_LA57       BIT(12)
#define CR4_VMXE       BIT(13)
#define CR4_SMXE       BIT(14)
#define CR4_FSGSBASE   BIT(16)
#define CR4_PCIDE      BIT(17)
#define CR4_OSXSAVE    BIT(18)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)
#define CR4_PKE        BIT(22)

#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

#define RFLAGS_FIXED BIT(1)
#define RFLAGS_TF    BIT(8)
#define RFLAGS_IF    BIT(9)
#define RFLAGS_RF    BIT(16)
#define RFLAGS_VM    BIT(17)
#define RFLAGS_AC    BIT(18)

#define PFEC_P    BIT(0)
#define PFEC_W    BIT(1)
#define PFEC_U    BIT(2)
#define PFEC_RSVD BIT(3)
#define PFEC_I    BIT(4)
#define PFEC_PK   BIT(5)

#define CPUID_1_ECX_VMX        BIT(5)
#define CPUID_1_ECX_XSAVE      BIT(26)
#define CPUID_1_ECX_HYPERVISOR BIT(31)

enum vector {
    VECTOR_DB = 1,
    VECTOR_NMI = 2,
    VECTOR_UD = 6,
    VECTOR_DF = 8,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_AC = 17,
    VECTOR_MC = 18,
};

#define IA32_TIME_STAMP_COUNTER 0x010
#define IA32_APIC_BASE          0x01b
#define MSR_SMI_COUNT           0x034
#define IA32_FEATURE_CONTROL    0x03a
#define IA32_TSC_ADJUST         0x03b
#define IA32_BIOS_SIGN_ID       0x08b
#define IA32_PMC0               0x0c1
#define MSR_PLATFORM_INFO       0x0ce
#define IA32_MPERF              0x0e7
#define IA32_APERF              0x0e8
#define IA32_MTRRCAP            0x0fe
#define IA32_ARCH_CAPABILITIES  0x10a
#define IA32_MCG_CAP            0x179
#define IA32_MCG_STATUS         0x17a
#define IA32_MCG_CTL            0x17b
#define IA32_PERFEVTSEL0        0x186
#define IA32_PERF_CTL           0x199
#define IA32_MISC_ENABLE        0x1a0
#define MSR_TURBO_RATIO_LIMIT   0x1ad
#define IA32_ENERGY_PERF_BIAS   0x1b0
#define IA32_DEBUGCTL           0x1d9
#define IA32_PAT                0x277
#define IA32_MTRR_DEF_TYPE      0x2ff
#define IA32_FIXED_CTR0         0x309
#define IA32_FIXED_CTR_CTRL     0x38d
#define IA32_PERF_GLOBAL_CTRL   0x38f
#define IA32_MC0_CTL            0x400
#define IA32_VMX_BASIC          0x480
#define IA32_VMX_EXIT_CTLS2     0x493
#define IA32_TSC_DEADLINE       0x6e0
#define IA32_PM_ENABLE          0x770
#define IA32_HWP_CAPABILITIES   0x771
#define IA32_HWP_INTERRUPT      0x773
#define IA32_HWP_REQUEST        0x774
#define IA32_XSS                0xda0
#define IA32_X2APIC_FIRST       0x800
#define IA32_X2APIC_LAST        0x8ff
#define IA32_EFER               0xc0000080
#define IA32_GS_BASE            0xc0000101

#define APIC_BASE_BSP    BIT(8)
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_RESET  0xfee00000ull // where its page is after reset

// The MSR of the local APIC's register at this offset of its page (SDM vol. 3, 11.12.1.2).
#define X2APIC_MSR(offset) (IA32_X2APIC_FIRST + ((offset) >> 4))

// CPUID.0:EBX of Intel's processors, and what CPUID.1:EAX, the signature, says of one (SDM vol. 2, CPUID).
#define VENDOR_GENU                0x756e6547u
#define SIGNATURE_IS_FAMILY_6(eax) (((eax)&0x0ff00f00) == 0x600)
#define SIGNATURE_MODEL(eax)       (((eax) >> 4 & 0xf) | ((eax) >> 12 & 0xf0))
