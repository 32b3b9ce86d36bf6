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
	$(BIN)/mezzotint compare digits --budget 20s --out runs/demo
	@echo "open runs/demo/report.html in a browser"

test: lint types tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

tests: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2

nightly: setup
	$(BIN)/pytest -q -m slow

benchmarks: setup
	cd benchmarks && for name in a1_classic a2_denoising p1_input p2_update p5_vae p5b_classic p6_bound; \
		do ../$(BIN)/python $$name.py || exit 1; done

clean:
	rm -rf .venv runs
