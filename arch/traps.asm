; Exception entry: 32 stubs that complete the trap frame (arch/traps.h) and call trap_handle, which may change it.
; A parked processor has two of its own, for what may reach it while it waits.
; Interrupts are never on: there are no stubs for them.

%include "layout.inc"

global trap_table, trap_parked_nmi, trap_parked_machine_check
extern trap_handle, park_machine_check, park_leave

%macro stub 1
trap_%1:
%if %1 = 8 || (%1 >= 10 && %1 <= 14) || %1 = 17 || %1 = 21
%else
    push 0                              ; the processor pushes an error code only for the vectors above
%endif
    push %1
    jmp trap_common
%endmacro

section .text
bits 64
%assign vector 0
%rep 32
    stub vector
%assign vector vector + 1
%endrep

trap_common:
    push r15
    push r14
    push r13
    push r12
    push r11
    push r10
    push r9
    push r8
    push rdi
    push rsi
    push rbp
    push qword 0                        ; the slot of RSP, which is further up
    push rbx
    push rdx
    push rcx
    push rax
    cld
    mov rdi, rsp
    call trap_handle
    pop rax
    pop rcx
    pop rdx
    pop rbx
    add rsp, 8
    pop rbp
    pop rsi
    pop rdi
    pop r8
    pop r9
    pop r10
    pop r11
    pop r12
    pop r13
    pop r14
    pop r15
    add rsp, 16
    iretq

trap_parked_machine_check:
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    cld
    mov rdi, rsp
    call park_machine_check
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    iretq

; Its stack is the end of a page that begins with its struct parked.
trap_parked_nmi:
    push rax
    mov rax, rsp
    and rax, -4096
    cmp dword [rax + PARKED_STAY], PARK_LEAVE
    pop rax
    je .leave
    iretq
.leave:
    mov rdi, rsp
    jmp park_leave

section .rodata
align 8
trap_table:
%assign vector 0
%rep 32
    dq trap_ %+ vector
%assign vector vector + 1
%endrep
