; The world switch: world_switch of arch/world.h calls world_enter with struct world * in RDI and gets enum world_result in
; EAX; of the other registers only RBX, RBP and RSP are kept. The guest's registers are loaded, and the exit lands at world_exit
; with the stack as it was. HOST_RSP is written only when it changes, which is once, since the caller is always the same.
;
; An NMI in root mode is only counted (traps.c). One that comes after the last look at the counter would wait for the
; next exit: so if it interrupts world_check..world_entered, the trap handler moves RIP to world_nmi.

%include "layout.inc"

%define HOST_RSP_FIELD 0x6c14
%define TRIAL_WAIT     0x10000          ; turns, of a cycle at least: an interrupt that is pending comes at once

extern world_nmis
global world_enter, world_check, world_entered, world_nmi, world_trial, world_open, world_idle, world_exit

section .text
bits 64

%macro load_guest 0
    mov rax, [rdi + WORLD_REGS + 0 * 8]
    mov rcx, [rdi + WORLD_REGS + 1 * 8]
    mov rdx, [rdi + WORLD_REGS + 2 * 8]
    mov rbx, [rdi + WORLD_REGS + 3 * 8]
    mov rbp, [rdi + WORLD_REGS + 5 * 8]
    mov rsi, [rdi + WORLD_REGS + 6 * 8]
    mov r8,  [rdi + WORLD_REGS + 8 * 8]
    mov r9,  [rdi + WORLD_REGS + 9 * 8]
    mov r10, [rdi + WORLD_REGS + 10 * 8]
    mov r11, [rdi + WORLD_REGS + 11 * 8]
    mov r12, [rdi + WORLD_REGS + 12 * 8]
    mov r13, [rdi + WORLD_REGS + 13 * 8]
    mov r14, [rdi + WORLD_REGS + 14 * 8]
    mov r15, [rdi + WORLD_REGS + 15 * 8]
    mov rdi, [rdi + WORLD_REGS + 7 * 8]
%endmacro

world_enter:
    push rbx
    push rbp
    push rdi
    cmp rsp, [rdi + WORLD_HOST_RSP]
    jne world_move_stack
world_check:
    cmp qword [rel world_nmis], 0
    jne world_nmi
    cmp qword [rdi + WORLD_LAUNCHED], 0
    load_guest                          ; MOV leaves the flags alone
    je world_launch
    vmresume
    jmp world_failed
world_launch:
    vmlaunch
world_entered:                          ; only a failed entry comes by here
world_failed:
    pop rdi
    mov eax, 1
    jmp world_return

world_move_stack:
    mov [rdi + WORLD_HOST_RSP], rsp
    mov rax, HOST_RSP_FIELD
    vmwrite rax, rsp
    jmp world_check

world_nmi:
    pop rdi
    mov eax, 2
    jmp world_return

; Two guests of the monitor's own (hv/own_guest.h). world_trial sends itself an interrupt while it takes none, by the ICR in
; the local APIC's page at RDI or, with RDI = 0, by the MSR in ECX. It exits, and takes any from world_open on (hv/trial.c).
; world_idle only exits.
world_trial:
    test rdi, rdi
    jz trial_msr
    mov [rdi], eax
    jmp trial_sent
trial_msr:
    wrmsr
trial_sent:
    cpuid
world_open:
    mov ecx, TRIAL_WAIT
    sti
trial_wait:
    dec ecx
    jnz trial_wait
world_idle:
    vmcall
    jmp world_idle

; The VMCS's HOST_RIP. On the stack: struct world *.
world_exit:
    xchg rdi, [rsp]                     ; rdi: world, [rsp]: the guest's RDI
    mov [rdi + WORLD_REGS + 0 * 8], rax
    mov [rdi + WORLD_REGS + 1 * 8], rcx
    mov [rdi + WORLD_REGS + 2 * 8], rdx
    mov [rdi + WORLD_REGS + 3 * 8], rbx
    mov [rdi + WORLD_REGS + 5 * 8], rbp
    mov [rdi + WORLD_REGS + 6 * 8], rsi
    pop qword [rdi + WORLD_REGS + 7 * 8]
    mov [rdi + WORLD_REGS + 8 * 8], r8
    mov [rdi + WORLD_REGS + 9 * 8], r9
    mov [rdi + WORLD_REGS + 10 * 8], r10
    mov [rdi + WORLD_REGS + 11 * 8], r11
    mov [rdi + WORLD_REGS + 12 * 8], r12
    mov [rdi + WORLD_REGS + 13 * 8], r13
    mov [rdi + WORLD_REGS + 14 * 8], r14
    mov [rdi + WORLD_REGS + 15 * 8], r15
    mov qword [rdi + WORLD_LAUNCHED], 1
    xor eax, eax
world_return:
    pop rbp
    pop rbx
    ret
