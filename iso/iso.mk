# The ISO, and running it. Included by the top Makefile after it has set MONITOR's rule; every name can be overridden on
# make's command line. Needs GUEST_KERNEL and GUEST_INITRD of guest-images/images.mk.
BUILD ?= build
MONITOR ?= $(BUILD)/penumbra.elf
ISO ?= $(BUILD)/penumbra.iso
MEM ?= 512M
MONITOR_ARGS ?= mem=$(MEM)
GUEST_ARGS ?= console=ttyS0 reboot=acpi
# Only for the entry without a monitor: a PC has an i8042 that takes long to probe in an emulator.
NATIVE_ARGS ?= i8042.noaux
ISO_PARTS := iso/make-image iso/grub.cfg.in iso/entries.in

.PHONY: iso run compare machine
iso: export MONITOR_ARGS := $(MONITOR_ARGS)
iso: export GUEST_ARGS := $(GUEST_ARGS)
iso: export INITRDS := $(GUEST_INITRD)
iso:
	@$(MAKE) --no-print-directory $(SETTINGS)
	@iso/run/run --check-image
	@$(MAKE) --no-print-directory $(ISO)

VALUES_iso = $(MONITOR) $(GUEST_KERNEL) $(GUEST_INITRD) $(GUEST_COMPARE) MEM=$(MEM) MONITOR_ARGS=$(MONITOR_ARGS) \
             GUEST_ARGS=$(GUEST_ARGS) NATIVE_ARGS=$(NATIVE_ARGS)
$(ISO): $(MONITOR) $(GUEST_KERNEL) $(GUEST_INITRD) $(GUEST_COMPARE) $(GUEST_KVM) $(KVM_GUEST) $(ISO_PARTS) $(call told,iso)
	iso/make-image --output $@ --monitor $(MONITOR) --kernel $(GUEST_KERNEL) --initrd $(GUEST_INITRD) \
	    --file compare.lz4=$(GUEST_COMPARE) --file kvm.lz4=$(GUEST_KVM) --file kvm-guest.cpio=$(KVM_GUEST) \
	    $(if $(filter-out $(KVM_KERNEL),$(GUEST_KERNEL)),--file vmlinuz-kvm=$(KVM_KERNEL)) --mem $(call quoted,$(MEM)) \
	    --monitor-args $(call quoted,$(MONITOR_ARGS)) --guest-args $(call quoted,$(GUEST_ARGS)) \
	    --native-args $(call quoted,$(NATIVE_ARGS))

# The settings go through the environment as they were typed: a $ in one is no variable of make's.
TYPED := COMPARE BENCH SERIAL SYMBOLS TITLE OUT APPEND ARGS PROG PACKAGES MODULES KVM
$(foreach name,$(TYPED),$(eval override $(name) := $$(value $(name))))
export MMU VPID MEM EMU CPU FIRMWARE APPEND ARGS NATIVE NATIVE_ARGS MONITOR GUEST_KERNEL GUEST_COMPARE BUILD PROG PACKAGES MODULES
OWN_INITRD = $(filter-out $(GUEST_BUILD)/initrd.gz,$(GUEST_INITRD))
run: export INITRDS = $(if $(PROG)$(PACKAGES)$(MODULES),$(OWN_INITRD) $(GUEST_COMPARE),$(GUEST_INITRD))
run:
	@$(MAKE) --no-print-directory $(SETTINGS)
	@iso/run/run --check
	@$(MAKE) --no-print-directory $(MONITOR) $(GUEST_KERNEL) $(INITRDS)
	@iso/run/run

# The report of logs that were captured elsewhere needs nothing built.
export COMPARE BENCH EXIT_COST SERIAL SYMBOLS TITLE OUT TIMEOUT LIMIT IPS REPEAT HOW KVM GUEST_KVM KVM_KERNEL
ifdef SERIAL
compare:
	@iso/report/compare
else
# An initrd of one's own gets bench behind it: what both have is as in ours.
compare: export INITRDS = $(OWN_INITRD) $(GUEST_COMPARE)
compare:
	@$(MAKE) --no-print-directory $(SETTINGS)
	@iso/report/compare --check
	@$(MAKE) --no-print-directory $(MONITOR) $(GUEST_KERNEL) $(INITRDS) $(if $(KVM),$(GUEST_KVM) $(KVM_KERNEL))
	@iso/report/compare
endif

# What is known of the machines that such logs are of.
machine:
	@[ -n "$$SERIAL" ] || { echo "machine: SERIAL= says of which serial logs or texts of QR codes" >&2; exit 2; }
	@iso/report/machine --output "$${OUT:-$$BUILD/machine}" $$SERIAL

# The monitor's parser of parameters, for the host: what is wrong is said before anything else is built.
SETTINGS := $(BUILD)/iso/parameters
SETTINGS_C := iso/run/parameters.c hv/policy/params.c hv/policy/configurations.c arch/fmt.c
VALUES_settings := $(CC)
$(SETTINGS): $(call told,settings) $(SETTINGS_C) hv/policy/params.def \
    $(wildcard hv/*/*.h hv/include/hv/*.[dh]* arch/include/arch/*.h)
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -O1 -Wall -Wextra -Werror -DDEBUG_BUILD=0 $(INCLUDES_hv/policy) -I. -o $@ $(SETTINGS_C)
