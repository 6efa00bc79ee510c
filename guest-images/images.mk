# Guest images: Debian's stock cloud kernel and an initramfs of Debian's static busybox, both taken from the packages
# without installing them. Included by the top Makefile; every name below can be overridden on make's command line.
# Does not build anything for the monitor, and knows nothing of ISO images (iso/iso.mk does).
BUILD ?= build
GUEST_BUILD ?= $(BUILD)/guest
GUEST_KERNEL ?= $(GUEST_BUILD)/vmlinuz
GUEST_INITRD ?= $(GUEST_BUILD)/initrd.gz
# A trailing * asks for the versioned package that the metapackage depends on.
GUEST_KERNEL_PACKAGE ?= linux-image-cloud-amd64*
GUEST_BUSYBOX_PACKAGE ?= busybox-static
GUEST_TREE := $(shell find guest-images/rootfs guest-images/scripts -type f)

.DELETE_ON_ERROR:
.PHONY: guest-images guest-refetch
guest-images: $(GUEST_KERNEL) $(GUEST_INITRD)

# Fetched once: a newer kernel in the index does not change the guest under running comparisons. This asks anew.
guest-refetch:
	rm -rf $(GUEST_BUILD)
	$(MAKE) guest-images

$(GUEST_BUILD)/kernel/version: guest-images/fetch-deb
	guest-images/fetch-deb '$(GUEST_KERNEL_PACKAGE)' $(@D)

$(GUEST_BUILD)/busybox/version: guest-images/fetch-deb
	guest-images/fetch-deb '$(GUEST_BUSYBOX_PACKAGE)' $(@D)

$(GUEST_BUILD)/vmlinuz: $(GUEST_BUILD)/kernel/version guest-images/take-kernel
	guest-images/take-kernel $(GUEST_BUILD)/kernel/root $@

# bench and what it runs, for the guest's /bin: static, with Debian's libc; bench_child has no libc at all.
BENCH_C := $(filter-out %/bench_child.c,$(wildcard guest-images/bench/*.c))
BENCH_FILES := $(addprefix $(GUEST_BUILD)/bench/,bench bench_child bench_commands)
BENCH_FLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wconversion -Werror -static -s

$(GUEST_BUILD)/bench/bench: $(BENCH_C) guest-images/bench/bench.h guest-images/bench/workloads.def
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -o $@ $(BENCH_C)

$(GUEST_BUILD)/bench/bench_child: guest-images/bench/bench_child.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -nostdlib -Wl,--build-id=none -Wl,-z,noseparate-code -o $@ $<

$(GUEST_BUILD)/bench/bench_commands: guest-images/bench/bench_commands
	@mkdir -p $(@D)
	cp $< $@

$(GUEST_BUILD)/initrd.gz: $(GUEST_BUILD)/busybox/version guest-images/make-initrd $(GUEST_TREE) \
    $(BENCH_FILES)
	guest-images/make-initrd --busybox $(GUEST_BUILD)/busybox/root/bin/busybox --output $@ \
	    --tree guest-images/rootfs= --tree guest-images/scripts=scripts --tree $(GUEST_BUILD)/bench=bin
