; #AC whose delivery raises #AC, for ever: ring 3 handles its own, on a stack that is not aligned.
bits 32
org 0x10000C                          ; behind the Multiboot header
    lgdt [gdt_register]
    lidt [idt_register]
    jmp 0x08:.flat
.flat:
    mov eax, 0x10
    mov ss, eax
    mov esp, 0x180000
    mov eax, cr0
    or eax, 1 << 18                   ; AM
    mov cr0, eax
    mov word [idt + 17 * 8], handler - $$ + 0x000C
    mov word [idt + 17 * 8 + 2], 0x1B
    mov word [idt + 17 * 8 + 4], 0x8E00
    mov word [idt + 17 * 8 + 6], 0x10
    mov eax, 0x23
    mov ds, eax
    mov dx, 0x3F8
    mov al, '~'
    out dx, al
    push 0x23
    push 0x17FFF1
    push 1 << 18 | 2                  ; AC
    push 0x1B
    push user
    iret
user:
    mov eax, [0x100001]
handler:
    jmp handler

align 8
gdt:
    dq 0
    dq 0x00CF9B000000FFFF             ; code
    dq 0x00CF93000000FFFF             ; data
    dq 0x00CFFB000000FFFF             ; code of ring 3
    dq 0x00CFF3000000FFFF             ; data of ring 3
gdt_register:
    dw $ - gdt - 1
    dd gdt
idt_register:
    dw 32 * 8 - 1
    dd idt
align 8
idt:
    times 32 dq 0
