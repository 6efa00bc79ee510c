# Host tests: tests/host/test_*.c, each a cmocka program under ASan and UBSan. A test names the pure files that it
# links on a line `// link: hv/memory/p2m.c hv/memory/walk.c`, further libraries on a line `// libs: -lZydis`. What every test may
# want (support.c, text formatting, the frame allocator) is linked without being named.
#
# tests/host/include comes before the monitor's headers: there the few privileged instructions of arch/io.h and
# arch/vmcs.h are functions of tests/host/fake_cpu.c.
HOST_TESTS := $(patsubst tests/host/%.c,build/host/%,$(wildcard tests/host/test_*.c))
HOST_CC    ?= gcc
HOST_FLAGS := -std=gnu11 -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all \
              -fno-omit-frame-pointer -Itests/host/include -Iarch/include -Ihv/include -Iept/include \
              -Ishadow/include $(HV_LAYERS:%=-I%) -Itests/host -I. -MMD -MP
HOST_BASE  := tests/host/support.o arch/fmt.o arch/frames.o arch/same.o

# The word MACHINE on a link line: the exit handlers as they are, on the processor and machine of fake_*.c.
MACHINE_HV := apic auto auto_loads auto_mode auto_reading auto_roots churn configurations cpuid debug decode devices \
              due effect emulate event exit_names exit_simple guest_access guest_map hardware invpcid io ioapic json \
              legacy machine_check mmio mmu mode mode_ask msr msr_bitmap msr_switch msr_table p2m p2m_change paging \
              params pic pit places profile results rtc stop summary tally trace uart vcpu vm_memory vmcall walk
MACHINE_C  := $(patsubst %,tests/host/fake_%.c,cpu entry machine) arch/frequency.c arch/mca.c arch/mtrr.c arch/pmu.c \
              $(wildcard ept/*.c $(MACHINE_HV:%=hv/*/%.c))

# The word ENGINE: the shadow engine, which is all of shadow/ but what connects it to the VMCS.
ENGINE_C := $(filter-out shadow/shadow.c,$(wildcard shadow/*.c)) hv/memory/p2m.c hv/memory/p2m_change.c hv/memory/walk.c

# The objects under folder $(1) that program $(2) names.
host_named   = tests/host/$(1).c $(shell sed -n 's|^// link:||p' tests/host/$(1).c)
host_sources = $(subst ENGINE,$(ENGINE_C),$(subst MACHINE,$(MACHINE_C),$(call host_named,$(1))))
host_links   = $(patsubst %.c,$(1)/%.o,$(call host_sources,$(2)))
host_libs  = $(shell sed -n 's|^// libs:||p' tests/host/$(1).c)

VALUES_host = $(HOST_CC) $(HOST_FLAGS)

# As in the monitor: else the sanitizer's own code uses the registers that are given back.
build/objects/host/arch/same%: HOST_ALSO = -mgeneral-regs-only
build/objects/host/%.o: %.c tests/host/host.mk $(call told,host)
	@mkdir -p $(@D)
	@echo "  HOSTCC  $@"
	@$(HOST_CC) $(HOST_FLAGS) $(HOST_ALSO) -c -o $@ $<

build/objects/host/base.a: $(HOST_BASE:%=build/objects/host/%)
	@rm -f $@
	@ar rcs $@ $^

.SECONDEXPANSION:
$(HOST_TESTS): build/host/%: $$(call host_links,build/objects/host,$$*) build/objects/host/base.a
	@mkdir -p $(@D)
	@echo "  HOSTLD  $@"
	@$(HOST_CC) $(HOST_FLAGS) -o $@ $^ -lcmocka $(call host_libs,$*)

# Debian's kernel is an input of test_load_linux: what is true of every stock kernel is tried on it.
.PHONY: host-tests
host-tests: export PENUMBRA_BZIMAGE = build/guest/vmlinuz
host-tests: $(HOST_TESTS) build/guest/vmlinuz
	CMOCKA_MESSAGE_OUTPUT=TAP prove --jobs 2 --exec '' $(HOST_TESTS)

# Faults planted in the sources, one after the other: does the host test that shall see each see it?
.PHONY: plant
plant: build/guest/vmlinuz
	tests/host/plant

-include $(shell find build/objects/host -name '*.d' 2>/dev/null)
