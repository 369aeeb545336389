# What a checkout can do; `make` alone lists it. Everything is kept in .venv and .lab, and `~/.pulumi` where pulumi is missing.

# The first Python that is new enough. A name may be on PATH and still not run, so it is asked.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$name; break; }; done)
RUN := .venv/bin/python
LOCK := .venv/.lock-$(firstword $(shell cksum <requirements.lock))
# The engine that setup found comes first.
ENGINE = PATH="$$(cat .venv/engine):$$PATH"

# An environment has its own path in it, so in a checkout that was moved or copied setup writes it again. Its packages stay.
$(shell [ ! -s .venv/bin/mesh ] || grep -qF -e "$$(readlink -f .venv)/bin/" -e "$(CURDIR)/.venv/bin/" .venv/bin/mesh || \
	rm -f .venv/bin/mesh .venv/.lock-*)

.DEFAULT_GOAL := help
# Images of Python set it, and each of the many processes of a run would compile the program again.
unexport PYTHONDONTWRITEBYTECODE
# Labs wait for their hosts more than they compute, so there are more of them than processors. What measures loss comes first
# for a processor, in two of the labs (tests/conftest.py).
# Tracebacks are Python's own: for others pytest parses sources, at which 3.11 can fail beside another thread (gh-106905), and that
# ends the whole run.
PYTEST = $(ENGINE) $(RUN) -m pytest -v --dist loadfile --no-loadscope-reorder --tb=native --require="$$MESH_REQUIRE"
LABS ?= 7
COUNT := .venv/count

.PHONY: help setup demo demo-shell demo-down test test-kernel test-aarch64 test-fast check docs bench

help: ## list what can be made
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | awk -F ':.*## ' '{ printf "make %-13s %s\n", $$1, $$2 }'

setup: .venv/bin/mesh ## prepare this checkout: packages, the command mesh, and the engine
	@$(RUN) -m mesh engine --record .venv/engine

$(LOCK): requirements.lock
	@test -n "$(PYTHON)" || { echo "setup: no Python from 3.11 up on PATH; install one, or name it: make PYTHON=..." >&2; exit 1; }
	@if ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "setup: installing python3-venv"; \
			apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
				install -q -y --no-install-recommends python3-venv >/dev/null; \
		else \
			echo "setup: $(PYTHON) cannot make virtual environments; install python3-venv" >&2; exit 1; \
		fi; \
	fi
	@[ -s .venv/bin/mesh ] || $$([ -x $(RUN) ] && echo $(RUN) || echo $(PYTHON)) -m venv .venv
	@echo "setup: installing the locked packages"
	@$(RUN) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@rm -f .venv/.lock-*
	@touch $@

# All that it needs is locked and installed, so no index is asked.
.venv/bin/mesh: pyproject.toml | $(LOCK)
	@$(RUN) -m pip install -q --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## bring up a mesh of four booted hosts on this machine (Debian, root)
	@$(RUN) -m tests.lab prepare
	@$(ENGINE) $(RUN) -m tests.demo up

demo-shell: ## a shell where pulumi, ssh and the demo's hosts are at hand
	@$(ENGINE) $(RUN) -m tests.demo shell

demo-down: ## take the demo away
	@$(RUN) -m tests.demo down

test: setup ## run every test that this machine can run, but for the two below; MESH_REQUIRE=engine,lab makes them musts
	@rm -f $(COUNT)
	@$(PYTEST) tests -n $(LABS) -m "not kernel" --store-count $(COUNT)

test-kernel: setup ## the kernel's WireGuard: a mesh of virtual machines and a container; 20 minutes with KVM
	@$(RUN) -m tests.lab prepare --machines
	@$(PYTEST) tests/lab -m kernel --ignore=tests/lab/test_aarch64.py

test-aarch64: setup ## the seed's pair, of which one host is x86_64 and one aarch64, in virtual machines; some five minutes
	@$(RUN) -m tests.lab prepare --machines
	@$(PYTEST) tests/lab/test_aarch64.py

test-fast: setup ## unit, properties and mocked, but for what takes long: the inner loop, a minute on two cores
	@MESH_PROPERTIES=few $(RUN) -m pytest tests/unit tests/properties tests/mocked -q -n 4 --maxschedchunk 4 -m "not thorough"

check: setup ## formatting, lint and types
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy --strict __main__.py mesh tests
	@$(RUN) -m tests.check_host_program

docs: setup ## build the pages in docs/_build/html; a broken link or a page that nobody links fails
	@$(RUN) -m pip install -q --disable-pip-version-check --require-hashes -r docs/requirements.lock
	@$(RUN) -m sphinx -n -W --keep-going -q -b html docs docs/_build/html
	@echo "docs: open docs/_build/html/index.html"

bench: setup ## measure, and try the properties with many examples; takes a while
	@MESH_PROPERTIES=many $(RUN) -m pytest tests/properties -q -n auto
	@$(ENGINE) $(RUN) -m tests.bench
