# SPDX-License-Identifier: MIT
# Makefile: the commands that people type. All work is done by ninja, on the graph that configure.py wrote.

$(if $(wildcard configure.py),,$(if $(findstring /,$(MAKEFILE_LIST)),$(error $(strip $(MAKEFILE_LIST)) works in its own directory: give that by -C)))
PYTHON ?= /usr/bin/python3
NINJA ?= ninja
BENCH_MINIMAL ?=
VARIANT ?= $(if $(filter 0,$(BENCH_MINIMAL)),balanced,bench_minimal)
$(if $(filter-out 0 1,$(BENCH_MINIMAL)),$(error BENCH_MINIMAL must be 1 (the variant bench_minimal) or 0 (balanced)))
TOOLCHAIN ?= clang
TRAIN ?=
HOLDOUT ?=
TIMEOUT ?=
TRAIN2 ?=
TRAIN3 ?=
WEIGHTS ?=
POLICY ?= $(if $(strip $(TRAINS)),$(wildcard policy/learned.toml))
INSTALL ?=
BENCH_ARGS ?=
PROOF_ARGS ?=
ABLATION_ARGS ?=
STUDY ?= operation
STUDY_ARGS ?=
FUZZ_SECONDS ?= 3600
SOAK_SECONDS ?= 600
# Common words, which the environment has for other things: only make's own command line sets them.
A =
B =
BUDGET = 180
CLONES =
GOAL = balanced
K =
METRIC = ir_alloc
NAME = learned
RULES = regression
STAGE = shipped
TRACE =
WORKLOAD =

# A second `configure` costs 0.1 s and changes nothing; one with other options changes build.ninja alone. A plain
# `make pgo` keeps whatever was configured before.
CHOSEN    := $(filter command line environment,$(foreach name,VARIANT TOOLCHAIN TRAIN TRAIN2 TRAIN3 WEIGHTS HOLDOUT \
	TIMEOUT BENCH_MINIMAL POLICY,$(origin $(name))))
OPTIONS    = $(COLUMN) $(TRAINS) $(call option,holdout,HOLDOUT) $(COMMON) $(call option,policy,POLICY)
# Of configure.py and of the learner.
COMMON     = $(call option,timeout,TIMEOUT) $(call option,weights,WEIGHTS)
TRAINS     = $(foreach name,TRAIN TRAIN2 TRAIN3,$(call option,train,$(name)))
COLUMN     = --variant=$(call shown,VARIANT) --toolchain=$(call shown,TOOLCHAIN)
# Neither the environment of the user nor the locale changes what the tools do.
RUN        = $(PYTHON) -E -Xutf8
MODULE     = $(RUN) -m
TREES      = $$($(RUN) -c 'import json; print(*("--build " + c["tree"] for c in json.load(open("build/configured.json"))))')
# One at a time of what configures, builds or looks at a build of this tree, to the end of the recipe. What a killed one
# left running holds the lock until it ends: it may still write. Who waits looks each second whether its make still runs.
ALONE      = { { mkdir -p build && true >>build/.lock; } 2>/dev/null || \
	{ echo 'make: build/ cannot be written to: make it writable, or take a clone of your own' >&2; false; }; } && \
	exec 9>>build/.lock || exit 2; flock -n 9 || \
	{ echo 'make: another build of this tree is still running; waiting for it' >&2; waited=0; \
	until flock -w 1 9; do kill -0 $$PPID 2>/dev/null || exit 1; waited=$$((waited + 1)); test $$waited -lt 3600 || \
	{ echo 'make: it has not ended within an hour; end it and run the same command again' >&2; exit 1; }; done; \
	kill -0 $$PPID 2>/dev/null || exit 1; };
CONFIGURE  = { test -z "$(CHOSEN)" -a -f build.ninja || $(RUN) configure.py $(OPTIONS); }
# make hands SIGTERM to the shell of a recipe, and that to nobody: ninja gets it when the shell has ended.
BUILD      = setpriv --pdeathsig TERM $(NINJA)
ONCE       = { test -f build.ninja || $(RUN) configure.py $(OPTIONS); }

define quote
'$(subst ','\'',$(1))'
endef
# The value of a variable as it was typed, which neither make nor a shell expands; and as an option, where there is one.
typed      = $(if $(filter file,$(origin $(1))),$($(1)),$(value $(1)))
shown      = $(call quote,$(call typed,$(1)))
option     = $(if $(call typed,$(2)),--$(1)=$(call shown,$(2)))

define newline


endef
# Of other names than these the environment may have its own.
TYPED     := TRACE POLICY NAME GOAL BUDGET WEIGHTS TIMEOUT VARIANT TOOLCHAIN A B K METRIC STAGE WORKLOAD RULES STUDY \
	FUZZ_SECONDS SOAK_SECONDS BENCH_ARGS PROOF_ARGS ABLATION_ARGS STUDY_ARGS
$(foreach name,TRAIN TRAIN2 TRAIN3 HOLDOUT $(foreach name,$(TYPED),$(if $(filter command,$(origin $(name))),$(name))),$(if \
	$(findstring $(newline),$(value $(name))),$(error $(name): a value is one line; put a longer command into a script)))

.DEFAULT_GOAL := help
.PHONY: help learn pgo all test check tests measure gate ab ship verify-repro report doctor bench proof sites golden fuzz mutants soak kill-test \
	reliability wall ablation variants history study format lint clean configured build-tools test-tools all-tools peers python

help: ## Show this list
	@echo 'example: make pgo                          train, build, measure, gate and ship: dist/libhakmem.so'
	@echo '         make pgo TRAIN="myprogram args" HOLDOUT="myprogram others"'
	@echo '                                           the same, trained on your own program as well and judged by the other'
	@echo '         make learn TRAIN="myprogram args"  what it asks of the allocator: policy/learned.toml'
	@echo
	@LC_ALL=C awk '/^[a-z-]+:.*## / { name = $$0; sub(/:.*/, "", name); sub(/^[^#]*## /, ""); \
	    printf "  make %-13s %s\n", name, $$0 }' Makefile
	@echo
	@echo 'variables: VARIANT=NAME|a,b|all (bench_minimal)  TOOLCHAIN=clang|gcc|all (clang)  TRAIN="command"  HOLDOUT="command"'
	@echo '           TRAIN2, TRAIN3: further commands; WEIGHTS="3 1": how much each counts, in their order'
	@echo '           TIMEOUT=seconds: when a run of such a command is killed (600); valgrind makes it fifty times longer'
	@echo '           POLICY=file: a policy (with TRAIN: policy/learned.toml, where make learn has written it)'
	@echo '           BENCH_MINIMAL=1|0: the variant bench_minimal or balanced, when VARIANT names none'

python:
	@command -v $(PYTHON) >/dev/null || { \
	    test '$(origin PYTHON)' = file || { \
	        echo $(call quote,make: PYTHON names '$(PYTHON)' and no such program is there: leave it out) >&2; exit 2; }; \
	    test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { \
	        echo 'make: $(PYTHON) is missing; run: apt-get install python3' >&2; exit 2; }; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3; }

build-tools: python
	@$(MODULE) common.doctor --install --group build

test-tools: python
	@$(MODULE) common.doctor --install --group build --group test

all-tools: python
	@$(MODULE) common.doctor --install

configured: build-tools
	@$(ALONE) $(CONFIGURE)

pgo: build-tools ## The whole cycle: base, train, pgo, layout, bolt, measure, gate, ship, and the table
	@$(ALONE) $(CONFIGURE) && $(BUILD) pgo && $(MODULE) bench.own $(TREES) && $(MODULE) learn.show $(TREES) && \
	    $(MODULE) report.report $(TREES) --table && $(MODULE) report.results $(TREES)

LEARN = $(MODULE) learn.learn --name=$(call shown,NAME) --goal=$(call shown,GOAL) --budget=$(call shown,BUDGET) $(TRAINS) \
	$(call option,trace,TRACE) $(COMMON)

learn: build-tools ## A policy from your program: TRAIN="command" (TRAIN2, WEIGHTS, TRACE, GOAL=memory, BUDGET=seconds, NAME)
	@$(LEARN) --no-run && $(ALONE) { test -f build.ninja || $(RUN) configure.py $(COLUMN); } && \
	    $(BUILD) --quiet bench build/clang-learning/base/libhakmem.so
	@$(LEARN)

