# Drawbridge. `make help` lists what can be made.
#
# One source tree, several flavours of build, each in a folder of its own:
#   build/release  gcc -O2, hardened       -> build/drawbridge
#   build/asan     address, undefined behaviour and leak checks: the tests' flavour
#   build/tsan     thread checks
#   build/coverage gcov
#   build/fuzz     clang, libFuzzer, address and undefined behaviour checks
# Every folder of proxy/ (a floor) becomes one archive, so that the tests of a floor link it and the floors below, nothing else.

.DEFAULT_GOAL := all
SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

VERSION  := 0.1.0
CC       ?= gcc
ifeq ($(origin CC),default)
CC       := gcc
endif
CLANG    ?= clang-14
PREFIX   ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
FLAVOUR  ?= release

# From the ground up; a floor may include itself and what stands before it.
FLOORS   := base mqtt conf policy inspect crypto link backend session bridge control

PACKAGES := libuv openssl sqlite3
PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PACKAGE_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lwslay # which has no .pc

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith \
            -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wimplicit-fallthrough -Werror
COMMON   := -std=c11 -D_GNU_SOURCE -DDRAWBRIDGE_VERSION='"$(VERSION)"' -DDRAWBRIDGE_SYSCONFDIR='"$(SYSCONFDIR)"' \
            -Iinclude $(PACKAGE_CFLAGS) $(WARNINGS) -g -fno-omit-frame-pointer -pthread -MMD -MP
SANITIZE_ADDRESS := -fsanitize=address,undefined -fno-sanitize-recover=all

CFLAGS_release  := -O2 -flto=auto -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2 -fvisibility=hidden
LDFLAGS_release := -O2 -flto=auto -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed
CFLAGS_asan     := -O1 $(SANITIZE_ADDRESS)
LDFLAGS_asan    := $(SANITIZE_ADDRESS)
CFLAGS_tsan     := -O1 -fsanitize=thread
LDFLAGS_tsan    := -fsanitize=thread
CFLAGS_coverage := -O0 --coverage
LDFLAGS_coverage := --coverage
CFLAGS_fuzz     := -O1 $(SANITIZE_ADDRESS) -fsanitize=fuzzer-no-link
LDFLAGS_fuzz    := $(SANITIZE_ADDRESS) -fsanitize=fuzzer
CC_fuzz         := $(CLANG)
AR_release      := gcc-ar
compiler = $(or $(CC_$(1)),$(CC))

HEADERS := $(sort $(wildcard include/*/*.h include/*/*.def))
SOURCES := $(sort $(foreach floor,$(FLOORS),$(wildcard proxy/$(floor)/*.c))) proxy/main.c
UNIT_TESTS := $(patsubst test/unit/%.c,%,$(sort $(wildcard test/unit/*/test_*.c)))
DIFFER := $(patsubst %.c,%.o,$(sort $(wildcard test/differ/*.c)))
FUZZERS := $(patsubst test/fuzz/%.c,%,$(sort $(wildcard test/fuzz/*/fuzz_*.c)))

