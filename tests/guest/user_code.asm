; Code that tests run in ring 3 or in compatibility mode; each piece ends by a trap. It runs at its address plus
; USER_ALIAS in ring 3, so it uses no absolute address. Neighbours: user.c, exceptions.c (compat_*), ports.c,
; paging_model.c (access_*).

section .text
bits 32
%macro piece 1
global %1
%1:
%endmacro

piece compat_into
    mov al, 0x7F
    add al, 1
    into
    ud2
piece compat_bound
    sub esp, 8
    mov dword [esp], 10
    mov dword [esp + 4], 20
    mov eax, 21
    bound eax, [esp]
    ud2
piece user32_syscall
    mov eax, 0x32
    syscall
    ud2
piece user32_exit
    int 0x80

bits 64
piece user_exit
    mov rdi, 0x1234
    int 0x80
piece user_syscall
    mov rax, rdi
    syscall
piece user_after_syscall
    int 0x80
piece user_sysenter
    sysenter
piece user_int81
    int 0x81
piece user_int3
    int3
piece user_cli
    cli
piece user_sti
    sti
piece user_hlt
    hlt
piece user_in
    mov edx, edi
    in al, dx
    int 0x80
piece user_in_dword
    mov edx, edi
    in eax, dx
    int 0x80
piece user_out
    mov edx, edi
    mov eax, esi
    out dx, al
    int 0x80
piece user_insb
    mov edx, edi
    rep insb
piece user_rdmsr
    mov ecx, 0xC0000080
    rdmsr
piece user_wrmsr
    mov ecx, 0xC0000080
    wrmsr
piece user_mov_cr0
    mov rax, cr0
piece user_mov_cr3
    mov cr3, rax
piece user_mov_cr8
    mov rax, cr8
piece user_mov_dr7
    mov rax, dr7
piece user_clts
    clts
piece user_lmsw
    lmsw ax
piece user_invlpg
    invlpg [rax]
piece user_wbinvd
    wbinvd
piece user_invd
    invd
piece user_lgdt
    lgdt [rsp]
piece user_lidt
    lidt [rsp]
piece user_ltr
    ltr ax
piece user_swapgs
    swapgs
piece user_iret_ring0
    push 0x10
    push rsp
    push 2
    push 0x08
    push 0
    iretq
piece user_rdtsc
    rdtsc
    int 0x80
piece user_cpuid
    mov eax, edi
    xor ecx, ecx
    cpuid
    mov edi, ebx
    mov esi, ecx
    int 0x80
piece user_xsetbv
    xor ecx, ecx
    xgetbv
    xsetbv
piece user_call                         ; call RDI with a buffer at RSI, and there the result
    mov rax, rdi
    mov rdi, rsi
    mov rsi, 1
    vmcall
    mov [rdi], rax
    int 0x80
piece user_read
    mov al, [rdi]
    int 0x80
piece user_write
    mov byte [rdi], 0xC3
    int 0x80
piece user_jump
    jmp rdi
piece access_user_read
    mov rax, [rdi]
    int 0x80
piece access_user_write
    mov [rdi], rax
    int 0x80
piece access_user_fetch
    jmp rdi
piece user_misaligned
    pushfq
    or dword [rsp], 1 << 18
    popfq
    mov eax, [rsp + 1]
    int 0x80
