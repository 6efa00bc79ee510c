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

.PHONY: iso run compare
iso: $(ISO)

$(ISO): $(MONITOR) $(GUEST_KERNEL) $(GUEST_INITRD) $(GUEST_COMPARE) $(ISO_PARTS)
	iso/make-image --output $@ --monitor $(MONITOR) --kernel $(GUEST_KERNEL) --initrd $(GUEST_INITRD) \
	    --file compare.lz4=$(GUEST_COMPARE) --mem '$(MEM)' \
	    --monitor-args '$(MONITOR_ARGS)' --guest-args '$(GUEST_ARGS)' --native-args '$(NATIVE_ARGS)'

# The settings go through the environment, since APPEND may hold any character.
export MMU VPID MEM EMU CPU FIRMWARE APPEND ARGS NATIVE MONITOR GUEST_KERNEL GUEST_INITRD GUEST_COMPARE BUILD
run:
	@$(MAKE) --no-print-directory $(ISO)
	@iso/run

# The report of logs that were captured elsewhere needs nothing built.
export COMPARE BENCH EXIT_COST SERIAL TITLE OUT TIMEOUT LIMIT IPS REPEAT
ifdef SERIAL
compare:
	@iso/compare
else
compare:
	@$(MAKE) --no-print-directory $(MONITOR) $(GUEST_KERNEL) $(GUEST_COMPARE)
	@iso/compare
endif
