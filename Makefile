# make demo    run the embedded study and open questions with numbers; resumes what is there
# make test    the tests
# make check   style, types, floors, links
# make fuzz    100,000 cases of each kind of input (FUZZ=N for another number); hours
# make audit   known vulnerabilities of the dependencies; needs a network
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Everything that libraries cache or configure stays in the checkout.
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/cache/matplotlib
export HF_HOME := $(CURDIR)/$(VENV)/cache/hub
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export RAY_USAGE_STATS_ENABLED := 0
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test check fuzz audit format install clean

FUZZ ?= 100000

demo: export HF_HUB_OFFLINE := 1
demo: $(STAMP)
	$(BIN)/ablate demo --store demo

test: export HF_HUB_OFFLINE := 1
test: $(STAMP)
	$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder tests

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_house.py

fuzz: $(STAMP)
	ABLATE_FUZZ=$(FUZZ) $(BIN)/python -m pytest -q tests/fuzz

audit: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip-audit>=2.7"
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ablate needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
	       "name another: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e ".[train,dev]"
	@mkdir -p $(VENV)/cache
	@touch $@

clean:
	rm -rf demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
