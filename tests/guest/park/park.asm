; A guest that tries to get the machine's other processor to run its code behind the monitor's back. Multiboot 1, 32-bit,
; paged one to one, since Bochs 2.7 comes back from an SMI with CR0.PG = 1. It fills all of its RAM with pages of a
; program for real mode that writes "!" to COM1; then it sends INIT and SIPI to APIC ID 1 for every page below 636K, then
; every command that a local APIC can send, to the other processor, to itself and by shorthand, in xAPIC mode and in
; x2APIC mode, and ends with INIT to itself. Run by tests/run/park.t, which says what must not happen. Where its RAM
; includes a machine frame from which an unparked processor starts, or one in system-management mode, the program runs.

CODE      equ 0x08
DATA      equ 0x10
PORT      equ 0x3f8
APIC_BASE equ 0x1b                      ; MSRs
X2APIC_ICR equ 0x830
EXTD      equ 1 << 10
SVR       equ 0xfee000f0
ICR       equ 0xfee00300
ICR_HIGH  equ 0xfee00310
OTHER     equ 1
INIT      equ 0x4500
SIPI      equ 0x4600
ALL       equ 2 << 18                   ; shorthands
OTHERS    equ 3 << 18
PATIENCE  equ 20000                     ; turns of a loop: time for the other processor

extern image_end

section .multiboot
align 4
    dd 0x1BADB002, 2, -(0x1BADB002 + 2)

section .text
bits 32
global boot_entry
boot_entry:
    cli
    cld
    mov esp, stack_top
    lgdt [gdt_pointer]
    jmp CODE:.code
.code:
    mov ax, DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov ebp, [ebx + 8]                  ; mem_upper: KiB from 1M
    shl ebp, 10
    add ebp, 0x100000
    call start_paging
    call catch_nmis
    mov dword [SVR], 0x1ff              ; enabled: else the guest's own local APIC takes no fixed interrupt
    mov esi, text_begin
    call print
    mov eax, 0x1000                     ; page 0 needs no program: no SIPI is sent for it
    mov edx, 0xa0000
    call fill
    mov eax, image_end
    mov edx, ebp
    call fill
    call start_pages
    call commands
    mov esi, text_x2apic
    call print
    mov ecx, APIC_BASE
    rdmsr
    or eax, EXTD
    wrmsr
    mov byte [in_x2apic], 1
    call commands
    mov esi, text_end
    call print
    xor edx, edx
    mov eax, INIT
    call send
.stop:
    hlt
    jmp .stop

; 4M pages.
start_paging:
    mov edi, directory
    mov eax, 0x83                       ; present, writable, 4M
.page:
    stosd
    add eax, 1 << 22
    jnc .page
    mov eax, directory
    mov cr3, eax
    mov eax, cr4
    or eax, 1 << 4                      ; PSE
    mov cr4, eax
    mov eax, cr0
    or eax, 1 << 31                     ; PG
    mov cr0, eax
    ret

; INIT and SIPI for every page.
start_pages:
    mov ebx, 0x9e
.page:
    mov edx, OTHER
    mov eax, INIT
    call send
    mov edx, OTHER
    lea eax, [ebx + SIPI]
    call send
    dec ebx
    jnz .page
    ret

; Every row of the table, in the mode that is on.
commands:
    mov ebx, rows
.row:
    mov esi, [ebx + 8]
    call print
    mov eax, [ebx]
    mov edx, [ebx + 4]
    call send
    add ebx, 12
    cmp ebx, rows_end
    jb .row
    ret

; An NMI to itself must not end the guest: it returns.
catch_nmis:
    mov eax, nmi
    mov [idt + 2 * 8], ax
    mov [idt + 2 * 8 + 2], cs
    mov word [idt + 2 * 8 + 4], 0x8e00
    shr eax, 16
    mov [idt + 2 * 8 + 6], ax
    lidt [idt_pointer]
    ret
nmi:
    iretd

; The program into each page of [eax, edx).
fill:
    mov esi, program
    mov edi, eax
    mov ecx, program_end - program
    rep movsb
    add eax, 4096
    cmp eax, edx
    jb fill
    ret

; The interrupt command eax to APIC ID edx, and some time for it.
send:
    cmp byte [in_x2apic], 0
    jne .msr
    shl edx, 24
    mov [ICR_HIGH], edx
    mov [ICR], eax
    jmp .sent
.msr:
    mov ecx, X2APIC_ICR
    wrmsr
.sent:
    mov ecx, PATIENCE
.wait:
    pause
    loop .wait
    ret

print:
    mov dx, PORT + 5
.busy:
    in al, dx
    test al, 0x20
    jz .busy
    mov dx, PORT
    lodsb
    test al, al
    jz .done
    out dx, al
    jmp print
.done:
    ret

bits 16
program:
    mov dx, PORT
    mov al, '!'
    out dx, al
.stop:
    cli
    hlt
    jmp .stop
program_end:

section .rodata
text_begin:  db "park: attack begins", 13, 10, 0
text_x2apic: db "park: x2APIC mode", 13, 10, 0
text_end:    db "park: attack over", 13, 10, 0

; command, destination, its line. Edge-triggered, level "assert". One processor's INIT comes last: it ends the guest.
section .data
align 4
%macro row 3
    [section .rodata]
%%text: db "park: ", %3, 13, 10, 0
    __SECT__
    dd %1, %2, %%text
%endmacro
rows:
    row 0x4041, OTHER, "fixed to the other"
    row 0x400f, OTHER, "fixed, vector below 16, to the other"
    row 0x4141, OTHER, "lowest priority to the other"
    row 0x4200, OTHER, "SMI to the other"
    row 0x4341, OTHER, "remote read to the other"
    row 0x4400, OTHER, "NMI to the other"
    row INIT, OTHER, "INIT to the other"
    row 0x8500, OTHER, "INIT level de-assert to the other"
    row SIPI | 0x38, OTHER, "SIPI to the other"
    row 0x4741, OTHER, "ExtINT to the other"
    row OTHERS | 0x4041, 0, "fixed to all but self"
    row OTHERS | 0x4141, 0, "lowest priority to all but self"
    row OTHERS | 0x4200, 0, "SMI to all but self"
    row OTHERS | 0x4400, 0, "NMI to all but self"
    row OTHERS | INIT, 0, "INIT to all but self"
    row OTHERS | SIPI | 0x38, 0, "SIPI to all but self"
    row 0x4041, 0, "fixed to itself"
    row 0x4011, 0, "fixed, vector below 32, to itself"
    row 0x4141, 0, "lowest priority to itself"
    row 0x4200, 0, "SMI to itself"
    row 0x4400, 0, "NMI to itself"
    row SIPI | 0x38, 0, "SIPI to itself"
    row ALL | 0x4041, 0, "fixed to all"
    row ALL | 0x4200, 0, "SMI to all"
    row ALL | 0x4400, 0, "NMI to all"
    row ALL | SIPI | 0x38, 0, "SIPI to all"
    row 0x4200, OTHER, "SMI to the other, once more"
rows_end:
gdt: dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer: dw 3 * 8 - 1
    dd gdt
idt_pointer: dw 3 * 8 - 1
    dd idt

section .bss
align 4096
directory: resd 1024
idt: resb 3 * 8
in_x2apic: resb 1
    resb 4096
stack_top:
