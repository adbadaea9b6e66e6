# SPDX-License-Identifier: MIT
#
# vvfat: GNU make, no generator. `make help` lists the targets.
#
# ./configure writes config.mk. Everything in it can be overridden for one
# run, in a build directory of its own, without configuring again:
#
#     make BUILD=build-asan CC=clang SANITIZE=address,undefined check-unit
#
# V=1 shows the commands.

VERSION := 0.1.0

BUILD ?= build
-include config.mk

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

ifneq ($(CONFIGURED),yes)
ifneq ($(filter-out clean distclean help format,$(or $(MAKECMDGOALS),all)),)
$(error config.mk is missing: run ./configure first)
endif
endif

ifeq ($(V),1)
say = @:
Q :=
else
say = @printf '  %-7s %s\n'
Q := @
endif

# ---- Flags ----

WARNINGS := -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes \
    -Wold-style-definition -Wshadow -Wvla -Wpointer-arith -Wwrite-strings \
    -Wundef -Wformat=2 -Wdate-time
SANITIZE_FLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) \
    -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
COVERAGE_FLAGS := $(if $(filter yes,$(COVERAGE)),--coverage)
VVFAT_CFLAGS = -std=gnu11 $(CFLAGS) -fPIC -pthread $(WARNINGS) \
    $(if $(filter yes,$(WERROR)),-Werror) $(SANITIZE_FLAGS) $(COVERAGE_FLAGS)
VVFAT_CPPFLAGS = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 \
    -DVVFAT_VERSION='"$(VERSION)"' -Iinclude -I. \
    $(GLIB_CFLAGS) $(ZLIB_CFLAGS) $(CPPFLAGS)
VVFAT_LDFLAGS = $(LDFLAGS) -pthread $(SANITIZE_FLAGS) $(COVERAGE_FLAGS)
LIBS = $(GLIB_LIBS) $(ZLIB_LIBS)

# Objects depend on this file: other flags in the same directory rebuild.
FLAGS_FILE := $(BUILD)/.flags
FLAGS_NOW := $(CC) $(VVFAT_CFLAGS) $(VVFAT_CPPFLAGS) $(VVFAT_LDFLAGS) $(LIBS)

# ---- What is built ----

