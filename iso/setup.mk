# Set-up before anything else: installs what the goals of this make need, so that each works on a fresh machine. Included first
# by the top Makefile. Costs some hundredths of a second where all is there; a make started by this one does not look again.
# A goal that is not named here builds something.
GOALS_OF_none    := help clean version setup-%
GOALS_OF_run     := run
GOALS_OF_compare := compare machine
GOALS_OF_html    := check-html
GOALS_OF_test    := test test-% run-tests host-tests msan-tests build/host/% build/msan/% fuzz fuzz-short check stress nested plant

GOALS := $(or $(MAKECMDGOALS),$(.DEFAULT_GOAL))
LEVEL := $(firstword $(foreach level,html test compare run,$(if $(filter $(GOALS_OF_$(level)),$(GOALS)),$(level))) \
                     $(if $(filter-out $(GOALS_OF_none),$(GOALS)),build))

# Not in a dry run: make -n.
ifeq ($(findstring n,$(firstword -$(MAKEFLAGS)))$(SETUP_DONE),)
ifneq ($(LEVEL),)
ignored := $(shell iso/setup $(LEVEL) $(if $(PACKAGES),packages) >&2)
ifneq ($(.SHELLSTATUS),0)
$(error not set up)
endif
endif
endif
export SETUP_DONE := yes

.PHONY: setup-build setup-run setup-compare setup-test setup-html
setup-build setup-run setup-compare setup-test setup-html: setup-%:
	@iso/setup $*