# $(call floors_up_to,NAME): NAME and the floors below, highest first (the linker's order).
reverse = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
floors_below_ = $(if $(2),$(firstword $(2)) $(if $(filter $(1),$(firstword $(2))),,$(call floors_below_,$(1),$(wordlist 2,$(words $(2)),$(2)))))
floors_up_to = $(call reverse,$(strip $(call floors_below_,$(1),$(FLOORS))))
archives = $(foreach floor,$(call floors_up_to,$(2)),$(if $(wildcard proxy/$(floor)/*.c),build/$(1)/$(floor).a))
has_openssl = $(if $(filter crypto,$(call floors_up_to,$(1))),$(PACKAGE_LIBS))

define FLAVOUR_RULES
build/$(1)/proxy/%.o: proxy/%.c Makefile
	@mkdir -p $$(dir $$@)
	$$(call compiler,$(1)) $$(COMMON) $$(CFLAGS_$(1)) -c -o $$@ $$<
build/$(1)/test/%.o: test/%.c Makefile
	@mkdir -p $$(dir $$@)
	$$(call compiler,$(1)) $$(COMMON) $$(CFLAGS_$(1)) -Itest -c -o $$@ $$<
$(foreach floor,$(FLOORS),
build/$(1)/$(floor).a: $(patsubst proxy/%.c,build/$(1)/proxy/%.o,$(sort $(wildcard proxy/$(floor)/*.c)))
	@rm -f $$@
	$$(or $$(AR_$(1)),ar) rcs $$@ $$^
)
endef
$(foreach flavour,release asan tsan coverage fuzz,$(eval $(call FLAVOUR_RULES,$(flavour))))

define PROGRAM_RULES
build/$(1)/drawbridge: build/$(1)/proxy/main.o $(call archives,$(1),control)
	$$(call compiler,$(1)) $$(LDFLAGS_$(1)) -o $$@ $$^ -pthread $$(PACKAGE_LIBS)
endef
$(foreach flavour,release asan tsan coverage,$(eval $(call PROGRAM_RULES,$(flavour))))

define UNIT_RULES
build/$(1)/test/unit/$(2): build/$(1)/test/unit/$(2).o $(call archives,$(1),$(patsubst %/,%,$(dir $(2))))
	$$(call compiler,$(1)) $$(LDFLAGS_$(1)) -o $$@ $$^ -pthread -lcmocka $(call has_openssl,$(patsubst %/,%,$(dir $(2))))
endef
$(foreach flavour,release asan tsan coverage,$(foreach test,$(UNIT_TESTS),$(eval $(call UNIT_RULES,$(flavour),$(test)))))

# The program's floors up to session/ beside a reader of the protocol that shares nothing with them.
define DIFFER_RULES
build/$(1)/test/differ/differ: $(addprefix build/$(1)/,$(DIFFER)) $(call archives,$(1),session)
	$$(call compiler,$(1)) $$(LDFLAGS_$(1)) -o $$@ $$^ -pthread -lcmocka $(PACKAGE_LIBS)
endef
$(foreach flavour,release asan,$(eval $(call DIFFER_RULES,$(flavour))))

define FUZZ_RULES
build/fuzz/test/fuzz/$(1): build/fuzz/test/fuzz/$(1).o $(call archives,fuzz,$(patsubst %/,%,$(dir $(1))))
	$$(CLANG) $$(LDFLAGS_fuzz) -o $$@ $$^ -pthread $(call has_openssl,$(patsubst %/,%,$(dir $(1))))
endef
$(foreach fuzzer,$(FUZZERS),$(eval $(call FUZZ_RULES,$(fuzzer))))

build/bench/policy: build/release/test/bench/policy.o $(call archives,release,policy)
	@mkdir -p $(dir $@)
	$(CC) $(LDFLAGS_release) -o $@ $^ -pthread

build/bench/queue: build/release/test/bench/queue.o $(call archives,release,bridge)
	@mkdir -p $(dir $@)
	$(CC) $(LDFLAGS_release) -o $@ $^ -pthread $(PACKAGE_LIBS)

.PHONY: all asan tsan unit unit-tsan differ check fuzz fuzzers bench bench-policy bench-queue mutants lint format docs coverage install uninstall clean help

all: build/drawbridge ## the program, optimised and hardened: build/drawbridge

build/drawbridge: build/release/drawbridge
	@install -D -m 755 $< $@

asan: build/asan/drawbridge ## the program with address, undefined behaviour and leak checks
tsan: build/tsan/drawbridge ## the program with thread checks

unit: $(addprefix build/asan/test/unit/,$(UNIT_TESTS)) ## build and run the unit tests (ONLY=floor/test_room for one)
	@scripts/run-units build/asan/test/unit $(or $(ONLY),$(UNIT_TESTS))

unit-tsan: $(addprefix build/tsan/test/unit/,$(UNIT_TESTS)) ## the unit tests with thread checks
	@scripts/run-units build/tsan/test/unit $(or $(ONLY),$(UNIT_TESTS))

check: ## everything that must pass: scripts/test
	scripts/test

differ: build/asan/test/differ/differ ## the program beside a second reader of MQTT, DIFFER_CASES (200,000) conversations
	@build/asan/test/differ/differ

fuzzers: $(addprefix build/fuzz/test/fuzz/,$(FUZZERS))
fuzz: fuzzers ## run every fuzz target for FUZZ_SECONDS (30) each
	@scripts/run-fuzzers build/fuzz/test/fuzz $(or $(FUZZ_SECONDS),30) $(or $(ONLY),$(FUZZERS))

bench: all ## drawbridge, haproxy and nginx side by side: CPU time per message, handshake, memory; bridges (ten minutes)
	scripts/bench
	scripts/bench-bridge

bench-policy: build/bench/policy ## load time of ACL files and nanoseconds per decision
	build/bench/policy

bench-queue: build/bench/queue ## messages per second, and CPU time of each, through a bridge's queue on disk
	build/bench/queue

mutants: ## break the program on purpose, in the ways of test/mutants (ONLY="name ..." for some): its tests must see it (an hour)
	@scripts/mutants $(ONLY)

lint: ## format, floors, static checks, stale generated files
	scripts/lint

format: ## put all C files into the house's format
	clang-format -i $(HEADERS:%.def=) $(SOURCES) $(wildcard test/*/*.[ch] test/*/*/*.[ch]) 2>/dev/null || clang-format -i $(filter %.h,$(HEADERS)) $(SOURCES)

docs: all ## write the generated files: etc/drawbridge.conf.reference, etc/man/*
	scripts/generate-docs

coverage: ## line coverage of the unit and system tests: build/coverage/report.txt
	scripts/coverage

install: all ## into DESTDIR and PREFIX (/usr/local)
	install -D -m 755 build/drawbridge $(DESTDIR)$(PREFIX)/sbin/drawbridge
	install -D -m 644 etc/man/drawbridge.8 $(DESTDIR)$(PREFIX)/share/man/man8/drawbridge.8
	install -D -m 644 etc/man/drawbridge.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5/drawbridge.conf.5
	install -D -m 644 etc/drawbridge.conf.reference $(DESTDIR)$(PREFIX)/share/doc/drawbridge/drawbridge.conf.reference
	install -D -m 644 etc/drawbridge.conf $(DESTDIR)$(PREFIX)/share/doc/drawbridge/drawbridge.conf
	install -D -m 644 etc/fail2ban/filter.d/drawbridge.conf $(DESTDIR)$(PREFIX)/share/doc/drawbridge/fail2ban/filter.d/drawbridge.conf
	install -D -m 644 etc/fail2ban/jail.d/drawbridge.conf $(DESTDIR)$(PREFIX)/share/doc/drawbridge/fail2ban/jail.d/drawbridge.conf
	@test -e $(DESTDIR)$(SYSCONFDIR)/drawbridge/drawbridge.conf || \
	    install -D -m 644 etc/drawbridge.conf $(DESTDIR)$(SYSCONFDIR)/drawbridge/drawbridge.conf

uninstall: ## take away what install put there, but for the configuration
	rm -f $(DESTDIR)$(PREFIX)/sbin/drawbridge $(DESTDIR)$(PREFIX)/share/man/man8/drawbridge.8 \
	    $(DESTDIR)$(PREFIX)/share/man/man5/drawbridge.conf.5
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/drawbridge

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

-include $(shell find build/release build/asan build/tsan build/coverage build/fuzz -type f -name '*.d' 2>/dev/null)
