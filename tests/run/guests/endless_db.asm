; #DB whose delivery raises #DB, for ever: a data breakpoint on the slot of its own stack to which its frame's SS goes.
TABLES equ 0x110000
STACK  equ 0x115000                   ; its end
bits 32
org 0x10000C                          ; behind the Multiboot header
    mov dword [TABLES], TABLES + 0x1003
    mov dword [TABLES + 0x1000], TABLES + 0x2003
    mov dword [TABLES + 0x2000], 0x83 ; 2M
    mov eax, TABLES
    mov cr3, eax
    mov eax, 1 << 5                   ; PAE
    mov cr4, eax
    mov ecx, 0xC0000080
    mov eax, 1 << 8                   ; LME
    xor edx, edx
    wrmsr
    mov eax, cr0
    or eax, 1 << 31
    mov cr0, eax
    lgdt [gdt_register]
    jmp 0x08:long_mode

bits 64
long_mode:
    mov eax, 0x10
    mov ss, eax
    mov esp, STACK - 0x800
    mov word [idt + 1 * 16], handler - $$ + 0x000C
    mov dword [idt + 1 * 16 + 2], 0x010008 ; IST 1
    mov byte [idt + 1 * 16 + 5], 0x8E
    mov word [idt + 1 * 16 + 6], 0x10
    lidt [idt_register]
    mov eax, tss
    mov [gdt + 0x18 + 2], ax
    shr eax, 16
    mov [gdt + 0x18 + 4], al
    mov eax, 0x18
    ltr ax
    mov eax, STACK - 8
    mov dr0, rax
    mov eax, 2 | 9 << 16              ; 8 bytes, written
    mov dr7, rax
    mov dx, 0x3F8
    mov al, '~'
    out dx, al
    mov [STACK - 8], rax
handler:
    jmp handler

align 8
gdt:
    dq 0
    dq 0x00AF9B000000FFFF             ; 64-bit code
    dq 0x00CF93000000FFFF             ; data
    dq 0x0000890000000067, 0          ; TSS
gdt_register:
    dw $ - gdt - 1
    dq gdt
idt_register:
    dw 32 * 16 - 1
    dq idt
align 8
tss:
    times 36 db 0
    dq STACK                          ; IST 1
    times 60 db 0
align 16
idt:
    times 32 * 16 db 0
