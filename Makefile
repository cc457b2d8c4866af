# make demo | test | lint | bench | image: each sets up all it needs on a machine with Python 3.11 and make, and redoes only what changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
# of the tests: one more than there are cores, up to four, since many wait for a site, a signal or a browser
PROCESSES ?= $(shell n=$$(nproc); if [ $$n -gt 3 ]; then echo 4; else echo $$((n + 1)); fi)
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# several environments with one home: a pip that asks for input would hang
export PIP_NO_INPUT := 1

.PHONY: demo test chromium lint bench image lock clean
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
test: $(READY) chromium
	$(BIN)/python -m pytest -n $(PROCESSES) --dist=loadfile --no-loadscope-reorder

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

lock: $(READY)
	$(BIN)/uv pip compile setup.py --all-extras --constraint requirements/pins.txt --universal --python-version 3.11 \
		--no-annotate --upgrade --custom-compile-command "make lock" --quiet --output-file requirements/lock.txt

clean:
	rm -rf $(VENV) *.egg-info build demo_output bench_output .mypy_cache .ruff_cache .pytest_cache .hypothesis
