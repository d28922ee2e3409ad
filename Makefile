# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The front door. Meson builds; this file only gives each errand its usual name
# and makes sure that the packages for it are there. `make help` lists them.

RUNS    = 1000000
DESTDIR =
KIND    = deb
prefix  =

.PHONY: all build test test-lab run bench sanitize fuzz check install package clean help

all: build

build: ## build everything into build/
	@tools/deps build
	@tools/build

test: ## build, then every test: units, checks, and the programs from outside
	@tools/deps build test check
	@tools/build -Dtests=enabled
	@tools/test

test-lab: ## the tests that need a lab of several hosts, or disks: guests without KVM
	@tools/deps build test lab
	@tools/build -Dtests=enabled
	@tools/test --lab

run: ## the demonstration: two guests on one disk, the second is refused
	@tools/deps build run
	@tools/build
	@tools/demo

bench: ## ours against the original, ratios
	@tools/deps build bench
	@tools/build -C build-bench -Dbuildtype=release
	@ninja -C build-bench bench/lockload tests/fault/stillfs
	@HF_BUILD=build-bench bench/run

sanitize: ## every test on a build with AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/deps build test check
	@tools/build -C build-sanitize -Dtests=enabled -Db_sanitize=address,undefined -Db_lundef=false
	@tools/test --build build-sanitize

fuzz: ## feed every decoder RUNS=1000000 mutated inputs (clang, libFuzzer)
	@tools/deps build fuzz
	@tools/fuzz $(RUNS)

check: ## what needs no running program: layers, format, SPDX lines, man pages, model, sizes
	@tools/deps build check
	@tools/build
	@tools/check

install: build ## install; DESTDIR= and prefix= as usual
	$(if $(prefix),@./configure --prefix='$(prefix)' && tools/build)
	DESTDIR='$(DESTDIR)' meson install -C build --no-rebuild

package: ## Debian packages into build/packages/; KIND=rpm: RPM packages
	@tools/deps build package
	@tools/package $(KIND)

clean: ## remove what was built
	rm -rf build build-sanitize build-fuzz build-bench

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1 - /p' Makefile | awk -F' - ' '{ printf "  %-10s %s\n", $$1, $$2 }'
