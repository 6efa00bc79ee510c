; A guest that tries to start the machine's other processor behind the monitor's back. Multiboot 1, 32-bit, no paging.
; It fills all of its RAM with pages of a program for real mode that writes "!" to COM1, then sends INIT and SIPI to
; APIC ID 1 for every page below 636K, then an NMI, and ends with status 0. Run by tests/run/park.t, which says what
; must not happen. Where its RAM includes a machine frame there, an unparked processor runs the guest's program.

PORT      equ 0x3f8
ICR       equ 0xfee00300
ICR_HIGH  equ 0xfee00310
VICTIM    equ 1
INIT      equ 0x4500
SIPI      equ 0x4600
NMI       equ 0x4400
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
    mov ebp, [ebx + 8]                  ; mem_upper: KiB from 1M
    shl ebp, 10
    add ebp, 0x100000
    mov esi, text_begin
    call print
    mov eax, 0x1000                     ; page 0 needs no program: no SIPI is sent for it
    mov edx, 0xa0000
    call fill
    mov eax, image_end
    mov edx, ebp
    call fill
    mov ebx, 0x9e
.page:
    mov eax, INIT
    call send
    lea eax, [ebx + SIPI]
    call send
    dec ebx
    jnz .page
    mov eax, NMI
    call send
    mov esi, text_end
    call print
    mov al, 0
    out 0xf4, al
.stop:
    hlt
    jmp .stop

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

; The interrupt command eax to the victim, and some time for it.
send:
    mov dword [ICR_HIGH], VICTIM << 24
    mov [ICR], eax
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
text_begin: db "park: attack begins", 13, 10, 0
text_end:   db "park: attack over", 13, 10, 0

section .bss
    resb 4096
stack_top:
