# Weir. `make run` installs, builds and serves a local model; `make test` proves that it works.
# Both are complete on a fresh Debian or Ubuntu machine, as root or with sudo.
SHELL := /bin/sh
BUILD := build/release
PRESET_release = -DCMAKE_BUILD_TYPE=Release
WEIR := $(BUILD)/src/cli/weir

.PHONY: run build dev tsan test check bench fuzz fmt docs prices clean help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: build ## install, build, get a local model, and serve it on 127.0.0.1:8080
	@tools/setup/install.sh build engine
	@tools/setup/quickstart.sh $(WEIR)

build: ## the release binary, build/release/src/cli/weir
	@tools/setup/install.sh build
	@tools/setup/build.sh release weir

dev: ## everything with AddressSanitizer and UndefinedBehaviorSanitizer, in build/dev
	@tools/setup/install.sh build
	@tools/setup/build.sh dev

tsan: ## everything with ThreadSanitizer, in build/tsan
	@tools/setup/install.sh build
	@tools/setup/build.sh tsan

test: ## every test; installs what they need
	@tools/setup/install.sh build engine test check
	@tools/setup/test.sh

.PHONY: test-agents
test-agents: build ## Claude Code and Codex through Weir, on every wire; fetches 770 MB once
	@tools/setup/install.sh build test
	@python3 tests/agents/run.py --weir $(WEIR)

check: ## formatting, warnings, clang-tidy, layers, house rules, generated documents
	@tools/setup/install.sh build check
	@tools/check/check.sh

bench: ## Weir, a bare relay and nginx in turn; QUICK=1 for under two minutes
	@tools/setup/install.sh build bench
	@tools/setup/build.sh release weir floor benchmock benchload
	@python3 tools/bench/bench.py --weir $(WEIR) --tools $(BUILD)/tools/bench $(if $(QUICK),--quick) $(BENCH)

fuzz: ## every fuzz target for SECONDS (60) each
	@tools/setup/install.sh build fuzz
	@tools/setup/build.sh fuzz
	@tools/check/fuzz.sh build/fuzz $(or $(SECONDS),60)

fmt: ## formats all C and C++
	@tools/setup/install.sh check
	@git ls-files '*.c' '*.h' '*.cc' | xargs clang-format -i

docs: build ## writes the generated reference documents anew
	@tools/check/docs.sh $(WEIR) write

prices: build ## writes the built-in table of prices anew from @pydantic/genai-prices and litellm
	@tools/setup/install.sh test
	@tools/prices/prices.sh $(WEIR)

clean: ## removes what was built here
	@rm -rf build
