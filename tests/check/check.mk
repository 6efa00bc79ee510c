# `make check`: what can be said about the sources without running them. Each tests/check/*.t prints TAP, one line for
# each rule, and below a rule that is broken where it is. They compile with the monitor's own flags.
CHECKS := $(wildcard tests/check/*.t)

.PHONY: check
check: export CHECK_FLAGS := $(filter-out -MMD -MP -g -W%,$(MONITOR_FLAGS))
check: export CHECK_INCLUDES_arch := $(INCLUDES_arch)
check: export CHECK_INCLUDES_hv := $(INCLUDES_hv)
check: export CHECK_INCLUDES_ept := $(INCLUDES_ept)
check: export CHECK_INCLUDES_shadow := $(INCLUDES_shadow)
check: export CHECK_INCLUDES_main := $(INCLUDES_main)
check: $(BUILD)/hv/dsdt.h $(BUILD)/hv/version.h
	prove --jobs 2 --comments --failures --directives --exec '' $(CHECKS)
