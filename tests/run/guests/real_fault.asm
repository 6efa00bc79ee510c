; A guest in real mode whose RDMSR faults. The frame there has no error code: status 13 says that it was right.
bits 32
org 0x10000C                          ; behind the Multiboot header
LOW equ 0x8000                        ; where real mode reaches it
    cli
    mov esi, low
    mov edi, LOW
    mov ecx, low_end - low
    rep movsb
    lgdt [gdt_register]
    jmp 0x08:LOW

align 8
gdt:
    dq 0
    dq 0x00009B000000FFFF             ; 16-bit code
    dq 0x000093000000FFFF             ; 16-bit data
gdt_register:
    dw $ - gdt - 1
    dd gdt

bits 16
low:
    mov ax, 0x10
    mov ds, ax
    mov ss, ax
    mov eax, cr0
    and al, 0xFE
    mov cr0, eax
    jmp 0:LOW + real - low
real:
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7000
    lidt [LOW + idt_register - low]
    mov word [13 * 4], LOW + handler - low
    mov word [13 * 4 + 2], 0
    mov ecx, 0x12345678
fault:
    rdmsr
    mov al, 1
    out 0xF4, al
handler:
    pop bx                            ; IP, then CS and FLAGS
    mov al, 2
    cmp bx, LOW + fault - low
    jne .end
    mov al, 3
    cmp sp, 0x7000 - 4
    jne .end
    mov al, 13
.end:
    out 0xF4, al
    jmp .end
idt_register:
    dw 0x3FF
    dd 0
low_end:
