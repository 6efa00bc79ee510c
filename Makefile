# Penumbra. `make help` lists the targets; README.md tells the rest.
BUILD   ?= build
CC      := gcc
MONITOR := $(BUILD)/penumbra.elf

# What tools say and how they sort is the same everywhere.
export LC_ALL := C

.DEFAULT_GOAL := iso
.DELETE_ON_ERROR:

include iso/setup.mk
include iso/values.mk

# The layers of hv, and of the back ends: what else of hv each may use, beside hv/include and all of arch.
USES_hv/insn    :=
USES_hv/memory  :=
USES_hv/policy  := hv/memory
USES_hv/vcpu    := hv/memory hv/policy
USES_hv/report  := hv/memory hv/policy hv/vcpu
USES_hv/devices := hv/memory hv/policy hv/vcpu
USES_hv/access  := hv/memory hv/policy hv/vcpu hv/insn hv/devices
USES_hv/guest   := hv/memory hv/policy hv/vcpu hv/devices hv/access
USES_hv/exits   := hv/memory hv/policy hv/vcpu hv/insn hv/devices hv/access hv/report hv/guest
USES_hv         := $(USES_hv/exits) hv/exits
USES_ept        := hv/memory hv/policy
USES_shadow     := hv/memory hv/policy hv/vcpu

# Each folder is compiled with only the headers that it may use, so that a forbidden include does not build. That nothing else
# is called, either, is held by tests/check/compile.t.
HV_LAYERS := $(USES_hv)
FOLDERS   := arch $(HV_LAYERS) hv ept shadow
INCLUDES_arch   := -Iarch/include
INCLUDES_ept    := -Iarch/include -Ihv/include -Iept/include
INCLUDES_shadow := -Iarch/include -Ihv/include -Ishadow/include
$(foreach folder,$(HV_LAYERS),$(eval INCLUDES_$(folder) := -Iarch/include -Ihv/include $(patsubst %,-I%,$(folder) $(USES_$(folder)))))
INCLUDES_hv/guest += -I$(BUILD)/hv/guest
INCLUDES_hv     := -Iarch/include -Ihv/include $(HV_LAYERS:%=-I%) -I$(BUILD)/hv
INCLUDES_main   := $(INCLUDES_hv) -Iept/include -Ishadow/include

MONITOR_FLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -ffreestanding \
                 -mcmodel=kernel -fno-pic -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
                 -fcf-protection=none -fomit-frame-pointer -fno-asynchronous-unwind-tables \
                 -fno-tree-loop-distribute-patterns -fno-strict-aliasing -MMD -MP -flto=auto \
                 -DDEBUG_BUILD=$(if $(filter 1,$(DEBUG)),1,0)

