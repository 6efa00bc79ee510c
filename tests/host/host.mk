# Host tests: tests/host/test_*.c, each a cmocka program under ASan and UBSan. A test names the pure files that it
# links on a line `// link: hv/p2m.c arch/frames.c`, further libraries on a line `// libs: -lZydis`.
HOST_TESTS := $(patsubst tests/host/%.c,build/host/%,$(wildcard tests/host/test_*.c))
HOST_CC    ?= gcc
HOST_FLAGS := -std=gnu11 -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all \
              -fno-omit-frame-pointer -Iarch/include -Ihv/include -Iept/include -Ishadow/include -Itests/host -I. -MMD

build/host/test_%: tests/host/test_%.c tests/host/support.c tests/host/host.mk
	@mkdir -p $(@D)
	@echo "  HOSTCC  $@"
	@$(HOST_CC) $(HOST_FLAGS) -MF $@.d -o $@ $< tests/host/support.c $(shell sed -n 's|^// link:||p' $<) \
	    arch/fmt.c -lcmocka $(shell sed -n 's|^// libs:||p' $<)

.PHONY: host-tests
host-tests: $(HOST_TESTS)
	CMOCKA_MESSAGE_OUTPUT=TAP prove --jobs 2 --exec '' $(HOST_TESTS)

-include $(wildcard build/host/*.d)
