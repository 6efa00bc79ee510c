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

$(GUEST_BUILD)/initrd.gz: $(GUEST_BUILD)/busybox/version guest-images/make-initrd $(GUEST_TREE)
	guest-images/make-initrd --busybox $(GUEST_BUILD)/busybox/root/bin/busybox --output $@ \
	    --tree guest-images/rootfs= --tree guest-images/scripts=scripts
