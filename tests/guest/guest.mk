# The micro-guest kernel, included by the top Makefile: build/tests/guest/micro.elf (ELF32, Multiboot 1) and the module
# that its info tests want: build/tests/guest/sequence.txt. Needs gcc, nasm, binutils. Run lines: tests/README.md.
GUEST_DIR   := build/tests/guest
GUEST_CC    ?= gcc
GUEST_C     := $(wildcard tests/guest/*.c) arch/fmt.c
GUEST_ASM   := $(wildcard tests/guest/*.asm)
GUEST_OBJS  := $(GUEST_C:%.c=$(GUEST_DIR)/%.o) $(GUEST_ASM:%.asm=$(GUEST_DIR)/%.asm.o)
GUEST_FLAGS := -std=gnu11 -m64 -O1 -g -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-stack-protector \
               -fcf-protection=none -mno-red-zone -mgeneral-regs-only -mcmodel=small -fno-asynchronous-unwind-tables \
               -Iarch/include -Ihv/include -Itests/guest -MMD

VALUES_micro = $(GUEST_CC) $(GUEST_FLAGS)
$(GUEST_DIR)/%.o: %.c tests/guest/guest.mk $(call told,micro)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@$(GUEST_CC) $(GUEST_FLAGS) -c -o $@ $<

$(GUEST_DIR)/%.asm.o: %.asm tests/guest/guest.mk
	@mkdir -p $(@D)
	@echo "  NASM    $@"
	@nasm -f elf64 -w+error -MD $(@:.o=.d) -o $@ $<

$(GUEST_DIR)/micro.elf: $(GUEST_OBJS) tests/guest/kernel.ld
	@echo "  LD      $@"
	@ld -m elf_x86_64 -static -nostdlib -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments \
	    -T tests/guest/kernel.ld -o $(GUEST_DIR)/micro.elf64 $(GUEST_OBJS)
	@objcopy -O elf32-i386 $(GUEST_DIR)/micro.elf64 $@

$(GUEST_DIR)/sequence.txt:
	@mkdir -p $(@D)
	@seq 1 20000 > $@

.PHONY: guest-tests
guest-tests: $(GUEST_DIR)/micro.elf $(GUEST_DIR)/sequence.txt

-include $(wildcard $(GUEST_DIR)/tests/guest/*.d $(GUEST_DIR)/arch/*.d)
