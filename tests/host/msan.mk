# The test programs again, under clang's MemorySanitizer: what is read before it was written, and what of it gets to
# a guest. All but those with foreign libraries, which would have to be compiled for it, too; cmocka only passes values
# on, and the C library is known to the sanitizer. And all but test_far, which reserves 16 TiB of addresses: the sanitizer leaves
# a program less; and test_same, whose registers the sanitizer's own code uses.
comma := ,
MSAN_TESTS := $(filter-out build/msan/test_far build/msan/test_same,$(patsubst tests/host/%.c,build/msan/%,\
    $(shell grep -L '^// libs:' $(wildcard tests/host/test_*.c))))
MSAN_FLAGS := $(subst address$(comma)undefined,memory -fsanitize-memory-track-origins,$(HOST_FLAGS))

build/objects/msan/%.o: %.c tests/host/host.mk tests/host/msan.mk
	@mkdir -p $(@D)
	@echo "  MSANCC  $@"
	@$(FUZZ_CC) $(MSAN_FLAGS) -c -o $@ $<

build/objects/msan/base.a: $(HOST_BASE:%=build/objects/msan/%)
	@rm -f $@
	@ar rcs $@ $^

$(MSAN_TESTS): build/msan/%: $$(call host_links,build/objects/msan,$$*) build/objects/msan/base.a
	@mkdir -p $(@D)
	@echo "  MSANLD  $@"
	@$(FUZZ_CC) $(MSAN_FLAGS) -o $@ $^ -lcmocka

.PHONY: msan-tests
msan-tests: export RUNS = 20
msan-tests: export PENUMBRA_BZIMAGE = build/guest/vmlinuz
msan-tests: $(MSAN_TESTS) build/guest/vmlinuz
	CMOCKA_MESSAGE_OUTPUT=TAP prove --jobs 2 --exec '' $(MSAN_TESTS)

-include $(shell find build/objects/msan -name '*.d' 2>/dev/null)
