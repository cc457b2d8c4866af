# make demo | test | test-command | lint | bench | image | engines: each sets up all it needs on a machine with Python 3.11 and make, and redoes only what changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
# of the tests: four at least, since many wait for a site, a signal or a browser
PROCESSES ?= $(shell n=$$(nproc); if [ $$n -gt 4 ]; then echo $$n; else echo 4; fi)
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# several environments with one home: a pip that asks for input would hang
export PIP_NO_INPUT := 1

.PHONY: demo test test-command chromium lint bench image engines lock clean
.DELETE_ON_ERROR:

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# constraints pin every version; of the packages with the demo's footage only the files are wanted
$(READY): $(BIN)/python setup.py pyproject.toml requirements/lock.txt requirements/demo.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements/lock.txt --editable '.[demo,clip,cpu,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements/demo.txt
	touch $@

demo: $(READY)
	$(BIN)/python -m demo.run_demo demo_output

# a file of tests goes to one process as a whole; a single test is run without all this, by `pytest FILE -k NAME`
TESTS := $(BIN)/python -m pytest -n $(PROCESSES) --dist=loadfile --no-loadscope-reorder

test: $(READY) chromium
	$(TESTS) --ignore=tests/command

# the command as users start it, and what they see: signals, kills, worker processes, terminals, pages, the wheel, the demo, what the README says
test-command: $(READY) chromium
	$(TESTS) tests/command

# what the browser tests drive; where it cannot be installed a line says so, and they are skipped
chromium:
	@sh tests/chromium.sh

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks bench_output

# with buildah, root's rights and 25 GB of disk; the file says the rest
image: $(READY)
	$(BIN)/python -m pytest tests/templates/built_image.py

# with Go, which fetches and builds Prism; Flink needs Java and FLINK_JOB_SERVER_JAR, or a Maven that serves its job server
engines: $(READY)
	$(BIN)/python -m pytest tests/engines/on_engines.py

lock: $(READY)
	$(BIN)/uv pip compile setup.py --all-extras --constraint requirements/pins.txt --universal --python-version 3.11 \
		--no-annotate --upgrade --custom-compile-command "make lock" --quiet --output-file requirements/lock.txt

clean:
	rm -rf $(VENV) *.egg-info build demo_output bench_output .engines .mypy_cache .ruff_cache .pytest_cache .hypothesis
