# Makefile — `make help` lists the targets.
BUILD  ?= build
LAYERS ?= base text document tensor net store kern token model infer train lm hub taxonomy data eval serve cli
CC     ?= gcc
OPT    ?= -O2 -g
MACHINE := $(shell $(CC) -dumpmachine)
CFLAGS += $(OPT) -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-missing-field-initializers \
          -ffp-contract=off -fno-math-errno -Isrc -Iinclude -I. -MMD -MP $(SANITIZE)
# libcurl, libmicrohttpd and libedit are opened when a command first needs them (src/net/dynlib.c).
LDLIBS += -ljansson -lutf8proc -lpthread -lm -ldl
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.1.0)
CFLAGS += -DILAB_VERSION='"$(VERSION)"'

SRC  := $(filter-out src/cli/main.c,$(foreach l,$(LAYERS),$(wildcard src/$(l)/*.c)))
OBJ  := $(SRC:%.c=$(BUILD)/%.o)
LIB  := $(BUILD)/libilab.a
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

all: $(BUILD)/ilab ## build the program (build/ilab)

$(BUILD)/ilab: $(BUILD)/src/cli/main.o $(LIB)
	$(CC) $(CFLAGS) -o $@ $< $(LIB) $(LDLIBS)
$(LIB): $(OBJ)
	rm -f $@ && $(AR) rcs $@ $(OBJ)
$(BUILD)/src/kern/%.o: OPT = -O3 -g
# The files of another machine's levels compile to nothing. Scheduling before registers are allocated would hoist loads until sums spill.
ifneq ($(findstring aarch64,$(MACHINE)),)
$(BUILD)/src/kern/%_neon.o: CFLAGS += -march=armv8.2-a+dotprod -fno-schedule-insns
endif
ifneq ($(findstring x86_64,$(MACHINE)),)
$(BUILD)/src/kern/%_avx2.o: CFLAGS += -mavx2 -mfma -mf16c
$(BUILD)/src/kern/%_avx512.o: CFLAGS += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c
endif
$(BUILD)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<
# the files that starter.c carries inside the program
$(BUILD)/src/cli/starter.o: models/starter.gguf $(shell find examples -type f)
$(BUILD)/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $< $(LIB) $(LDLIBS) -lcmocka
$(BUILD)/tools/%: tools/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $< $(LIB) $(LDLIBS)
$(BUILD)/tools/world: $(wildcard tools/world/*.c tools/world/*.h) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(CFLAGS)) -o $@ $(wildcard tools/world/*.c) $(LIB) $(LDLIBS)
# PCRE2 is the oracle of the pre-tokenizers' patterns.
$(BUILD)/unit/test_token_pattern: LDLIBS += -lpcre2-8
# Replays its corpus under any compiler; with clang and FUZZER=1 it is a libFuzzer program.
$(BUILD)/fuzz/%: tests/fuzz/%.c tests/fuzz/standalone.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(if $(FUZZER),-fsanitize=fuzzer,) -o $@ $< $(if $(FUZZER),,tests/fuzz/standalone.c) $(LIB) $(LDLIBS)

# The plug-in for training with several processes: one shared object that needs nothing of the program.
$(BUILD)/ilab-mpi.so: src/train/plugin/communicator_mpi.c src/train/communicator.h
	@mkdir -p $(@D)
	mpicc $(filter-out -MMD -MP,$(CFLAGS)) -fPIC -shared -o $@ $<
mpi: $(BUILD)/ilab-mpi.so ## the plug-in for `mpirun -n 2 ilab train` (needs libopenmpi-dev)
MPI_PLUGIN := $(if $(shell command -v mpicc 2>/dev/null),$(BUILD)/ilab-mpi.so)

tests: all $(MPI_PLUGIN) $(UNIT) $(FUZZ) $(BUILD)/tools/world $(BUILD)/tools/control_data $(BUILD)/tools/quickstart_report $(BUILD)/tools/make_model $(BUILD)/tools/arch_oracle $(BUILD)/tools/lora_steps $(BUILD)/tools/oracle_tokenizers ## build every test program
test: tests ## run every test (./check also installs what is missing)
	tests/run
lint: ## layers, banned calls, sizes
	tools/lint
asan: ## the unit tests under AddressSanitizer
	$(MAKE) BUILD=build-asan SANITIZE="-fsanitize=address -fno-omit-frame-pointer" OPT="-O1 -g" tests && BUILD=build-asan ONLY_UNIT=1 tests/run
SANITIZED := $(addprefix unit/test_,document gguf safetensors hf gguf_split qtype qtype_mix text_yaml text_json text_utf8 data_qna data_taxonomy taxonomy_changes data_text pipeline eval token token_train token_hf token_pattern attention kv infer infer_constrain lm_local train_data model model_arch model_train backward recompute) \
             $(patsubst tests/fuzz/%.c,fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
sanitized: ## the parsers', the engine's and the trainer's tests and the fuzzers with ASan and UBSan (what ./check runs)
	$(MAKE) BUILD=build-sanitized SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" OPT="-O1 -g" $(addprefix build-sanitized/,$(SANITIZED))
ubsan: ## … under UndefinedBehaviorSanitizer
	$(MAKE) BUILD=build-ubsan SANITIZE="-fsanitize=undefined -fno-sanitize-recover=all" OPT="-O1 -g" tests && BUILD=build-ubsan ONLY_UNIT=1 tests/run
tsan: ## … under ThreadSanitizer
	$(MAKE) BUILD=build-tsan SANITIZE="-fsanitize=thread" OPT="-O1 -g" tests && BUILD=build-tsan ONLY_UNIT=1 tests/run
bench: $(BUILD)/tools/bench_kern $(BUILD)/tools/bench_train ## speed beside the machine's limits, OpenBLAS and PyTorch (10 minutes; needs the machine alone)
	{ date -u; git log -1 --format='commit %h'; uptime; $(BUILD)/tools/bench_kern; echo; $(BUILD)/tools/bench_train; } 2>&1 | tee $(BUILD)/bench.log
	@echo "the log is in $(BUILD)/bench.log"
FUZZ_SECONDS ?= 600
fuzz: ## every fuzz target for FUZZ_SECONDS under ASan and UBSan (clang's libFuzzer)
	$(MAKE) BUILD=build-fuzz CC=clang-14 FUZZER=1 SANITIZE="-fsanitize=address,undefined,fuzzer-no-link" OPT="-O1 -g" build-fuzz-all
	for t in $(patsubst tests/fuzz/%.c,build-fuzz/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c)); do \
	    n=$${t##*/fuzz_}; mkdir -p build-fuzz/corpus/$$n tests/fuzz/corpus/$$n; \
	    $$t -max_total_time=$(FUZZ_SECONDS) build-fuzz/corpus/$$n tests/fuzz/corpus/$$n || exit 1; done
build-fuzz-all: $(FUZZ)
starter: $(BUILD)/ilab $(BUILD)/tools/world ## train the starter model again, from nothing (about an hour; can be stopped and continued)
	tools/make_starter $(BUILD)
starter-smoke: $(BUILD)/ilab $(BUILD)/tools/world ## the same in a minute with a tiny model: does the recipe still run and learn?
	tests/check/starter_smoke.sh
man: $(BUILD)/ilab ## the man pages, from the program's tables (build/man)
	@rm -rf $(BUILD)/man
	$(BUILD)/ilab manual $(BUILD)/man $(addprefix --date ,$(shell git log -1 --format=%cs 2>/dev/null))
PREFIX ?= /usr/local
install: all man ## install below PREFIX (/usr/local), with man pages and completions
	install -Dm755 $(BUILD)/ilab $(DESTDIR)$(PREFIX)/bin/ilab
	if [ -e $(BUILD)/ilab-mpi.so ]; then install -Dm755 $(BUILD)/ilab-mpi.so $(DESTDIR)$(PREFIX)/lib/ilab/ilab-mpi.so; fi
	mkdir -p $(addprefix $(DESTDIR)$(PREFIX)/share/,man/man1 man/man5 bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	install -m644 $(BUILD)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m644 $(BUILD)/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	$(BUILD)/ilab completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ilab
	$(BUILD)/ilab completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ilab
	$(BUILD)/ilab completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ilab.fish
	mkdir -p $(DESTDIR)$(PREFIX)/share/ilab && cp -r models examples $(DESTDIR)$(PREFIX)/share/ilab/
clean: ## remove what was built
	rm -rf build build-*
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 12

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all man tests test lint asan ubsan tsan fuzz build-fuzz-all install clean help sanitized bench starter starter-smoke
.SECONDARY:
