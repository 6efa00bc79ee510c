# Guest images: Debian's stock cloud kernel and an initramfs of Debian's static busybox, both taken from the packages
# without installing them. Included by the top Makefile; every name below can be overridden on make's command line.
# Does not build anything for the monitor, and knows nothing of ISO images (iso/iso.mk does).
BUILD ?= build
GUEST_BUILD ?= $(BUILD)/guest
# KERNEL= and INITRD= are a kernel and an initrd of one's own, in everything that is built or run.
KERNEL ?=
INITRD ?=
GUEST_KERNEL ?= $(or $(patsubst ~/%,$(HOME)/%,$(KERNEL)),$(GUEST_BUILD)/vmlinuz)
GUEST_INITRD ?= $(or $(patsubst ~/%,$(HOME)/%,$(INITRD)),$(GUEST_BUILD)/initrd.gz)
GUEST_COMPARE ?= $(GUEST_BUILD)/compare.lz4
GUEST_PROG ?= $(GUEST_BUILD)/prog-tree
# A metapackage: the kernel itself is in one of those that it needs, linux-image-* or, since 7.x, linux-binary-*.
GUEST_KERNEL_PACKAGE ?= linux-image-cloud-amd64
GUEST_BUSYBOX_PACKAGE ?= busybox-static
GUEST_TREE := $(shell find guest-images/rootfs guest-images/scripts -type f)
GUEST_TREES := --tree guest-images/rootfs= --tree guest-images/scripts=scripts --tree $(GUEST_BUILD)/bench=bin \
    --tree $(GUEST_BUILD)/penctl=bin --tree $(GUEST_BUILD)/codes=bin
# A program, a script or a folder of them, for the guest's /prog: workloads of one's own.
PROG ?=
# Debian packages, with all that they need, in a system of their own in the guest.
PACKAGES ?=
# Modules of Debian's kernel, with those that they need: the guest's init loads them.
MODULES ?=

.DELETE_ON_ERROR:
.PHONY: guest-images guest-refetch guest-stress guest-compare guest-tools
guest-images: $(GUEST_KERNEL) $(GUEST_INITRD)

# Fetched once: a newer kernel in the index does not change the guest under running comparisons. This asks anew.
guest-refetch:
	rm -rf $(GUEST_BUILD)
	$(MAKE) guest-images

VALUES_kernel := $(GUEST_KERNEL_PACKAGE)
$(GUEST_BUILD)/kernel/version: guest-images/fetch-deb $(call told,kernel)
	guest-images/fetch-deb '$(GUEST_KERNEL_PACKAGE)' $(@D) 'linux-@(image|binary)-*'

VALUES_busybox := $(GUEST_BUSYBOX_PACKAGE)
$(GUEST_BUILD)/busybox/version: guest-images/fetch-deb $(call told,busybox)
	guest-images/fetch-deb '$(GUEST_BUSYBOX_PACKAGE)' $(@D)

$(GUEST_BUILD)/busybox/busybox: $(GUEST_BUILD)/busybox/version guest-images/take-file
	guest-images/take-file $(GUEST_BUILD)/busybox/root bin/busybox $@

$(GUEST_BUILD)/vmlinuz: $(GUEST_BUILD)/kernel/version guest-images/take-kernel guest-images/take-file
	guest-images/take-kernel $(GUEST_BUILD)/kernel/root $@

