PYTHON ?= python3
BIN := .venv/bin
.PHONY: setup demo test lint types tests nightly benchmarks clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" -c constraints.txt
	@touch $@
	@echo "installed; the command is $(BIN)/mezzotint"

demo: setup
	$(BIN)/mezzotint train vae digits --size 32 --images 30k --out runs/demo
	$(BIN)/mezzotint sample runs/demo --out runs/demo/samples.png
	$(BIN)/mezzotint reconstruct runs/demo digits --out runs/demo/reconstructions.png
	@echo "pictures: runs/demo/reconstructions.png runs/demo/samples.png runs/demo/curve.png"

test: lint types tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

tests: setup
	$(BIN)/pytest -q

nightly: setup
	$(BIN)/pytest -q -m slow

clean:
	rm -rf .venv runs