all: build-tools ## Build all variants with both compilers (stage base)
	@$(ALONE) $(CONFIGURE) && $(BUILD) matrix

test: all-tools ## Build and run all tests; K=NAME: those that match, and what they need is built
ifeq ($(value K),)
	@$(ALONE) $(ONCE) && $(BUILD) --quiet matrix tests bench
	@$(MODULE) tests.run
else
	@$(ALONE) $(ONCE)
	@$(MODULE) tests.run --build -k $(call shown,K)
endif

check: all-tools ## Before each commit: the cheapest tests of each kind, a minute on two cores
	@$(ALONE) $(ONCE)
	@$(MODULE) tests.run --check --build

tests: test-tools ## Build the C tests without running them
	@$(ALONE) $(ONCE) && $(BUILD) tests

kill-test: test-tools ## Kill the build in every step, start it again, and compare what ships (3 minutes)
	@$(MODULE) tests.kill --toolchain clang
	@$(MODULE) tests.kill --toolchain gcc

measure: build-tools ## Count instructions, cache misses and branches: every stage, every workload
	@$(ALONE) $(CONFIGURE) && $(BUILD) measure && $(MODULE) report.report $(TREES) --table

gate: build-tools ## Judge each stage against the one before
	@$(ALONE) $(CONFIGURE) && $(BUILD) gate && $(MODULE) report.report $(TREES) --table

# make itself fails with 2, whatever failed: for the exit status 0 GO, 1 NEUTRAL, 2 NO-GO call gate.ab itself.
AB = $(MODULE) gate.ab --a=$(call shown,A) --b=$(call shown,B) $(COLUMN) --rules=$(call shown,RULES)

ab: build-tools ## Compare two: make ab A=HEAD~1 B=. (or shipped, base, pgo, layout, bolt, a .so) RULES=removal
	@test -n $(call shown,A) -a -n $(call shown,B) || { echo 'make: ab needs A=<revision, stage or .so> B=<the same>' >&2; exit 64; }
	@$(AB) --no-run || exit; $(ALONE) $(CONFIGURE) && $(BUILD) --quiet bench && $(AB)

ship: build-tools ## dist/: library, debug file, archive, header, license, profile, manifest, checksums
	@$(ALONE) $(CONFIGURE) && $(BUILD) --quiet ship checks && ls -l dist

verify-repro: build-tools ## Build dist/ twice more, in two directories, and compare every byte (CLONES=1: each trained anew)
	@$(ALONE) $(MODULE) ship.verify_repro $(if $(filter 1,$(CLONES)),--clones $(COLUMN))

report: build-tools ## build/report/index.html: tables, charts, heatmaps
	@$(ALONE) $(CONFIGURE) && $(BUILD) --quiet report && echo build/report/index.html

doctor: python ## Every tool: version, what it is for, how to get it (INSTALL=1 installs all)
	@$(MODULE) common.doctor $(if $(filter 1,$(INSTALL)),--install --optional)

# Not everybody may install them, and who is not there is left out.
peers: build-tools
	@test "$$(id -u)" != 0 || $(MODULE) common.doctor --install --optional --group peers

# What a tool is asked for is looked at before anything is built for it.
bench: peers ## Run the benchmark set and memory over time against glibc and the peers (BENCH_ARGS='--rounds 3')
	@$(MODULE) bench.bench --no-run $(BENCH_ARGS) && \
	    $(ALONE) $(CONFIGURE) && $(BUILD) bench build/clang-learning/base/libhakmem.so && $(MODULE) bench.bench $(BENCH_ARGS)

proof: build-tools ## What learned policies bring on inputs they were not learned from, 40 minutes (PROOF_ARGS='--only git --budget 20')
	@$(MODULE) bench.proof --no-run $(PROOF_ARGS) && \
	    $(ALONE) $(CONFIGURE) && $(BUILD) --quiet bench build/clang-learning/base/libhakmem.so && \
	    $(MODULE) bench.proof $(PROOF_ARGS)