LIB_SOURCES := $(wildcard util/*.c block/*.c block/*/*.c)
PLUGIN_SOURCES := $(wildcard tools/nbdkit-*.c)
TOOL_SOURCES := $(filter-out $(PLUGIN_SOURCES),$(wildcard tools/*.c))
UNIT_SOURCES := $(wildcard tests/unit/*.c)
UNIT_HELPERS := $(filter-out tests/unit/test-%,$(UNIT_SOURCES))
THREAD_SOURCES := $(wildcard tests/thread/*.c)
CRASH_SOURCES := $(wildcard tests/crash/*.c)
MODEL_SOURCES := $(wildcard tests/model/*.c)
SOAK_SOURCES := $(wildcard tests/soak/*.c)
# A guest's file system, for other tests than the model, too.
GUEST_SOURCES := $(wildcard tests/model/disk*.c tests/model/fatvol*.c)
TEST_TOOL_SOURCES := $(wildcard tests/tools/*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz-*.c)
BENCH_SOURCES := $(wildcard tests/bench/*.c)
SCRIPT_TESTS := $(sort $(wildcard tests/scripts/test-*.sh tests/img/test-*.sh))
GUEST_TESTS := $(sort $(wildcard tests/guest/test-*.sh))
EXAMPLE_SOURCES := $(wildcard docs/examples/*.c)
PUBLIC_HEADERS := $(wildcard include/block/*.h)
MAN_PAGES := $(wildcard docs/*.[137])

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

SO_VERSION := 0
# What is installed; and every function, for our own programs and tests.
EMBED_LIB := $(BUILD)/libvvfat.a
STATIC_LIB := $(BUILD)/obj/libvvfat.a
SHARED_LIB := $(BUILD)/libvvfat.so
TOOL := $(if $(TOOL_SOURCES),$(BUILD)/vvfat-img)
# nbdkit cannot load a plugin that a sanitizer must come before.
PLUGIN := $(if $(filter yes,$(HAVE_NBDKIT)),$(if $(SANITIZE),,\
    $(BUILD)/nbdkit-vvfat-plugin.so))
UNIT_TESTS := $(BUILD)/tests/unit-tests

.PHONY: all
all: $(EMBED_LIB) $(SHARED_LIB) $(TOOL) $(PLUGIN)

# ---- Compiling ----

$(FLAGS_FILE): FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
.PHONY: FORCE

$(BUILD)/obj/%.o: %.c $(FLAGS_FILE)
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_CPPFLAGS) $(VVFAT_CFLAGS) $(EXTRA_CFLAGS) \
	    -MMD -MP -c -o $@ $<

$(call objects,$(PLUGIN_SOURCES)): EXTRA_CFLAGS = \
    $(NBDKIT_CFLAGS) -Wno-missing-prototypes
$(call objects,$(UNIT_SOURCES)): EXTRA_CFLAGS = $(CRITERION_CFLAGS)
$(call objects,$(FUZZ_SOURCES)): EXTRA_CFLAGS = -Wno-missing-prototypes

-include $(patsubst %.o,%.d,$(call objects,$(LIB_SOURCES) $(TOOL_SOURCES) \
    $(PLUGIN_SOURCES) $(UNIT_SOURCES) $(THREAD_SOURCES) $(CRASH_SOURCES) \
    $(MODEL_SOURCES) $(SOAK_SOURCES) $(TEST_TOOL_SOURCES) $(FUZZ_SOURCES) \
    $(BENCH_SOURCES)))

# ---- Linking ----

$(STATIC_LIB): $(call objects,$(LIB_SOURCES))
	$(say) AR $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# What the public headers declare, with the versions that include/libvvfat.abi
# gives, is exported, and nothing else.
ABI := include/libvvfat.abi
ABI_NODE := VVFAT_$(basename $(VERSION))

$(BUILD)/libvvfat.map: $(ABI)
	@mkdir -p $(@D)
	$(Q)awk '$$1 ~ /^(function|data)$$/ { s[$$3] = s[$$3] " " $$2 ";" } \
	    END { local = " local: *;"; for (v in s) { \
	    print v " { global:" s[v] local " };"; local = "" } }' $(ABI) >$@

$(BUILD)/libvvfat.names: $(ABI)
	@mkdir -p $(@D)
	$(Q)awk '$$1 ~ /^(function|data)$$/ { print $$2 }' $(ABI) >$@

# One object, in which all other names are local: an embedder may have its own
# functions of the same names.
$(EMBED_LIB): $(call objects,$(LIB_SOURCES)) $(BUILD)/libvvfat.names
	$(say) AR $@
	@rm -f $@
	$(Q)$(CC) $(CFLAGS) $(if $(findstring -flto,$(CFLAGS)),\
	    $(if $(findstring clang,$(CC)),,-flinker-output=nolto-rel)) \
	    -r -nostdlib -o $(BUILD)/obj/libvvfat.o $(filter %.o,$^)
	$(Q)$(OBJCOPY) --keep-global-symbols=$(BUILD)/libvvfat.names \
	    $(BUILD)/obj/libvvfat.o
	$(Q)$(AR) rcs $@ $(BUILD)/obj/libvvfat.o

$(SHARED_LIB): $(call objects,$(LIB_SOURCES)) $(BUILD)/libvvfat.map
	$(say) LINK $@
	$(Q)$(CC) $(VVFAT_LDFLAGS) -shared -o $@ \
	    -Wl,-soname,libvvfat.so.$(SO_VERSION) \
	    -Wl,--version-script=$(BUILD)/libvvfat.map -Wl,-Bsymbolic \
	    $(if $(SANITIZE),,-Wl,-z,defs) $(filter %.o,$^) $(LIBS)

$(BUILD)/vvfat-img: $(call objects,$(TOOL_SOURCES)) $(STATIC_LIB)
	$(say) LINK $@
	$(Q)$(CC) $(VVFAT_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/nbdkit-vvfat-plugin.so: \
    $(call objects,$(PLUGIN_SOURCES) tools/tool-output.c) $(STATIC_LIB)
	$(say) LINK $@
	@echo '{ global: plugin_init; local: *; };' >$(BUILD)/plugin.map
	$(Q)$(CC) $(VVFAT_LDFLAGS) -shared -o $@ $^ \
	    -Wl,--version-script=$(BUILD)/plugin.map $(LIBS)

# ---- Unit tests ----

$(UNIT_TESTS): $(call objects,$(UNIT_SOURCES) $(GUEST_SOURCES)) $(STATIC_LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_LDFLAGS) -o $@ $^ $(CRITERION_LIBS) $(LIBS)

# One file of tests alone: make unit TEST=test-names
$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o \
    $(call objects,$(UNIT_HELPERS) $(GUEST_SOURCES)) $(STATIC_LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_LDFLAGS) -o $@ $^ $(CRITERION_LIBS) $(LIBS)

# Criterion does not see what a sanitizer finds when a test's process ends:
# findings go to files.
FINDINGS := $(abspath $(BUILD)/tests/findings)
unit_run = failed=0; rm -f $(FINDINGS).*; BUILD=$(abspath $(BUILD)) \
    ASAN_OPTIONS=log_path=$(FINDINGS) $(1) $(TEST_ARGS) || failed=1; \
    if cat $(FINDINGS).* 2>/dev/null; then exit 1; fi; exit $$failed

.PHONY: unit
ifeq ($(TEST),)
unit:
	@echo 'say which: make unit TEST=test-names' >&2; exit 1
else
unit: need-criterion $(BUILD)/tests/unit/$(TEST)
	$(Q)$(call unit_run,$(BUILD)/tests/unit/$(TEST))
endif

# ---- Programs that tests run ----

TEST_TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,\
    $(TEST_TOOL_SOURCES))

$(BUILD)/tests/tools/%: $(BUILD)/obj/tests/tools/%.o $(STATIC_LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_LDFLAGS) -o $@ $^ $(LIBS)

# Crashes and faults at every step of what a driver writes.
CRASH_TESTS := $(patsubst tests/crash/%.c,$(BUILD)/tests/crash/%,\
    $(filter tests/crash/test-%.c,$(CRASH_SOURCES)))
CRASH_HELPERS := $(filter-out tests/crash/test-%,$(CRASH_SOURCES)) \
    $(wildcard tests/unit/memory-*.c) tests/unit/fault-hostfs.c

$(BUILD)/tests/crash/%: $(BUILD)/obj/tests/crash/%.o \
    $(call objects,$(CRASH_HELPERS)) $(STATIC_LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_LDFLAGS) -o $@ $^ $(LIBS)

# Random operations of a guest, and what becomes of them.
MODEL_TEST := $(BUILD)/tests/model/test-model

$(MODEL_TEST): $(call objects,$(MODEL_SOURCES)) $(STATIC_LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_LDFLAGS) -o $@ $^ $(LIBS)

# Everything at once, for a long time. With the thread sanitizer, GLib's locks
# as it must see them.
SOAK_TEST := $(BUILD)/tests/soak/test-soak
SOAK_HELPERS := $(filter-out tests/model/test-%,$(MODEL_SOURCES)) \
    $(if $(findstring thread,$(SANITIZE)),tests/thread/glib-tsan.c)

$(SOAK_TEST): $(call objects,$(SOAK_SOURCES) $(SOAK_HELPERS)) $(STATIC_LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_LDFLAGS) -o $@ $^ $(LIBS)

SOAK_SCRIPTS := $(wildcard tests/soak/test-*.sh)

.PHONY: test-programs
test-programs: $(TEST_TOOLS) $(CRASH_TESTS) $(MODEL_TEST) $(SOAK_TEST)
	@:

# ---- Checking ----

.PHONY: check check-scripts check-crash check-model check-soak check-guest \
    check-thread check-unit
check-unit: need-criterion $(UNIT_TESTS)
	$(Q)$(call unit_run,$(UNIT_TESTS))

check-scripts: all $(TEST_TOOLS)
	$(Q)tests/run $(BUILD) $(SCRIPT_TESTS)

check-crash: $(CRASH_TESTS)
	$(Q)tests/run $(BUILD) $(CRASH_TESTS)

check-model: $(MODEL_TEST)
	$(Q)tests/run $(BUILD) $(MODEL_TEST)

check-soak: all $(SOAK_TEST)
	$(Q)tests/run $(BUILD) $(SOAK_TEST) $(SOAK_SCRIPTS)

check-guest: all
	$(Q)tests/run $(BUILD) $(GUEST_TESTS)

# Plain programs under the thread sanitizer, from a build of their own.
THREAD_TESTS := $(patsubst tests/thread/%.c,$(BUILD)/tests/thread/%,\
    $(filter tests/thread/test-%.c,$(THREAD_SOURCES)))
THREAD_HELPERS := $(filter-out tests/thread/test-%,$(THREAD_SOURCES))

$(BUILD)/tests/thread/test-writable $(BUILD)/tests/thread/test-events: \
    $(call objects,$(GUEST_SOURCES))

$(BUILD)/tests/thread/%: $(BUILD)/obj/tests/thread/%.o \
    $(call objects,$(THREAD_HELPERS)) $(STATIC_LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: thread-tests
thread-tests: $(THREAD_TESTS) $(SOAK_TEST)
	@:

TSAN_TESTS = $(patsubst $(BUILD)/%,$(BUILD)/tsan/%,$(THREAD_TESTS) $(SOAK_TEST))

check-thread:
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SANITIZE=thread \
	    thread-tests
	$(Q)tests/run $(BUILD) $(TSAN_TESTS)

.PHONY: need-criterion
need-criterion:
ifneq ($(HAVE_CRITERION),yes)
	@echo 'make check needs Criterion: install libcriterion-dev (or run' \
	    './configure --install-deps), then run ./configure again' >&2
	@exit 1
endif

# The unit tests come last: their closing line is the last of the output.
check: need-criterion all $(UNIT_TESTS) test-programs
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SANITIZE=thread \
	    thread-tests
	$(Q)tests/run $(BUILD) $(CRASH_TESTS) $(MODEL_TEST) $(SOAK_TEST) \
	    $(SOAK_SCRIPTS) $(SCRIPT_TESTS) $(TSAN_TESTS) \
	    $(if $(filter no,$(GUEST_TESTS_ENABLED)),,$(GUEST_TESTS))
	$(Q)$(MAKE) --no-print-directory check-unit

# ---- Installing ----

# Directories below the prefix move with it (pkg-config --define-prefix).
below_prefix = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))

vvfat_pc = printf '%s\n' 'prefix=$(PREFIX)' \
    'libdir=$(call below_prefix,$(LIBDIR))' \
    'includedir=$(call below_prefix,$(INCLUDEDIR))' '' 'Name: vvfat' \
    'Description: Block layer that shows a directory as a FAT disk' \
    'Version: $(VERSION)' 'Requires: glib-2.0 >= 2.68' \
    'Requires.private: zlib' 'Libs: -L$${libdir} -lvvfat' \
    'Libs.private: -pthread' 'Cflags: -I$${includedir}/vvfat'

BASH_COMPLETION_DIR = $(DATADIR)/bash-completion/completions
# The page docs/NAME.N goes to manN.
installed_man = $(foreach page,$(MAN_PAGES),\
    '$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))')

.PHONY: install uninstall
install: all
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(LIBDIR)/pkgconfig' \
	    '$(DESTDIR)$(INCLUDEDIR)/vvfat/block' \
	    '$(DESTDIR)$(BASH_COMPLETION_DIR)' '$(DESTDIR)$(ZSHDIR)'
	install $(TOOL) '$(DESTDIR)$(BINDIR)'
	install -m 644 $(EMBED_LIB) '$(DESTDIR)$(LIBDIR)'
	install -m 755 $(SHARED_LIB) \
	    '$(DESTDIR)$(LIBDIR)/libvvfat.so.$(VERSION)'
	ln -sf libvvfat.so.$(VERSION) \
	    '$(DESTDIR)$(LIBDIR)/libvvfat.so.$(SO_VERSION)'
	ln -sf libvvfat.so.$(SO_VERSION) '$(DESTDIR)$(LIBDIR)/libvvfat.so'
	install -m 644 $(PUBLIC_HEADERS) '$(DESTDIR)$(INCLUDEDIR)/vvfat/block'
	$(vvfat_pc) >'$(DESTDIR)$(LIBDIR)/pkgconfig/vvfat.pc'
	chmod 644 '$(DESTDIR)$(LIBDIR)/pkgconfig/vvfat.pc'
	set -e; for page in $(installed_man); do \
	    install -D -m 644 "docs/$${page##*/}" "$$page"; done
	install -m 644 tools/completions/vvfat-img.bash \
	    '$(DESTDIR)$(BASH_COMPLETION_DIR)/vvfat-img'
	install -m 644 tools/completions/_vvfat-img \
	    '$(DESTDIR)$(ZSHDIR)/_vvfat-img'
ifneq ($(PLUGIN),)
	install -d '$(DESTDIR)$(NBDKIT_PLUGINDIR)'
	install $(PLUGIN) '$(DESTDIR)$(NBDKIT_PLUGINDIR)'
endif
# So that programs find the library at once, if it is root who installs.
	[ -n '$(DESTDIR)' ] || ldconfig 2>/dev/null || :

uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/vvfat-img' \
	    $(addprefix '$(DESTDIR)$(LIBDIR)'/,libvvfat.a libvvfat.so \
	    libvvfat.so.$(SO_VERSION) libvvfat.so.$(VERSION)) \
	    '$(DESTDIR)$(LIBDIR)/pkgconfig/vvfat.pc' \
	    $(installed_man) '$(DESTDIR)$(BASH_COMPLETION_DIR)/vvfat-img' \
	    '$(DESTDIR)$(ZSHDIR)/_vvfat-img'
	rm -f $(patsubst include/%,'$(DESTDIR)$(INCLUDEDIR)/vvfat/%',\
	    $(PUBLIC_HEADERS))
	for dir in vvfat/block vvfat; do \
	    dir='$(DESTDIR)$(INCLUDEDIR)'/$$dir; \
	    [ ! -d "$$dir" ] || rmdir --ignore-fail-on-non-empty "$$dir"; \
	done
ifneq ($(NBDKIT_PLUGINDIR),)
	rm -f '$(DESTDIR)$(NBDKIT_PLUGINDIR)/nbdkit-vvfat-plugin.so'
endif

# ---- Care of the source ----

C_FILES := $(LIB_SOURCES) $(TOOL_SOURCES) $(PLUGIN_SOURCES) $(UNIT_SOURCES) \
    $(THREAD_SOURCES) $(CRASH_SOURCES) $(MODEL_SOURCES) $(SOAK_SOURCES) \
    $(TEST_TOOL_SOURCES) $(FUZZ_SOURCES) $(BENCH_SOURCES) \
    $(EXAMPLE_SOURCES)
H_FILES := $(wildcard include/*/*.h block/*.h block/*/*.h tools/*.h tests/*/*.h \
    docs/examples/*.h)
SHELL_FILES := $(sort configure .ci/run tests/run tests/soak/run-soak \
    $(wildcard tests/*/*.sh tests/scripts/* tools/completions/*.bash))

.PHONY: format lint
format:
	$(Q)clang-format -i $(C_FILES) $(H_FILES)

lint:
	$(Q)shellcheck -x -S warning -P SCRIPTDIR:. $(SHELL_FILES)
	$(Q)mandoc -T lint -W warning $(MAN_PAGES)
	$(Q)pyflakes3 $(wildcard tests/bench/*.py)
	$(Q)cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr \
	    --enable=warning,performance,portability --library=gtk \
	    -Iinclude -I. $(LIB_SOURCES) $(TOOL_SOURCES) $(PLUGIN_SOURCES) \
	    $(EXAMPLE_SOURCES)
	$(Q)printf '%s\n' $(LIB_SOURCES) $(TOOL_SOURCES) $(PLUGIN_SOURCES) \
	    $(EXAMPLE_SOURCES) | \
	    xargs -P "$$(nproc)" -I {} clang-tidy --quiet {} -- -std=gnu11 \
	    $(subst -I/,-isystem /,$(VVFAT_CPPFLAGS) $(NBDKIT_CFLAGS)) \
	    2>/dev/null # no more than the number of warnings in system headers

# ---- Fuzzing and measuring ----

FUZZ_TIME ?= 60
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(FUZZ_SOURCES))

# A host in memory, for other tests than the unit's, too.
HOST_SOURCES := $(wildcard tests/unit/memory-*.c) tests/unit/fault-hostfs.c \
    tests/unit/host-tree.c
$(BUILD)/tests/fuzz/fuzz-writable: $(call objects,$(HOST_SOURCES))

$(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(STATIC_LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

.PHONY: fuzzers fuzz bench bench-scale
fuzzers: $(FUZZERS)
	@:

# Each target for FUZZ_TIME seconds; FUZZ=fuzz-names runs one of them, and
# FUZZ_SEED in the environment repeats a run's random numbers.
fuzz:
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang \
	    SANITIZE=address,undefined,fuzzer-no-link fuzzers
	$(Q)tests/scripts/run-fuzzers $(BUILD)/fuzz $(FUZZ_TIME) \
	    $(or $(FUZZ),$(notdir $(FUZZERS)))

# For MODEL_TIME seconds, from another seed each time; MODEL_ARGS as in the
# head of tests/model/test-model.c.
MODEL_TIME ?= 600
.PHONY: model
model: $(MODEL_TEST)
	$(Q)$(MODEL_TEST) --time $(MODEL_TIME) $(MODEL_ARGS)
	$(Q)$(MODEL_TEST) --garbage --time $(MODEL_TIME) $(MODEL_ARGS)

# In four builds or ways for SOAK_TIME seconds together, from another seed each
# time; SOAK_ARGS as in the head of tests/soak/test-soak.c.
SOAK_TIME ?= 1200
.PHONY: soak soak-program
soak-program: $(SOAK_TEST)
	@:

soak: all $(SOAK_TEST)
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/asan \
	    SANITIZE=address,undefined soak-program
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SANITIZE=thread \
	    soak-program
	$(Q)tests/soak/run-soak $(BUILD) $(SOAK_TIME) $(SOAK_ARGS)

BENCHES := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(BENCH_SOURCES))
$(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(STATIC_LIB)
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(VVFAT_LDFLAGS) -o $@ $^ $(LIBS)

# BENCH_ARGS="--runs 3 convert.big": see tests/bench/bench.py --help
bench: all $(BENCHES)
	$(Q)tests/bench/bench.py --build $(BUILD) $(BENCH_ARGS)

# Up to a million files and 1 TiB; see tests/bench/scale.py --help
bench-scale: all $(BENCHES)
	$(Q)tests/bench/scale.py --build $(BUILD) $(BENCH_ARGS)

# ---- The rest ----

# After a change of the library's interface that is meant; see test-abi.sh.
.PHONY: abi
abi:
	$(Q)tests/scripts/print-abi '$(CC)' $(ABI_NODE) $(ABI) $(GLIB_CFLAGS) \
	    >$(ABI).new
	$(Q)mv $(ABI).new $(ABI)

.PHONY: clean distclean help
clean:
	rm -rf $(BUILD)

distclean: clean
	rm -f config.mk config.log

help:
	@echo 'all        library, vvfat-img, nbdkit plugin (in $(BUILD)/)'
	@echo 'check      every test; check-unit, check-scripts, check-crash,'
	@echo '           check-model, check-soak, check-guest and check-thread run'
	@echo '           a part'
	@echo 'unit       one file of unit tests: make unit TEST=test-names'
	@echo 'install    under the prefix that configure was given; DESTDIR works'
	@echo 'uninstall  the opposite'
	@echo 'abi        record a change of the library'"'"'s interface'
	@echo 'format     clang-format over the source'
	@echo 'lint       shellcheck, mandoc, cppcheck, clang-tidy'
	@echo 'fuzz       every fuzz target for FUZZ_TIME=$(FUZZ_TIME) seconds (clang)'
	@echo 'model      random operations for MODEL_TIME=$(MODEL_TIME) seconds, and'
	@echo '           as long with garbage'
	@echo 'soak       everything at once for SOAK_TIME=$(SOAK_TIME) seconds: plain, with'
	@echo '           two sanitizers, and behind nbdkit'
	@echo 'bench      measurements against other programs'
	@echo 'bench-scale  how the cost grows with files, size and fragments'
	@echo 'clean      remove $(BUILD)/'
	@echo 'distclean  and what configure wrote'
	@echo 'Variables: BUILD, CC, CFLAGS, SANITIZE=address,undefined,'
	@echo '           WERROR=yes, COVERAGE=yes, V=1'
