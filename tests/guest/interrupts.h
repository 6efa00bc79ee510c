// The interrupt tests that run in both modes of the local APIC: interrupts.c has them, x2apic.c runs them
// again.
#pragma once

// It does not find rest with this list.
// clang-format off
#define INTERRUPT_TESTS(X)                                                                     \
    X(self_ipi) X(self_shorthand) X(priorities) X(task_priority) X(cr8) X(nesting) X(eoi)      \
    X(masked_by_if) X(nmi) X(nmi_iret) X(absent_targets) X(timer_one_shot) X(timer_periodic)               \
    X(timer_masked) X(timer_deadline) X(sti_shadow) X(mov_ss_shadow) X(popf_no_shadow)         \
    X(over_exits) X(uart_thre) X(uart_thre_masked) X(hlt_timer) X(hlt_pending) X(hlt_repeated) \
    X(hlt_deadline)
// clang-format on
#define X(name) void test_##name(void);
INTERRUPT_TESTS(X)
#undef X