ARCH_C := $(filter-out arch/asm_offsets.c,$(wildcard arch/*.c))
HV_C   := $(filter-out hv/main.c,$(wildcard hv/*.c $(HV_LAYERS:%=%/*.c)))
EPT_C  := $(wildcard ept/*.c)
SHADOW_C := $(wildcard shadow/*.c)
OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(ARCH_C) $(HV_C) $(EPT_C) $(SHADOW_C) hv/main.c) \
           $(patsubst %.asm,$(BUILD)/%.asm.o,$(wildcard arch/*.asm)) $(BUILD)/arch/font_psf.o

# Objects of another compiler's LTO do not even link. The list of objects: a file that is gone must not stay in the monitor.
VALUES_monitor := $(CC) $(shell $(CC) -dumpfullversion 2>/dev/null) $(MONITOR_FLAGS)
VALUES_objects := $(OBJECTS)
$(MONITOR): $(OBJECTS) arch/monitor.ld $(call told,monitor) $(call told,objects)
	@echo "  LD      $@"
	@$(CC) $(MONITOR_FLAGS) -static -nostdlib -Wl,--build-id=none,--no-warn-rwx-segments,-z,noexecstack,-z,max-page-size=4096 -T arch/monitor.ld -o $@ $(OBJECTS)
	@grub-file --is-x86-multiboot2 $@

define FOLDER_RULE
$(BUILD)/$(1)/%.o: $(1)/%.c Makefile $(call told,monitor)
	@mkdir -p $$(@D)
	@echo "  CC      $$@"
	@$(CC) $(MONITOR_FLAGS) $$(INCLUDES_$(1)) -c -o $$@ $$<
endef
$(foreach folder,$(FOLDERS),$(eval $(call FOLDER_RULE,$(folder))))

# The one file that names the back ends.
$(BUILD)/hv/main.o: INCLUDES_hv := $(INCLUDES_main)
$(BUILD)/hv/guest/loader.o: $(BUILD)/hv/guest/dsdt.h
$(BUILD)/hv/version.o: $(BUILD)/hv/version.h

# The monitor's version as git tells it: written anew only when it is another.
MONITOR_VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
$(BUILD)/hv/version.h: version
	@mkdir -p $(@D)
	@echo '#define MONITOR_VERSION "$(MONITOR_VERSION)"' | cmp -s - $@ || \
	    echo '#define MONITOR_VERSION "$(MONITOR_VERSION)"' > $@

$(BUILD)/arch/%.asm.o: arch/%.asm $(BUILD)/arch/layout.inc
	@mkdir -p $(@D)
	@echo "  NASM    $@"
	@nasm -f elf64 -w+error -i $(BUILD)/arch/ -o $@ $<

# Offsets of C structures for NASM, out of the compiler's assembly.
$(BUILD)/arch/layout.inc: arch/asm_offsets.c Makefile $(call told,monitor)
	@mkdir -p $(@D)
	@$(CC) $(MONITOR_FLAGS) -fno-lto $(INCLUDES_arch) -MT $@ -MF $(BUILD)/arch/layout.d -S -o $(BUILD)/arch/layout.s $<
	@sed -n 's/^#define# /%define /p' $(BUILD)/arch/layout.s > $@

# The C preprocessor gives it the names of guest_ports.h.
$(BUILD)/hv/guest/dsdt.h: hv/guest/dsdt.asl hv/devices/guest_ports.h
	@mkdir -p $(@D)
	@echo "  IASL    $@"
	@$(CC) -E -P -undef -x c -Ihv/devices $< -o $(@D)/dsdt.asl
	@iasl -tc -p $(@D)/dsdt $(@D)/dsdt.asl > $(@D)/dsdt.log || { cat $(@D)/dsdt.log; exit 1; }
	@sed 's/^unsigned char/static const unsigned char/' $(@D)/dsdt.hex > $@

# The screen's font: Debian's package console-setup-linux.
CONSOLE_FONT := /usr/share/consolefonts/Lat15-Terminus16.psf.gz
VALUES_font := $(CONSOLE_FONT)
$(BUILD)/arch/font_psf.o: $(CONSOLE_FONT) $(call told,font)
	@mkdir -p $(@D)
	@zcat $< > $(BUILD)/arch/font.psf
	@cd $(@D) && objcopy -I binary -O elf64-x86-64 -B i386:x86-64 \
	    --rename-section .data=.rodata,alloc,load,readonly,data,contents \
	    --redefine-sym _binary_font_psf_start=font_psf --redefine-sym _binary_font_psf_end=font_psf_end \
	    --strip-symbol=_binary_font_psf_size font.psf font_psf.o

include guest-images/images.mk
include iso/iso.mk
include tests/host/host.mk
include tests/host/fuzz.mk
include tests/host/msan.mk
include tests/guest/guest.mk
include tests/check/check.mk
include tests/tests.mk
include tests/guest/park/park.mk

-include $(wildcard $(FOLDERS:%=$(BUILD)/%/*.d))

.PHONY: clean help version
version:
clean:
	rm -rf $(BUILD)

define HELP
make             build/penumbra.iso (the same as make iso) and build/penumbra.elf, the monitor alone
make run         set up, build, and run the monitor and its guest, whose console is this terminal
make compare     set up, build, and compare all modes with the bare machine: build/compare/table.md and plots
make machine     what a machine is, of its serial logs or texts of QR codes (SERIAL=): build/machine/machine.md
make test        set up, build, and run every test
make check       what can be checked without running: layers, compilers, format, headers
make host-tests  unit and model tests under sanitizers;   make fuzz  fuzzers, FUZZ_SECONDS=600 each
make msan-tests  the host tests under MemorySanitizer
make run-tests   tests in emulators only;                 make guest-images, guest-stress, guest-compare  the guests
make test-packages  a guest's system of real Debian packages (root; some minutes)
make test-fresh  what make does on a fresh Debian 12 and 13, in chroots (root; some minutes)
make stress      Linux under stress-ng in each configuration of shadow paging (hours; STRESS=name,... for some)
make nested      the monitor in QEMU under KVM, itself in Bochs (half an hour to hours; NESTED=name,... for some cases)
make DEBUG=1     a monitor that stops with a dump where a VMREAD or VMWRITE fails; BUILD=folder keeps it apart
make check-html  the HTML report in Chromium, which it installs: build/run/html has screenshots
make clean       removes build/

Variables of all:
  KERNEL=file  INITRD=file      a kernel (bzImage) and an initrd of your own; make compare adds bench to the initrd

Variables of make run:
  MMU=ept|shadow   VPID=auto|on|off   MEM=512M       as the monitor's parameters
  EMU=bochs|qemu   CPU=model     FIRMWARE=bios|uefi (QEMU)
  APPEND="words"   more of the guest kernel's command line
  ARGS="words"     more of the monitor's parameters (hv/README.md lists them)
  NATIVE=1         the same kernel without the monitor
  PROG=file or folder            static programs or scripts of your own, in the guest's /prog
  PACKAGES="redis-server ..."    Debian packages, with all that they need: the shell and PROG are in a system of these
  MODULES="brd tun ..."          modules of Debian's kernel, with those that they need: loaded when the guest starts

Variables of make compare, beside MEM, EMU, CPU, APPEND and ARGS:
  COMPARE=ept/trace,vpid=off     the configurations (iso/report/README.md)
  BENCH=-r,3,fork,exec           the words of bench in the guest, joined by commas: repetitions, workloads or a
                                 group of them (guest-images/README.md); -w,64M/1G,gups: sizes of working sets
  PROG=file or folder            static programs or scripts of your own, as further workloads
  PACKAGES="redis-server ..."    Debian packages, with all that they need: PROG runs in a system of these, and so do the
                                 workloads that are made for them (zstd, sqlite3, python3, redis-server)
  MODULES="brd tun ..."          modules of Debian's kernel, with those that they need: loaded when a guest starts
  REPEAT=1         boots of each configuration: two boots differ by more than the repetitions in one
  HOW=boot|switch|both           each configuration by a boot of its own; by turns in one boot; or both ways
  KVM=1            beside it the same guest under KVM, with EPT and without; KVM=ept,vpid=off/shadow for others
  LIMIT=seconds    of the guest's clock, after which a configuration is ended (60 in Bochs, else 3600)
  EXIT_COST=1300                 cycles that an exit is taken to cost where the clock counts instructions
  SYMBOLS=System.map             of the guest's kernel: the report says which functions cause the exits (profile=)
  SERIAL="log ..."               only make the report, of serial logs or texts of QR codes from elsewhere
  OUT=folder  TITLE="words"      where the report goes, and its title
endef
export HELP
help:
	@echo "$$HELP"
