# Fuzz harnesses: tests/host/fuzz_*.c, each a libFuzzer program of clang's under ASan and UBSan. A harness names the
# pure files that it links on a line `// link: hv/x.c`, further libraries on a line `// libs:`, and the longest useful
# input in bytes on a line `// max: 4096`. `fuzz-short` starts anew from a fixed seed, at most 5 seconds each; `fuzz`
# goes on from what it has found before, FUZZ_SECONDS for each harness.
FUZZERS      := $(patsubst tests/host/%.c,build/host/%,$(wildcard tests/host/fuzz_*.c))
FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 600
FUZZ_RUNS    ?= 100000
FUZZ_FLAGS   := -std=gnu11 -g -O1 -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
                -fno-omit-frame-pointer -Iarch/include -Ihv/include -Iept/include -Ishadow/include -Itests/host -I.
# One compiler run has many sources, so it cannot say what each needs: any header builds all of them again.
FUZZ_HEADERS := $(wildcard arch/*.h arch/include/arch/*.h hv/*.h hv/*.def hv/include/hv/*.h tests/host/*.h)
fuzz_links   = $(shell sed -n 's|^// link.||p' tests/host/$(1).c)
fuzz_max     = -max_len=$(or $(strip $(shell sed -n 's|^// max:||p' tests/host/$(notdir $(1)).c)),4096)

.SECONDEXPANSION:
build/host/fuzz_%: tests/host/fuzz_%.c $$(call fuzz_links,fuzz_$$*) arch/fmt.c \
                   tests/host/support.c tests/host/fuzz.mk $(FUZZ_HEADERS)
	@mkdir -p $(@D)
	@echo "  FUZZCC  $@"
	@$(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $< tests/host/support.c $(call fuzz_links,fuzz_$*) \
	    arch/fmt.c -lcmocka $(shell sed -n 's|^// libs:||p' $<)

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
