# What a rule is told by value and not by file: compilers, flags, words of a command line, lists of files. $(call told,NAME)
# is the file $(BUILD)/values/NAME, a prerequisite like any other, which is new only when VALUES_NAME is another than at the last
# make. So what is built is what was asked for, also after it was asked for something else. Included first by the top Makefile.
VALUES := $(BUILD)/values
told    = $(VALUES)/$(1)
# One word for the shell, whatever is in it.
quoted  = '$(subst ','\'',$(1))'

$(VALUES):
	@mkdir -p $@

.PHONY: values-looked-at
.PRECIOUS: $(VALUES)/%
$(VALUES)/%: values-looked-at | $(VALUES)
	@printf '%s\n' $(call quoted,$(VALUES_$*)) >$@.now
	@cmp -s $@.now $@ && rm $@.now || mv $@.now $@
