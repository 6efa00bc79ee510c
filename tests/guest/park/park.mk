# The guest of tests/run/park.t, included by the top Makefile: build/tests/guest/park/park.elf (ELF32, Multiboot 1).
PARK_DIR := build/tests/guest/park

$(PARK_DIR)/park.elf: tests/guest/park/park.asm tests/guest/kernel.ld tests/guest/park/park.mk
	@mkdir -p $(@D)
	@echo "  NASM    $@"
	@nasm -f elf32 -w+error -o $(PARK_DIR)/park.o $<
	@ld -m elf_i386 -static -nostdlib -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments \
	    -T tests/guest/kernel.ld -o $@ $(PARK_DIR)/park.o

guest-tests: $(PARK_DIR)/park.elf