study: peers ## One question: STUDY=operation|hits|overhead|variance|scaling|sweep|syscalls|larson|memory|canary|ladder (STUDY_ARGS='--help')
	@$(MODULE) bench.study --no-run $(call shown,STUDY) $(STUDY_ARGS) && $(ALONE) $(CONFIGURE) && \
	    $(BUILD) --quiet bench $(foreach name,minimal balanced learning,build/clang-$(name)/base/libhakmem.so) && \
	    $(MODULE) bench.study $(call shown,STUDY) $(STUDY_ARGS)

sites: build-tools ## Call sites: how often the inference is right, where it is known what they are
	@$(ALONE) $(CONFIGURE) && $(BUILD) --quiet bench build/clang-learning/base/libhakmem.so && \
	    $(MODULE) report.sites --confusion

golden: build-tools ## Instructions per call of each pattern, stage by stage
	@$(ALONE) $(CONFIGURE) && $(BUILD) --quiet golden && $(MODULE) measure.golden $(TREES)

fuzz: test-tools ## Fuzz the malloc family and the options for an hour (FUZZ_SECONDS=3600)
	@$(MODULE) tests.fuzz.drive --no-run --seconds=$(call shown,FUZZ_SECONDS) && $(ALONE) $(ONCE) && $(BUILD) tests
	@$(MODULE) tests.fuzz.drive --seconds=$(call shown,FUZZ_SECONDS)

soak: test-tools ## Ten minutes of everything at once under the built library: contents and memory are checked (SOAK_SECONDS=600)
	@case $(call shown,SOAK_SECONDS) in ''|*[!0-9]*|0*|????????*) \
	    echo 'make: SOAK_SECONDS must be a whole number of at least 1 and at most 9999999' >&2; exit 2;; esac; \
	case $(call quote,$(TOOLCHAIN) $(VARIANT)) in all\ *|*\ all|*,*) \
	    echo 'make: soak runs under one library: one VARIANT, one TOOLCHAIN' >&2; exit 2;; esac
	@$(ALONE) $(CONFIGURE) && $(BUILD) tests build/$(TOOLCHAIN)-$(VARIANT)/base/libhakmem.so
	@LD_PRELOAD=build/$(TOOLCHAIN)-$(VARIANT)/base/libhakmem.so build/tests/stress_soak -v $(call shown,SOAK_SECONDS) 4

mutants: test-tools ## Put each deliberate bug of tests/mutants into a copy and see whether the tests notice
	@$(MODULE) tests.mutants.drive

reliability: test-tools ## Write the table of misuses in docs/reliability.md as it is measured
	@$(ALONE) $(ONCE) && $(BUILD) --quiet tests matrix && $(MODULE) tests.misuse.table

ABLATION = $(MODULE) gate.ablation --toolchain=$(call shown,TOOLCHAIN) $(ABLATION_ARGS)

ablation: build-tools ## Each feature with and without: what it costs and brings (ABLATION_ARGS='--feature stats --seconds 0')
	@$(ABLATION) --no-run && $(ALONE) $(CONFIGURE) && $(ABLATION)

variants: build-tools ## The variants side by side: instructions, memory, time (ABLATION_ARGS='--seconds 0')
	@$(ABLATION) --no-run && $(ALONE) $(CONFIGURE) && $(ABLATION) --variants

history: python ## A metric over all runs in results/: make history METRIC=ir_alloc STAGE=shipped WORKLOAD=git
	@$(MODULE) report.results --history=$(call shown,METRIC) --stage=$(call shown,STAGE) --workload=$(call shown,WORKLOAD)

wall: build-tools ## Wall clock of all stages, interleaved, when nothing else runs
	@$(ALONE) $(CONFIGURE) && $(BUILD) wall && $(MODULE) measure.wall --show $(TREES)

format: test-tools ## Format the C and C++ sources
	@clang-format -i $$($(RUN) -c 'from common import clone; print(*(name for name in clone.names() if name.endswith( \
	    (".c", ".h", ".cc")) and name.partition("/")[0] in ("core", "include", "bench", "pgo", "tests")))')

lint: test-tools ## What tests/test_style.py enforces: clang-format, clang-tidy, flake8
	@$(ALONE) $(ONCE)
	@$(MODULE) tests.run --build tests/test_style.py

clean: ## Remove everything that was built
	@$(ALONE) find build/ -mindepth 1 -maxdepth 1 ! -name .lock -exec rm -rf {} + && rm -rf dist build.ninja compile_commands.json
