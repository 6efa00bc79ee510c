# Fuzz harnesses: tests/host/fuzz_*.c, each a libFuzzer program of clang's under ASan and UBSan. A harness names the
# pure files that it links on a line `// link: hv/devices/uart.c`, further libraries on a line `// libs:`, and the longest useful
# input in bytes on a line `// max: 4096`. `fuzz-short` starts anew from a fixed seed, at most 5 seconds each; `fuzz`
# goes on from what it has found before, FUZZ_SECONDS for each harness.
FUZZERS      := $(patsubst tests/host/%.c,build/host/%,$(wildcard tests/host/fuzz_*.c))
FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 600
FUZZ_RUNS    ?= 100000
FUZZ_FLAGS   := $(HOST_FLAGS) -fsanitize=fuzzer
fuzz_max     = -max_len=$(or $(strip $(shell sed -n 's|^// max:||p' tests/host/$(notdir $(1)).c)),4096)

VALUES_fuzz = $(FUZZ_CC) $(FUZZ_FLAGS)
build/objects/fuzz/%.o: %.c tests/host/host.mk tests/host/fuzz.mk $(call told,fuzz)
	@mkdir -p $(@D)
	@echo "  FUZZCC  $@"
	@$(FUZZ_CC) $(FUZZ_FLAGS) -c -o $@ $<

build/objects/fuzz/base.a: $(HOST_BASE:%=build/objects/fuzz/%)
	@rm -f $@
	@ar rcs $@ $^

$(FUZZERS): build/host/%: $$(call host_links,build/objects/fuzz,$$*) build/objects/fuzz/base.a
	@mkdir -p $(@D)
	@echo "  FUZZLD  $@"
	@$(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $^ -lcmocka $(call host_libs,$*)

.PHONY: fuzz-short fuzz $(FUZZERS:%=%.short) $(FUZZERS:%=%.long)
fuzz-short: $(FUZZERS:%=%.short)
fuzz: $(FUZZERS:%=%.long)

$(FUZZERS:%=%.short): %.short: %
	@mkdir -p build/host/artifacts
	@echo "  FUZZ    $*"
	@$* -seed=1 -len_control=0 -runs=$(FUZZ_RUNS) -max_total_time=5 $(call fuzz_max,$*) -artifact_prefix=build/host/artifacts/ \
	    > $*.log 2>&1 || { tail -n 150 $*.log; exit 1; }
	@tail -n 1 $*.log

$(FUZZERS:%=%.long): %.long: %
	@mkdir -p build/host/corpus/$(*F) build/host/artifacts
	$* -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 $(call fuzz_max,$*) -artifact_prefix=build/host/artifacts/ \
	    build/host/corpus/$(*F)

-include $(shell find build/objects/fuzz -name '*.d' 2>/dev/null)
