# The commands of a work tree. Each is a script in .ci/, so that a person and the CI run the same.

.DEFAULT_GOAL := help
.PHONY: help run build wheels sdist test test-matrix compat fuzz bench bench-instructions bench-flame clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name what; do printf '  make %-18s %s\n' "$$name" "$$what"; done

run: ## build, then serve examples/hello on two interpreters at 127.0.0.1:8080 (PORT=8000 make run: elsewhere)
	@PORT=$(or $(PORT),8080) exec .ci/serve-hello

build: ## build the wheel for the CPython found, print its path
	@exec .ci/build-wheel

wheels: ## wheels to give away, into dist/: one for each CPython found, for glibc 2.17 by zig (PYTHONS="…": those; CHAUSSETTE_GLIBC=local)
	@exec .ci/wheels $(PYTHONS)

sdist: ## the source distribution, into dist/ (CHAUSSETTE_VENDOR=1: with the sources of all crates, to build without a network)
	@exec .ci/sdist

test: ## format, lints, Rust tests without and with Python, wheel, pytest on it, the same on a free-threaded CPython
	@exec .ci/test

test-matrix: ## python_tests on each CPython in each isolation, into docs/compatibility.md: an hour (MATRIX="3.14:own-gil": a cell)
	@exec .ci/test-matrix $(MATRIX)

compat: ## try the packages that applications use most, in each isolation: docs/compatibility.md (CPYTHONS="3.14 3.13t": on these)
	@exec .ci/compat/run $(CPYTHONS)

fuzz: ## fuzz the front end, 60 seconds a target (TIME=600 TARGET=reply make fuzz; KEEP=1: keep what reaches more)
	@exec .ci/fuzz

bench: ## side by side with other servers, each goal judged, pictures: 15 minutes (BENCH="run --cases hello1": one of them; BENCH=report)
	@exec benches/run $(BENCH)

bench-instructions: ## instructions per request beside the committed figures, a minute (BENCH="--profile flask": of which functions)
	@exec benches/run instructions $(BENCH)

bench-flame: ## where the time of one case goes: docs/flame-hello.svg, by perf (BENCH="--app flask_hello": of another application)
	@exec benches/run flame $(BENCH)

clean: ## remove what was built here; the free-threaded CPython in ~/.cache/chaussette stays
	@rm -rf target dist .venv .cache .pytest_cache .ruff_cache
