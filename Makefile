# Two commands: `make lab` opens the tour in JupyterLab, `make test` checks everything. `make help` lists the rest.
# Plain make: it is to run under GNU make 3.81 (macOS) as well as 4.x.

PY := .venv/bin/python
# After so many failures nothing more is learned, and tests that wait in vain take hours.
PYTEST := $(PY) -m pytest --maxfail=40
# A stamp is newer than what decides which packages are installed, so a second run starts at once.
LAB := .venv/.installed-lab
TEST := .venv/.installed-test
NODE_MODULES := js/node_modules/.installed
# Extra options for JupyterLab: make lab LAB_ARGS="--no-browser --port 8899"
LAB_ARGS ?=
TOUR ?= notebooks/00_tour.ipynb
# Extra options for pytest: make unit PYTEST_ARGS="-k heatmap -x"
PYTEST_ARGS ?=
# Options of scripts/other_cpus.py.
CPUS ?=
# Options of benchmarks/speed.
BENCH ?=
# Jupyter refuses to run as root unless told; nobody else is to be given the option.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

# Node may live in the environment (scripts/system.sh puts it there when the system has none).
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# The kernel is the environment's own, whatever kernels the user has installed.
export JUPYTER_PREFER_ENV_PATH := 1

.PHONY: help lab test lint types js unit oracle devices speed cpus browser notebooks wheel environments build docs format outputs bench results system clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

lab: $(LAB) ## open the tour in JupyterLab (LAB_ARGS="--no-browser --port 8899")
	.venv/bin/jupyter-lab --ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/$(TOUR) $(AS_ROOT) $(LAB_ARGS)

# What sections need is made before them: two of them run at once.
test: system $(TEST) $(NODE_MODULES) ## everything .ci/run checks, two sections at once, with timings
	@CPUS=--short $(PY) scripts/check_all.py lint types browser unit notebooks oracle devices speed cpus wheel js

lint: $(TEST) ## style of the Python code
	$(PY) -m ruff check
	$(PY) -m ruff format --check

types: $(TEST) ## types of the Python code
	$(PY) -m mypy

js: $(TEST) $(NODE_MODULES) ## the views: types, style, unit tests in Chromium, and bundles that match their source
	cd js && npm run --silent check
	cd js && npm run --silent lint
	cd js && npm test --silent
	$(PY) scripts/bundles.py --check

unit: $(TEST) ## unit tests of the Python code
	$(PYTEST) tests/unit tests/fuzz $(PYTEST_ARGS)

oracle: $(TEST) ## equality with other implementations
	$(PYTEST) tests/oracle $(PYTEST_ARGS)

# A process of its own: torch keeps a registered device until the process ends, and moves to it what has no device.
devices: $(TEST) ## a simulated accelerator computes what the CPU computes
	$(PYTEST) tests/devices $(PYTEST_ARGS)

# Beside other sections of `make test`: CPU time in turns, with bounds that follow the noise.
speed: $(TEST) ## no method makes more passes, or takes longer beside its passes, than before
	OMP_NUM_THREADS=1 $(PYTEST) tests/speed $(PYTEST_ARGS)

cpus: $(TEST) ## unit and oracle tests as other processors run them (an hour or more; CPUS=--short: two minutes)
	$(PY) scripts/other_cpus.py $(CPUS)

# A browser test that fails runs once more, as a busy machine may starve a browser; the summary names it.
browser: $(TEST) $(NODE_MODULES) ## the widgets in real JupyterLab, Notebook 7 and Chromium
	$(PYTEST) --reruns 1 -r fER tests/browser $(PYTEST_ARGS)

notebooks: $(TEST) ## every notebook, top to bottom (their files stay as they are)
	OMP_NUM_THREADS=1 $(PYTEST) --nbmake --nbmake-timeout=900 notebooks $(PYTEST_ARGS)

wheel: $(TEST) ## rules of the repository; the built wheel in a clean environment; the oldest widget libraries
	$(PYTEST) tests/packaging $(PYTEST_ARGS)

environments: $(TEST) ## the wheel on each Python that is installed, with the versions of Colab and the oldest ones (long; gigabytes)
	XAI_WIDGETS_ENVIRONMENTS=1 $(PYTEST) tests/packaging/test_environments.py $(PYTEST_ARGS)

build: $(TEST) $(NODE_MODULES) ## rebuild the bundled JavaScript in xai_widgets/static
	$(PY) scripts/bundles.py

docs: $(TEST) ## the documentation site with its live pages, in build/site (some minutes)
	OMP_NUM_THREADS=1 $(PY) scripts/live.py
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

format: $(TEST) ## put Python files and notebooks in style
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

outputs: $(TEST) ## run the notebooks that were edited, and store their outputs
	OMP_NUM_THREADS=1 $(PY) scripts/notebooks.py --write

bench: $(TEST) ## speed and memory beside other libraries, in docs/performance.md (BENCH=--quick: some minutes, printed)
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.speed $(BENCH)

results: $(TEST) ## docs/results: every method measured on generated scenes (some hours)
	$(PY) scripts/results.py
	$(PY) scripts/results_super_resolution.py
	$(PY) scripts/results_settings.py
	$(PY) scripts/results_concepts.py
	$(PY) scripts/results_learned.py
	$(PY) scripts/results_occlusion.py
	$(PY) scripts/results_evaluation.py

system: $(TEST) ## Chromium and Node: installed as root on Debian, else named with the command to install them
	@sh scripts/system.sh chromium node

clean: ## remove the environment and everything built (the committed bundles stay)
	rm -rf .venv js/node_modules build dist docs/live test-results .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LAB): pyproject.toml scripts/venv.sh
	@sh scripts/venv.sh lab

$(TEST): pyproject.toml scripts/venv.sh
	@sh scripts/venv.sh test

$(NODE_MODULES): js/package.json js/package-lock.json
	@sh scripts/system.sh node
	cd js && npm ci --no-audit --no-fund
	@touch $@
