// The monitor's parameters, `name=value` words of its command line. Their table is params.def; this parses
// them and prints them. It acts on none of them.
#pragma once

#include <arch/frequency.h>
#include <hv/log.h>
#include <hv/mmu.h>

#define CONSOLE_AUTO 1 // console=auto and console=pci, which are no ports: those begin at 100H
#define CONSOLE_PCI  2

enum mmu_mode { MMU_EPT, MMU_SHADOW, MMU_MODES };
enum vpid_choice { VPID_OFF, VPID_ON, VPID_AUTO };
enum compare_choice { COMPARE_OFF, COMPARE_DEFAULT, COMPARE_LIST };
enum compare_how { COMPARE_BOOT, COMPARE_SWITCH, COMPARE_BOTH };
enum vmcall_choice { VMCALL_KERNEL, VMCALL_USER };
enum qr_choice { QR_AUTO, QR_ON, QR_OFF };
enum on_exit { ON_EXIT_POWEROFF, ON_EXIT_REBOOT, ON_EXIT_HALT };

static inline enum mmu_mode mmu_mode_other(enum mmu_mode mode)
{
    return mode == MMU_EPT ? MMU_SHADOW : MMU_EPT;
}

// A field for each PARAM row of params.def: mem is in bytes, p2m_max a P2M_LEVEL_*, console an I/O port, 0
// for none, CONSOLE_AUTO or CONSOLE_PCI.
struct params {
#define PARAM(field, type, ...) type field;
#define WORD(...)
#include "params.def"
#undef PARAM
#undef WORD
    const char *compare_list; // COMPARE_LIST: where the list begins; it ends at a space or NUL
};

enum {
#define PARAM(field, ...) PARAM_INDEX_##field,
#define WORD(...)
#include "params.def"
#undef PARAM
#undef WORD
    PARAMS_COUNT
};

// Defaults, then the words of `command_line` (separated by spaces or tabs). 0, or ERR_INVALID with one
// sentence in message[size], which lists what is valid: an unknown name, a bad value, or a name given twice
// (an edited menu entry with both `mem=1G` and `mem=512M` is a mistake, whichever was meant). After an error
// *params has the words before the bad one, so that the console that the user chose can show the sentence.
// The command line must stay: compare_list points into it.
int params_parse(struct params *params, const char *command_line, char *message, size_t size) must_check;

// Changes *params by one word of a configuration. ERR_INVALID with one sentence in message[size], also where
// the parameter is one that cannot differ between configurations.
int params_change(struct params *params, const char *word, char *message, size_t size) must_check;

// 0 if the two differ at most in parameters that may change while a guest runs; else ERR_INVALID, and one
// sentence in message[size] names the first that may not.
int params_same_but_mode(const struct params *params, const struct params *other, char *message,
                         size_t size) must_check;

// The value of the parameter `index` (0 to PARAMS_COUNT - 1), and whether it is the default.
u64 params_value(const struct params *params, unsigned index);
bool params_is_default(const struct params *params, unsigned index);

// Gives the parameter `index` a value of its type.
void params_set(struct params *params, unsigned index, u64 value);

// All parameters as they are in effect but those that are secret, separated by spaces: a guest may read it,
// and it fits into PARAMS_TEXT bytes, with the longest list that compare= may be. Returns the whole text's
// length, like fmt().
#define PARAMS_TEXT 2048
int params_text(const struct params *params, char *buffer, size_t size);

// `name=value` of the parameter `index` (0 to PARAMS_COUNT - 1) as it is in effect, such as `mem=512M`.
// Returns the whole text's length, like fmt().
int params_format(const struct params *params, unsigned index, char *buffer, size_t size);
