; Entry from GRUB by Multiboot2 (32-bit protected mode, paging off) at whatever address GRUB chose, to C in 64-bit mode.
; Builds the first page tables: the first 4 GiB one to one and again at the direct map, the image at -2 GiB.
; Of CR4 and IA32_EFER nothing is kept that firmware or GRUB has set.
; The direct map is completed by paging.c. What comes next is monitor_main in hv/main.c.
; Also here: the start of the other processors, which end in park_enter (arch/park.c).

%include "layout.inc"                   ; IMAGE_VIRTUAL, DIRECT_MAP: from asm_offsets.c

; All of this is one section, the first of the image: so the offset of a symbol is known to the assembler, and the
; 32-bit code can reach it wherever GRUB put the image.
%define HERE(symbol) (symbol - boot_start)
%define PRESENT_WRITE 3
%define LARGE         0x80

extern monitor_main, park_enter, park_stack

; ---- Multiboot2 header (Multiboot2 specification 1.6, section 3.1) ----
section .boot progbits alloc exec write align=4096
boot_start:
header:
    dd 0xe85250d6, 0, header_end - header
    dd -(0xe85250d6 + (header_end - header))
    ; relocatable: anywhere below 4G on a 2M boundary, as high as there is room
    dw 10, 0
    dd 24, 0x100000, 0xffe00000, 0x200000, 2
    ; modules on page boundaries
    dw 6, 0
    dd 8
    ; end
    dw 0, 0
    dd 8
header_end:

bits 32
global boot_entry
boot_entry:
    cli
    cld
    lea esp, [ebx + 8]                  ; the reserved word of the boot information is our first stack
    call .here
.here:
    pop ebp
    sub ebp, HERE(.here)                ; ebp = machine address of image_start
    lea esp, [ebp + HERE(boot_stack_top)]
    cmp eax, MULTIBOOT2_LOADER_MAGIC
    mov esi, HERE(text_not_multiboot2)
    jne refuse
    call check_long_mode
    call build_page_tables
    call enter_long_mode
    lea eax, [ebp + HERE(gdt)]
    mov [ebp + HERE(gdt_pointer) + 2], eax
    lgdt [ebp + HERE(gdt_pointer)]
    lea eax, [ebp + HERE(entry64)]
    push dword 0x08
    push eax
    retf

; Without long mode there is nothing that the monitor can do.
check_long_mode:
    push ebx
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb .none
    mov eax, 0x80000001
    cpuid
    bt edx, 29
    jnc .none
    pop ebx
    ret
.none:
    mov esi, HERE(text_no_long_mode)

; Prints the text at image offset esi on COM1 and on the VGA text screen, and stops.
refuse:
    add esi, ebp
    mov edi, VGA_TEXT_HPA
.next:
    mov dx, COM1_PORT + 5
    mov ecx, 100000
.wait:
    in al, dx
    test al, 0x20
    loopz .wait
    lodsb
    test al, al
    jz .stop
    mov dx, COM1_PORT
    out dx, al
    mov ah, 0x0f
    stosw
    jmp .next
.stop:
    cli
    hlt
    jmp .stop

build_page_tables:
    ; four page directories: 2048 pages of 2M
    lea edi, [ebp + HERE(low_directories)]
    mov eax, LARGE | PRESENT_WRITE
    mov ecx, 2048
.large:
    mov [edi], eax
    mov dword [edi + 4], 0
    add eax, 0x200000
    add edi, 8
    loop .large
    lea edi, [ebp + HERE(low_pdpt)]
    lea eax, [ebp + HERE(low_directories) + PRESENT_WRITE]
    mov ecx, 4
.directory:
    mov [edi], eax
    add eax, 4096
    add edi, 8
    loop .directory
    ; the image, in 2M pages
    lea edi, [ebp + HERE(image_directory)]
    lea eax, [ebp + (LARGE | PRESENT_WRITE)]
    mov ecx, (IMAGE_MAXIMUM >> 21)
.image:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    loop .image
    lea eax, [ebp + HERE(image_directory) + PRESENT_WRITE]
    mov [ebp + HERE(image_pdpt) + 510 * 8], eax
    ; the top
    lea eax, [ebp + HERE(low_pdpt) + PRESENT_WRITE]
    mov [ebp + HERE(boot_pml4)], eax
    mov [ebp + HERE(boot_pml4) + DIRECT_MAP_SLOT * 8], eax
    lea eax, [ebp + HERE(image_pdpt) + PRESENT_WRITE]
    mov [ebp + HERE(boot_pml4) + 511 * 8], eax
    ret

