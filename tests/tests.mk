# `make test`: everything, in the order in which a mistake is cheapest to find. Included by the top Makefile. Emulator
# tests are tests/run/*.t, each a program of its own: `prove -v tests/run/exits.t` runs one after `make test-parts`.
RUN_TESTS := $(sort $(wildcard tests/run/*.t))
JOBS      ?= 2

.PHONY: test test-parts run-tests stress test-fresh
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

# The set-up as on a fresh machine, in minimal chroots of Debian 12 and 13: needs root and a mirror, some minutes for each.
test-fresh:
	prove --timer -v tests/run/long/fresh.t

# Each step says what it is and, at its end, how long all took so far.
test:
	@began=$$(date +%s); \
	for step in test-parts host-tests msan-tests fuzz-short check run-tests; do \
	    echo "test: $$step"; \
	    $(MAKE) --no-print-directory -j$(JOBS) $$step || { echo "test: $$step FAILED"; exit 1; }; \
	    echo "test: $$step passed, $$(($$(date +%s) - began)) s so far"; \
	done
