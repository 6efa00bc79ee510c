; Instruction sequences for single-stepping, with the address after each instruction in a table. The first step comes
; after the instruction that follows POPF. Neighbour: debug.c compares the table with the #DB exceptions.

LAPIC_VERSION equ 0xFEE00030
IOAPIC_SELECT equ 0xFEC00000
HOLE          equ 0xD8000000
SCRATCH       equ 0x3FF

; steps NAME begins a function that sets TF and then runs the instructions of the following `s` lines; `end_steps NAME`
; ends it. `s` puts the address after its instruction into the table step_NAME_labels.
%macro steps 1
    global step_%1, step_%1_labels, step_%1_count
section .rodata
    align 8
step_%1_labels:
section .text
step_%1:
    push rbx
    sub rsp, 64
    pushfq
    or dword [rsp], 1 << 8
    popfq
%endmacro
%macro s 1+
    %1
%%after:
section .rodata
    dq %%after
section .text
%endmacro
%macro end_steps 1
    add rsp, 64                       ; #DB at the last label took TF away
    pop rbx
    ret
section .rodata
step_%1_count: dq ($ - step_%1_labels) / 8
section .text
%endmacro

section .text
bits 64
steps plain
    s nop
    s mov eax, 1
    s add eax, 2
    s nop
end_steps plain

steps cpuid
    s nop
    s xor eax, eax
    s xor ecx, ecx
    s cpuid
    s nop
    s xor eax, eax
    s cpuid
    s cpuid
    s nop
end_steps cpuid

steps msr
    s mov ecx, 0xC0000080
    s rdmsr
    s wrmsr
    s mov ecx, 0x1B
    s rdmsr
    s wrmsr
    s mov ecx, 0x277
    s rdmsr
    s wrmsr
    s rdtsc
    s nop
end_steps msr

steps ports
    s mov edx, SCRATCH
    s mov al, 0x5A
    s out dx, al
    s in al, dx
    s in al, 0x21
    s out 0x21, al
    s mov edx, 0x1234
    s in eax, dx
    s nop
end_steps ports

steps mmio
    s mov rbx, LAPIC_VERSION
    s mov eax, [rbx]
    s mov rbx, IOAPIC_SELECT
    s mov dword [rbx], 1
    s mov eax, [rbx + 16]
    s nop
end_steps mmio

steps hole
    s mov rbx, HOLE
    s mov eax, [rbx]
    s mov [rbx], eax
    s nop
end_steps hole

steps control
    s mov rax, cr0
    s mov cr0, rax
    s mov rax, cr3
    s mov cr3, rax
    s mov rax, cr4
    s mov cr4, rax
    s clts
    s smsw eax
    s lmsw ax
    s nop
end_steps control

; REP: one step an iteration, RIP staying on the instruction until the last.
steps string
    s mov edx, SCRATCH
    s mov ecx, 1
    s mov rdi, rsp
    s rep insb
    s mov rsi, rsp
    s mov ecx, 1
    s rep outsb
    s insb
    s nop
end_steps string

steps invalidate
    s mov eax, 0x200000
    s invlpg [rax]
    s wbinvd
    s nop
end_steps invalidate

; The shadow of STI does not hold back a single step.
steps cli_sti
    s cli
    s sti
    s nop
    s cli
    s nop
end_steps cli_sti

; MOV SS holds it back by one instruction: the step over MOV SS is missing.
steps mov_ss
    s mov eax, ss
    mov ss, eax
    s nop
    s nop
end_steps mov_ss