enter_long_mode:
    mov eax, 1 << 5                     ; PAE alone: with LA57 the tables would have a level more
    mov cr4, eax
    lea eax, [ebp + HERE(boot_pml4)]
    mov cr3, eax
    mov ecx, 0xc0000080                 ; IA32_EFER
    mov eax, 1 << 8                     ; LME; NXE is for processor.c, as firmware may have disabled it
    xor edx, edx
    wrmsr
    mov eax, 0x80010033                 ; PG WP NE ET MP PE
    mov cr0, eax
    ret

bits 64
entry64:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    mov edi, ebx                        ; machine address of the boot information
    mov esi, ebp                        ; machine address of the image
    mov rax, .high
    jmp rax
.high:
    mov rsp, stack_top
    xor ebp, ebp                        ; ends backtraces
    call monitor_main
.stop:
    hlt
    jmp .stop

; ---- Start of another processor (SDM vol. 3, 10.4.4): a copy in a page below 1M is entered by SIPI in real mode, CS:0
; its first byte. The last four bytes of the page are CR3; those before get 1 once it runs. The page is mapped one to one.
; One processor at a time.
%define IN_PAGE(symbol) (symbol - park_code)
PARK_CR3 equ 4096 - 4
PARK_SEEN equ 4096 - 8

bits 16
global park_code, park_code_end
park_code:
    cli
    cld
    mov ax, cs
    mov ds, ax
    mov ss, ax
    mov sp, PARK_SEEN
    mov dword [PARK_SEEN], 1
    movzx ebx, ax
    shl ebx, 4                          ; ebx = machine address of the page
    lea eax, [ebx + IN_PAGE(park_gdt)]
    mov [IN_PAGE(park_gdt_pointer) + 2], eax
    o32 lgdt [IN_PAGE(park_gdt_pointer)]
    mov eax, 1 << 5                     ; PAE
    mov cr4, eax
    mov eax, [PARK_CR3]
    mov cr3, eax
    mov ecx, 0xc0000080                 ; IA32_EFER
    mov eax, 1 << 8                     ; LME; NXE is for processor.c, as firmware may have disabled it
    xor edx, edx
    wrmsr
    mov eax, 0x80010033                 ; PG WP NE ET MP PE: out of real mode in one step
    mov cr0, eax
    lea eax, [ebx + IN_PAGE(.long)]
    push dword 0x08
    push eax
    o32 retf
bits 64
.long:
    mov rax, park_high
    jmp rax
park_gdt:
    dq 0, 0x00af9b000000ffff            ; 0x08: 64-bit code
park_gdt_pointer:
    dw park_gdt_pointer - park_gdt - 1
    dd 0
park_code_end:

; From here on in the image: the page is needed no more.
park_high:
    lgdt [rel gdt_pointer]
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    mov rsp, [rel park_stack]           ; its own, from here on
    xor ebp, ebp
    call park_enter                     ; for ever

text_not_multiboot2: db "Penumbra: not started by a Multiboot2 boot loader. Use GRUB's command multiboot2.", 13, 10, 0
text_no_long_mode: db "Penumbra: this processor has no 64-bit mode (long mode), which the monitor needs. "
                   db "Use a 64-bit processor with VT-x.", 13, 10, 0

align 16
global gdt, gdt_pointer
gdt:
    dq 0
    dq 0x00af9b000000ffff               ; 0x08: 64-bit code
    dq 0x00cf93000000ffff               ; 0x10: data
    dq 0, 0                             ; 0x18: TSS, filled in by traps.c
gdt_end:
gdt_pointer:
    dw gdt_end - gdt - 1
    dq 0

    times 16 dq 0
boot_stack_top:

align 4096
global boot_pml4
boot_pml4:       times 512 dq 0
low_pdpt:        times 512 dq 0
low_directories: times 4 * 512 dq 0
image_pdpt:      times 512 dq 0
image_directory: times 512 dq 0

section .bss align=16
stack:           resb 32768
stack_top:
