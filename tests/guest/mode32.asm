; Going down from 64-bit mode to 32-bit protected mode without paging, running a 32-bit routine there, and coming back;
; and the routines themselves: no paging, two-level paging, PAE paging. Each `try32` and `note32` appends one row to
; mode32_rows. Neighbour: paging32.c builds the tables and says what every row must be.

CODE32    equ 0x88
DATA      equ 0x10
CODE64    equ 0x08
IA32_EFER equ 0xC0000080
WINDOW    equ 0x40000000              ; where paging32.c maps its test pages
LAPIC_VER equ 0xFEE00030
IOAPIC    equ 0xFEC00000
HOLE      equ 0xD8000000
SCRATCH   equ 0x3FF

extern boot_pml4, idt_register, frame_a, frame_b, pd32, pt32, pdpt_pae, pt_pae
global mode32_run, mode32_rows, mode32_count, mode32_unpaged, mode32_two_level, mode32_pae
global mode32_store, mode32_target, mode32_value

section .text
bits 64
; void mode32_run(u32 routine): calls the 32-bit routine in 32-bit protected mode with paging off.
mode32_run:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rel saved_rsp], rsp
    mov rax, cr4
    mov [rel saved_cr4], rax
    mov rax, cr0
    mov [rel saved_cr0], rax
    mov dword [rel mode32_count], 0
    call fill_idt32
    push CODE32
    push down
    retfq

fill_idt32:
    xor ecx, ecx
.gate:
    lea rax, [rcx * 8 + rcx]
    lea rax, [rax + stubs32]          ; 9 bytes a stub
    mov [idt32 + rcx * 8], ax
    mov word [idt32 + rcx * 8 + 2], CODE32
    mov word [idt32 + rcx * 8 + 4], 0x8E00
    shr eax, 16
    mov [idt32 + rcx * 8 + 6], ax
    inc ecx
    cmp ecx, 32
    jb .gate
    ret

bits 32
down:
    mov eax, cr0
    and eax, 0x7FFFFFFF
    mov cr0, eax                      ; leaves IA-32e mode
    mov ecx, IA32_EFER
    rdmsr
    and eax, ~(1 << 8)
    wrmsr
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, stack32_top
    lidt [idt32_register]
    call edi
    mov eax, cr0
    and eax, 0x7FFFFFFF
    mov cr0, eax
    mov eax, [saved_cr4]
    mov cr4, eax
    mov eax, boot_pml4
    mov cr3, eax
    mov ecx, IA32_EFER
    rdmsr
    or eax, 1 << 8
    wrmsr
    mov eax, [saved_cr0]
    mov cr0, eax
    jmp CODE64:up

bits 64
up:
    mov rsp, [rel saved_rsp]
    lidt [rel idt_register]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

bits 32
; Every stub is 9 bytes: two pushes (or one and padding) and a near jump.
%assign v 0
stubs32:
%rep 32
%if v = 8 || (v >= 10 && v <= 14) || v = 17
    nop
    nop
%else
    push byte 0
%endif
    push byte v
    jmp near caught32
%assign v v + 1
%endrep

caught32:
    pop dword [row_vector]
    pop dword [row_error]
    mov esp, [resume_esp]
    jmp dword [resume_eip]

