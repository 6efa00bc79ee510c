# `make test`: everything, in the order in which a mistake is cheapest to find. Included by the top Makefile. Emulator
# tests are tests/run/*.t, each a program of its own: `prove -v tests/run/exits.t` runs one after `make test-parts`.
RUN_TESTS := $(sort $(wildcard tests/run/*.t))
JOBS      ?= 2
NESTED_HOST := $(BUILD)/nested/host.lz4

.PHONY: test test-parts run-tests stress nested test-fresh test-packages check-html
test-parts: $(MONITOR) $(ISO) $(SETTINGS) guest-tests guest-stress

# Long ones first, so that both processors are busy to the end.
run-tests: test-parts
	@echo "  emulator tests, $(words $(RUN_TESTS)) programs, $(JOBS) at a time"
	prove --timer --directives --jobs $(JOBS) $(sort $(filter tests/run/linux-% tests/run/exits%,$(RUN_TESTS))) \
	    $(filter-out tests/run/linux-% tests/run/exits%,$(RUN_TESTS))

# What takes hours: Linux under load in every configuration of lib/Stress.pm, mmu-torture under every strategy with and without
# what saves exits. run-tests has some of each.
stress: test-parts
	prove --timer -v tests/run/long/micro-mmu.t tests/run/long/stress.t

# Penumbra under KVM, which itself runs in Bochs: hours (NESTED=name,... for some cases).
nested: $(MONITOR) guest-tests guest-images $(NESTED_HOST)
	prove --timer -v tests/run/long/nested.t

# The initramfs of that KVM's machine, with UEFI's firmware, and what runs the cases. The cases and the image come with each boot.
OVMF_ROOT := $(GUEST_BUILD)/packages/ovmf/root
OVMF_TREE := $(BUILD)/nested/ovmf
$(NESTED_HOST): $(KVM_TREE) $(GUEST_BUILD)/packages/ovmf/version $(GUEST_BUILD)/busybox/busybox guest-images/make-initrd \
    tests/run/nested/init
	@mkdir -p $(OVMF_TREE)
	cp $(OVMF_ROOT)/usr/share/OVMF/OVMF_CODE_4M.fd $(OVMF_ROOT)/usr/share/OVMF/OVMF_VARS_4M.fd $(OVMF_TREE)
	guest-images/make-initrd --busybox $(GUEST_BUILD)/busybox/busybox --output $@ --tree $(KVM_TREE)= \
	    --tree $(OVMF_TREE)=firmware --tree tests/run/nested=

# The set-up as on a fresh machine, in minimal chroots of Debian 12 and 13: needs root and a mirror, some minutes for each.
test-fresh:
	prove --timer -v tests/run/long/fresh.t

# A guest's system of real packages: the same needs.
test-packages: guest-images
	prove --timer -v tests/run/long/packages.t

# The HTML report as a browser has it.
check-html:
	prove --timer -v tests/run/long/html.t

# Each step says what it is and, at its end, how long all took so far.
test:
	@began=$$(date +%s); \
	for step in test-parts host-tests msan-tests fuzz-short check run-tests; do \
	    echo "test: $$step"; \
	    $(MAKE) --no-print-directory -j$(JOBS) $$step || { echo "test: $$step FAILED"; exit 1; }; \
	    echo "test: $$step passed, $$(($$(date +%s) - began)) s so far"; \
	done
