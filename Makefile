# Everything from nothing: `make demo` and `make test` need Python 3.11 or later, a C compiler and make.

PYTHON ?= $(firstword $(shell command -v python3.11 python3 python))
BIN := .venv/bin
INSTALLED := .venv/.installed
TYPING := build/typing
MEMBERS := __init__.py api.py compilation.py compiler passes backends cli recipes testing integrations

.PHONY: help demo test suite lint docs golden mutants clean

help:
	@echo "make demo     train, compress and check a network on handwritten digits; writes digits.lowbit"
	@echo "make test     lint, types, and all tests"
	@echo "make lint     ruff, and mypy in strict mode"
	@echo "make docs     write docs/passes.md, docs/recipes.md and docs/fixed.md from the records"
	@echo "make golden   write tests/golden anew, the graphs before and after each pass"
	@echo "make mutants  seed bugs one at a time, each of which a test must catch"
	@echo "make clean    remove everything that these made"

demo: $(INSTALLED)
	$(BIN)/lowbit compile lowbit.cli.demo:digits_net --recipe choi2020 --data digits -o digits.lowbit

# Types are checked while the tests run, which takes a minute less.
test: $(INSTALLED)
	$(MAKE) --no-print-directory -j 2 lint suite

# One thread a worker: two workers that take all cores each wait for one another.
suite: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -q

lint: $(INSTALLED) $(TYPING)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(TYPING) $(BIN)/mypy -p lowbit

docs: $(INSTALLED)
	$(BIN)/python docs/generate.py

golden: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/test_golden.py --update-golden

mutants: $(INSTALLED)
	$(BIN)/python tests/mutants/run.py

clean:
	rm -rf .venv build digits.lowbit *.egg-info

# torch first and alone: it is most of the download, and the constraint pins it.
$(INSTALLED): pyproject.toml constraints.txt $(wildcard compiler/native/* backends/mixing/native/*)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# The folders at the top are the package `lowbit`; a type checker needs to see them under that name.
$(TYPING): Makefile
	rm -rf $@
	mkdir -p $@/lowbit
	for member in $(MEMBERS); do ln -s "$(CURDIR)/$$member" $@/lowbit/; done