; Appends {vector, error, CR2 if #PF, value}. EAX is the value; changes nothing.
append:
    pushad
    mov ebx, [mode32_count]
    shl ebx, 4
    mov ecx, [row_vector]
    mov [mode32_rows + ebx], ecx
    mov edx, [row_error]
    mov [mode32_rows + ebx + 4], edx
    xor edx, edx
    cmp ecx, 14
    jne .store
    mov edx, cr2
.store:
    mov [mode32_rows + ebx + 8], edx
    mov [mode32_rows + ebx + 12], eax
    inc dword [mode32_count]
    popad
    ret

%macro clear_row 0
    mov dword [row_vector], 0x100
    mov dword [row_error], 0
%endmacro
; A row with EAX as value and no trap.
%macro note32 0
    clear_row
    call append
%endmacro
; A row with the trap that the instruction gives, and EAX after it.
%macro try32 1+
    clear_row
    mov [resume_esp], esp
    mov dword [resume_eip], %%after
    %1
%%after:
    call append
%endmacro

; What both paging modes and no paging share: devices, ports and exits seen from 32-bit code.
exits32:
    mov eax, [LAPIC_VER]
    and eax, 0xF0
    note32
    mov dword [IOAPIC], 1
    mov eax, [IOAPIC + 16]
    shr eax, 16
    and eax, 0xFF
    note32
    mov ebx, IOAPIC
    mov dword [ebx], 0x3D
    mov dword [ebx + 16], 0x47000000
    mov ecx, 4
    mov eax, [ebx + ecx * 4]
    note32
    mov eax, [HOLE]
    note32
    mov dx, SCRATCH
    mov al, 0x6B
    out dx, al
    mov edi, scratch32
    mov ecx, 3
    rep insb
    mov eax, [scratch32]
    and eax, 0xFFFFFF
    note32
    xor eax, eax
    cpuid
    mov eax, ebx
    note32
    mov ecx, IA32_EFER
    rdmsr
    and eax, 0x500
    note32
    mov ecx, 0x1234
    mov eax, 0x55
    try32 rdmsr
    mov eax, cr0
    shr eax, 31
    note32
    ret

mode32_unpaged:
    call exits32
    mov eax, [frame_a]
    note32
    mov eax, 0x55
    try32 ud2
    mov ecx, 0x7FFFFFFF
    add ecx, 1
    try32 into
    mov ecx, 5
    try32 bound ecx, [bounds32]
    pushfd
    or dword [esp], 1 << 14
    popfd
    try32 iret                        ; NT: the back link of the TSS is no TSS
    pushfd
    and dword [esp], ~(1 << 14)
    popfd
    mov eax, cr4
    and eax, ~(1 << 5)
    mov cr4, eax                      ; PAE may be cleared here
    mov ecx, IA32_EFER
    rdmsr
    or eax, 1 << 8
    wrmsr
    mov ebx, cr0
    or ebx, 1 << 31
    xor eax, eax
    try32 mov cr0, ebx                ; PG with LME but without PAE
    mov ecx, IA32_EFER
    rdmsr
    and eax, ~(1 << 8)
    wrmsr
    mov ebx, cr0
    and ebx, ~(1 << 0)
    or ebx, 1 << 31
    xor eax, eax
    try32 mov cr0, ebx                ; PG without PE
    ret

mode32_store:
    mov eax, [mode32_value]
    mov ebx, [mode32_target]
    mov [ebx], eax
    ret

; Common checks of the window: page 0 is frame_a, read-write; 1 is frame_a, read-only; 2 is absent; 3 is frame_a, with a
; reserved bit where the format has one.
window32:
    mov eax, [WINDOW]
    note32
    mov dword [WINDOW + 4], 0x1357
    mov eax, [frame_a + 4]
    note32
    xor eax, eax
    try32 mov dword [WINDOW + 0x1008], 1
    try32 mov eax, [WINDOW + 0x2010]
    try32 mov dword [WINDOW + 0x2014], 1
    try32 mov eax, [WINDOW + 0x3000]
    ret

mode32_two_level:
    mov eax, cr4
    and eax, ~(1 << 5)
    or eax, 1 << 4
    mov cr4, eax
    mov eax, pd32
    mov cr3, eax
    mov eax, cr0
    or eax, 1 << 31
    mov cr0, eax
    call exits32
    call window32
    xor eax, eax
    try32 mov eax, [WINDOW + 0x800000] ; 4M entry with a reserved bit
    mov eax, [pt32]
    and eax, 0x67                     ; accessed and dirty
    note32
    mov eax, [pt32 + 4]
    and eax, 0x47                     ; dirty; a refused write may set accessed
    note32
    mov eax, frame_b
    or eax, 7
    mov [pt32], eax
    invlpg [WINDOW]
    mov eax, [WINDOW]
    note32
    mov eax, frame_a
    or eax, 7
    mov [pt32], eax
    mov eax, cr3
    mov cr3, eax
    mov eax, [WINDOW]
    note32
    mov ecx, IA32_EFER
    rdmsr
    or eax, 1 << 8
    try32 wrmsr                       ; LME cannot change with paging on
    ret

mode32_pae:
    mov eax, cr4
    or eax, 1 << 5
    mov cr4, eax
    mov eax, pdpt_pae
    mov cr3, eax
    mov eax, cr0
    or eax, 1 << 31
    mov cr0, eax
    call exits32
    call window32
    xor eax, eax
    mov edx, WINDOW + 0x4000
    try32 call edx                    ; no-execute page
    mov eax, [pt_pae]
    and eax, 0x67
    note32
    ; The entries of the PDPT are loaded by MOV CR3 only.
    and dword [pdpt_pae + 8], ~1
    invlpg [WINDOW]
    xor eax, eax
    try32 mov eax, [WINDOW]
    mov eax, cr3
    mov cr3, eax
    xor eax, eax
    try32 mov eax, [WINDOW]
    or dword [pdpt_pae + 8], 1
    mov eax, cr3
    mov cr3, eax
    try32 mov eax, [WINDOW]
    ; A reserved bit in a present PDPT entry: MOV CR3 gives #GP and keeps the old ones.
    or dword [pdpt_pae + 16], 1 << 1 | 1
    mov ebx, cr3
    xor eax, eax
    try32 mov cr3, ebx
    try32 mov eax, [WINDOW]
    mov ebx, cr0
    and ebx, 0x7FFFFFFF
    mov cr0, ebx
    or ebx, 1 << 31
    xor eax, eax
    try32 mov cr0, ebx                ; and so does setting PG
    mov eax, cr0
    shr eax, 31
    note32
    mov dword [pdpt_pae + 16], 0
    ret

section .data
align 8
idt32_register:
    dw 32 * 8 - 1
    dd idt32
bounds32: dd 10, 20

section .bss
alignb 16
idt32:        resq 32
mode32_rows:  resd 4 * 64
mode32_count: resd 1
mode32_target: resd 1
mode32_value: resd 1
row_vector:   resd 1
row_error:    resd 1
resume_esp:   resd 1
resume_eip:   resd 1
scratch32:    resd 1
alignb 8
saved_rsp:    resq 1
saved_cr4:    resq 1
saved_cr0:    resq 1
alignb 16
              resb 4096
stack32_top:
