# `make check`: what can be said about the sources without running them. Each tests/check/*.t prints TAP, one line for
# each rule, and below a rule that is broken where it is. They compile with the monitor's own flags.
CHECKS := $(wildcard tests/check/*.t)

.PHONY: check
check: export CHECK_FLAGS := $(filter-out -MMD -MP -g -W%,$(MONITOR_FLAGS))
check: export CHECK_INCLUDES := $(foreach folder,$(FOLDERS) main,$(folder): $(INCLUDES_$(folder));)
check: export CHECK_USES := $(foreach folder,$(FOLDERS),$(folder): $(USES_$(folder));)
check: $(BUILD)/hv/guest/dsdt.h $(BUILD)/hv/version.h
	prove --jobs 2 --comments --failures --directives --exec '' $(CHECKS)
