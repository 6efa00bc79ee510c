; Entry of the micro-guest kernel: Multiboot 1 header, 32-bit protected mode without paging to 64-bit mode.
; Builds the identity tables (8 GiB in 2M pages, plus the low 256 MiB again for ring 3 at USER_ALIAS), loads the GDT.
; It tests nothing. Neighbours: main.c (guest_main), trap_stubs.asm (IDT stubs), mode32.asm (the way back down).

USER_ALIAS_FIRST equ 3 * 512          ; index of the 2M page at 0xC0000000 in the four page directories
USER_ALIAS_PAGES equ 128
STACK_SIZE       equ 16384

extern guest_main, image_start, image_load_end, image_end
global boot_entry, gdt, gdt_register, boot_pml4, boot_pd, boot_stack_top, boot_cr4

section .multiboot
align 4
multiboot_header:
    dd 0x1BADB002, 3, -(0x1BADB002 + 3)
    dd multiboot_header, image_start, image_load_end, image_end, boot_entry ; valid where tests/run/multiboot.t sets flag 16

section .text
bits 32
boot_entry:
    cli
    cld
    mov esp, boot_stack_top
    mov [boot_magic], eax
    mov [boot_info], ebx
    mov eax, cr4
    mov [boot_cr4], eax
    call build_tables
    lgdt [gdt_register]
    mov eax, cr4
    or eax, 1 << 5                    ; PAE
    mov cr4, eax
    mov eax, boot_pml4
    mov cr3, eax
    mov ecx, 0xC0000080               ; IA32_EFER: LME and NXE
    rdmsr
    or eax, 1 << 8 | 1 << 11
    wrmsr
    mov eax, cr0
    or eax, 1 << 31 | 1 << 16 | 1 << 5 | 1 << 1
    and eax, ~(1 << 2 | 1 << 3)       ; PG, WP, NE, MP set; EM, TS clear
    mov cr0, eax
    jmp 0x08:boot_long

; All upper entries are present, writable and user; the 2M entries decide who may touch what.
build_tables:
    mov eax, boot_pdpt
    or eax, 7
    mov [boot_pml4], eax
    mov eax, boot_pd
    or eax, 7
    mov edi, boot_pdpt
    mov ecx, 8
.pdpt:
    mov [edi], eax
    add eax, 4096
    add edi, 8
    loop .pdpt
    xor ecx, ecx
.pd:
    mov eax, ecx
    shl eax, 21
    or eax, 0x83                      ; present, writable, 2M
    mov edx, ecx
    shr edx, 11
    mov [boot_pd + ecx * 8], eax
    mov [boot_pd + ecx * 8 + 4], edx
    inc ecx
    cmp ecx, 8 * 512
    jb .pd
    xor ecx, ecx
.user:
    mov eax, ecx
    shl eax, 21
    or eax, 0x87                      ; the same, and user
    mov [boot_pd + (USER_ALIAS_FIRST + ecx) * 8], eax
    inc ecx
    cmp ecx, USER_ALIAS_PAGES
    jb .user
    ret

bits 64
boot_long:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lgdt [rel gdt_register]           ; again: the upper half of the base
    mov rax, cr4
    or rax, 1 << 9 | 1 << 10          ; OSFXSR, OSXMMEXCPT
    mov cr4, rax
    mov edi, [rel boot_magic]
    mov esi, [rel boot_info]
    call guest_main
.stop:
    hlt
    jmp .stop

section .data
align 16
; Selectors are named in guest.h. The order 08 10 18 20 28 is what SYSCALL, SYSRET, SYSENTER and SYSEXIT want.
gdt:
    dq 0
    dq 0x00AF9B000000FFFF             ; 08 code64, ring 0
    dq 0x00CF93000000FFFF             ; 10 data, ring 0
    dq 0x00CFFB000000FFFF             ; 18 code32, ring 3
    dq 0x00CFF3000000FFFF             ; 20 data, ring 3
    dq 0x00AFFB000000FFFF             ; 28 code64, ring 3
    dq 0x00CF9B000000FFFF             ; 30 code32, ring 0
    dq 0x00CF13000000FFFF             ; 38 data, not present
    dq 0x00AF1B000000FFFF             ; 40 code64, not present
    dq 0, 0                           ; 48 TSS, filled by traps.c
    dq 0x00CF91000000FFFF             ; 58 data, read-only
    dq 0x00AF9F000000FFFF             ; 60 code64, conforming
    dq 0x0000820000000000, 0          ; 68 LDT, empty
    dq 0x0000090000000067, 0          ; 78 TSS, not present
    dq 0x00CF9B000000FFFF             ; 88 code32, ring 0, the 32-bit tests
    dq 0x00EF9B000000FFFF             ; 90 code with L and D both set: never legal
gdt_register:
    dw gdt_register - gdt - 1
    dq gdt

section .bss
alignb 4096
boot_pml4:  resb 4096
boot_pdpt:  resb 4096
boot_pd:    resb 8 * 4096
boot_stack: resb STACK_SIZE
boot_stack_top:
boot_magic: resd 1
boot_info:  resd 1
boot_cr4:   resd 1