# bench and what it runs, for the guest's /bin: static, with Debian's libc; bench_child has no libc at all. What asks the
# monitor is shared with penctl.
BENCH_C := $(filter-out %/bench_child.c,$(wildcard guest-images/bench/*.c)) guest-images/penumbra/monitor.c
BENCH_H := $(wildcard guest-images/bench/*.h) guest-images/penumbra/monitor.h hv/include/hv/vmcall.h
BENCH_FILES := $(addprefix $(GUEST_BUILD)/bench/,bench bench_child bench_commands bench_source.c)
TOOL_WARNINGS := -Wall -Wextra -Wconversion -Werror
BENCH_FLAGS := -std=gnu11 -D_GNU_SOURCE -O2 $(TOOL_WARNINGS) -static -s
VALUES_tools := $(CC) $(BENCH_FLAGS) $(BENCH_C)
guest-tools: $(BENCH_FILES) $(GUEST_BUILD)/penctl/penctl $(GUEST_BUILD)/codes/codes

$(GUEST_BUILD)/bench/bench: $(BENCH_C) $(BENCH_H) guest-images/bench/workloads.def $(call told,tools)
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -Ihv/include -o $@ $(BENCH_C)

$(GUEST_BUILD)/bench/bench_child: guest-images/bench/bench_child.c $(call told,tools)
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -nostdlib -Wl,--build-id=none -Wl,-z,noseparate-code -o $@ $<

$(GUEST_BUILD)/bench/bench_commands: guest-images/bench/bench_commands
	@mkdir -p $(@D)
	cp $< $@

$(GUEST_BUILD)/bench/bench_source.c: guest-images/bench/make-source
	@mkdir -p $(@D)
	$< >$@

# musl makes it small: 46 KB against 730.
PENCTL_C := guest-images/penctl/penctl.c guest-images/penumbra/monitor.c
$(GUEST_BUILD)/penctl/penctl: $(PENCTL_C) guest-images/penumbra/monitor.h hv/include/hv/vmcall.h $(call told,tools)
	@mkdir -p $(@D)
	musl-gcc -std=gnu11 -O2 $(TOOL_WARNINGS) -static -s -Ihv/include -o $@ $(PENCTL_C)

# The monitor's own encoder.
CODES_C := guest-images/codes/codes.c hv/report/codes.c hv/report/gzip.c hv/report/qr.c arch/fmt.c arch/vga_picture.c
$(GUEST_BUILD)/codes/codes: $(CODES_C) hv/report/codes.h hv/report/gzip.h hv/report/qr.h arch/vga.h $(call told,tools)
	@mkdir -p $(@D)
	musl-gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -s -Iarch/include -Ihv/report -I. -o $@ $(CODES_C)

# The list of files: one that is gone must not stay in the initramfs.
VALUES_trees := $(sort $(GUEST_TREE))
$(GUEST_BUILD)/initrd.gz: $(GUEST_BUILD)/busybox/busybox guest-images/make-initrd $(GUEST_TREE) \
    $(BENCH_FILES) $(GUEST_BUILD)/penctl/penctl $(GUEST_BUILD)/codes/codes $(call told,trees)
	guest-images/make-initrd --busybox $(GUEST_BUILD)/busybox/busybox --output $@ $(GUEST_TREES)

# For take-program: a program's package with all that it needs, as apt resolves it.
$(GUEST_BUILD)/packages/%/version: guest-images/fetch-deb
	guest-images/fetch-deb $* $(@D) '*'

# The initramfs of comparisons: also a compiler, and PROG. By lz4, since it is unpacked once for each configuration.
guest-compare: $(GUEST_COMPARE)

$(GUEST_BUILD)/tcc-tree: $(GUEST_BUILD)/packages/tcc/version guest-images/take-program
	guest-images/take-program --output $@ tcc $(GUEST_BUILD)/packages/tcc/root

# Looked at each time; what it leaves changes only when PROG does.
.PHONY: guest-prog
guest-prog:
	@guest-images/take-prog $(call quoted,$(PROG)) $(GUEST_PROG)
$(GUEST_PROG): guest-prog ; @:

# Where init looks for them.
GUEST_MODULES := $(GUEST_BUILD)/modules-tree
VALUES_modules = $(MODULES)
$(GUEST_MODULES): $(GUEST_BUILD)/kernel/version guest-images/take-modules $(call told,modules)
	guest-images/take-modules --output $@/lib/wanted $(GUEST_BUILD)/kernel/root $(MODULES)

# With PACKAGES= the programs are run in that system, and our tools are there, too.
GUEST_WRAPPED := $(GUEST_BUILD)/prog-wrapped
GUEST_ROWS := $(GUEST_BUILD)/rows
ROWS := guest-images/wrap-prog guest-images/take-rows $(wildcard guest-images/rows/*)
PROG_TREES = $(if $(PACKAGES),--tree $(GUEST_PROG)=debian/prog --tree $(GUEST_WRAPPED)=prog \
    --tree $(GUEST_ROWS)=debian/rows --tree $(GUEST_ROWS)-wrapped=rows \
    --tree $(GUEST_BUILD)/bench=debian/usr/local/bin --tree $(GUEST_BUILD)/penctl=debian/usr/local/bin,--tree $(GUEST_PROG)=prog)
VALUES_compare = $(PACKAGES) $(MODULES)
OURS := $(GUEST_BUILD)/ours.cpio
$(GUEST_COMPARE): $(GUEST_BUILD)/initrd.gz $(GUEST_BUILD)/tcc-tree $(GUEST_PROG) $(call told,compare) \
    $(if $(MODULES),$(GUEST_MODULES)) $(if $(PACKAGES),$(GUEST_BUILD)/system.cpio $(ROWS))
	$(if $(PACKAGES),guest-images/wrap-prog $(GUEST_PROG) $(GUEST_WRAPPED) /prog)
	$(if $(PACKAGES),guest-images/take-rows $(GUEST_BUILD)/system.cpio $(GUEST_ROWS))
	$(if $(PACKAGES),guest-images/wrap-prog $(GUEST_ROWS) $(GUEST_ROWS)-wrapped /rows)
	guest-images/make-initrd --busybox $(GUEST_BUILD)/busybox/busybox --output $(if $(PACKAGES),$(OURS),$@) \
	    $(GUEST_TREES) --tree $(GUEST_BUILD)/tcc-tree= $(if $(MODULES),--tree $(GUEST_MODULES)=) $(PROG_TREES)
	$(if $(PACKAGES),cat $(GUEST_BUILD)/system.cpio $(OURS) | lz4 -l -q -f - $@)

# In front of ours, in one archive.
VALUES_system = $(PACKAGES)
$(GUEST_BUILD)/system.cpio: guest-images/make-system $(call told,system)
	guest-images/make-system $@ $(PACKAGES)

# A machine that runs guests under KVM: QEMU, its firmware, and KVM's modules of Debian's kernel. The tree is also that of
# `make nested`; the initramfs runs the guest of a comparison (kvm/scripts/kvm).
KVM_TREE := $(GUEST_BUILD)/kvm-tree
QEMU_ROOT := $(GUEST_BUILD)/packages/qemu-system-x86/root
$(KVM_TREE): $(GUEST_BUILD)/packages/qemu-system-x86/version $(GUEST_BUILD)/kernel/version \
    guest-images/take-program guest-images/take-modules
	guest-images/take-program --output $@ qemu-system-x86_64 $(QEMU_ROOT)
	guest-images/take-modules --output $@/modules $(GUEST_BUILD)/kernel/root kvm-intel
	@mkdir -p $@/firmware
	cp $(QEMU_ROOT)/usr/share/seabios/bios-256k.bin \
	    $(addprefix $(QEMU_ROOT)/usr/share/qemu/,kvmvapic.bin linuxboot_dma.bin) $@/firmware

# Its kernel is always Debian's, whose modules these are.
GUEST_KVM := $(GUEST_BUILD)/kvm.lz4
KVM_KERNEL := $(GUEST_BUILD)/vmlinuz
$(GUEST_KVM): $(GUEST_BUILD)/initrd.gz $(KVM_TREE) $(shell find guest-images/kvm -type f)
	guest-images/make-initrd --busybox $(GUEST_BUILD)/busybox/busybox --output $@ \
	    $(GUEST_TREES) --tree $(KVM_TREE)= --tree guest-images/kvm=

KVM_GUEST := $(GUEST_BUILD)/kvm-guest.cpio
VALUES_kvm-guest = $(GUEST_KERNEL) $(GUEST_COMPARE)
$(KVM_GUEST): $(GUEST_KERNEL) $(GUEST_COMPARE) guest-images/make-kvm-guest guest-images/make-initrd $(call told,kvm-guest)
	guest-images/make-kvm-guest $@ $(GUEST_KERNEL) $(GUEST_COMPARE)

# The same initramfs with Debian's stress-ng, which is dynamic, and the libraries that it needs: 10 times larger and
# slower to boot, so it is not the default.
guest-stress: $(GUEST_BUILD)/initrd-stress.lz4

$(GUEST_BUILD)/initrd-stress.lz4: $(GUEST_BUILD)/packages/stress-ng/version guest-images/take-program $(GUEST_BUILD)/initrd.gz
	guest-images/take-program --output $(GUEST_BUILD)/stress-tree stress-ng $(GUEST_BUILD)/packages/stress-ng/root
	guest-images/make-initrd --busybox $(GUEST_BUILD)/busybox/busybox --output $@ \
	    $(GUEST_TREES) --tree $(GUEST_BUILD)/stress-tree=
