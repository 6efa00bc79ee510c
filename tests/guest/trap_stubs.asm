; The 256 entry points of the IDT, and the guarded call that lets a test end by an unexpected trap.
; Every stub builds a struct regs (guest.h) and calls trap_dispatch. Neighbours: traps.c decides, boot.asm has the GDT.

extern trap_dispatch
global trap_stubs, guarded_call, guarded_abort

section .text
bits 64

; Stub v: 16 bytes each, so that traps.c computes its address.
%assign v 0
align 16
trap_stubs:
%rep 256
    align 16
%if v = 8 || (v >= 10 && v <= 14) || v = 17 || v = 21
    nop
    nop
%else
    push 0
%endif
    push v
    jmp near trap_common
%assign v v + 1
%endrep

trap_common:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    mov rbx, rsp
    and rsp, -16
    cld
    call trap_dispatch
    mov rsp, rbx
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq

; void guarded_call(void (*run)(void)): calls it; guarded_abort() from anywhere inside returns from here instead.
guarded_call:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rel guarded_rsp], rsp
    sub rsp, 8
    call rdi
guarded_return:
    mov rsp, [rel guarded_rsp]
    mov qword [rel guarded_rsp], 0
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

; Outside of a guarded call there is nothing to return to: the status 0xFF ends the guest, or the processor stops.
guarded_abort:
    cmp qword [rel guarded_rsp], 0
    jne guarded_return
    mov al, 0xFF
    out 0xF4, al
    cli
    hlt

section .bss
alignb 8
guarded_rsp: resq 1
