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

.PHONY: iso run setup-build setup-run setup-compare setup-test
iso: $(ISO)

$(ISO): $(MONITOR) $(GUEST_KERNEL) $(GUEST_INITRD) $(ISO_PARTS)
	iso/make-image --output $@ --monitor $(MONITOR) --kernel $(GUEST_KERNEL) --initrd $(GUEST_INITRD) \
	    --monitor-args '$(MONITOR_ARGS)' --guest-args '$(GUEST_ARGS)' --native-args '$(NATIVE_ARGS)'

setup-build setup-run setup-compare setup-test: setup-%:
	@iso/setup $*

# The settings go through the environment, since APPEND may hold any character.
export MMU VPID MEM EMU CPU FIRMWARE APPEND ARGS NATIVE MONITOR GUEST_KERNEL GUEST_INITRD BUILD
run: setup-run
	@$(MAKE) --no-print-directory $(ISO)
	@iso/run
