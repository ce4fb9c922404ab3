# make run    install what is missing, then the main job: a catalogue sold on two channels, reconciled to the unit
# make test   install what is missing, then all tests            (ARGS='-m "not slow"' passes options to pytest)
# make lint   style, types, import arrows
# make clean  remove what these made; the data folder stays
#
# PYTHON=python3.11 chooses the interpreter, VENV=.venv where packages go. Once installed, nothing needs the network.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := run

PYTHON ?= python3.11
VENV ?= .venv
ARGS ?=
# one more than cores, up to four: tests wait for their servers now and then
WORKERS ?= $(shell n=$$(nproc); echo $$((n < 4 ? n + 1 : 4)))
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# Dozens of processes import the same modules: compiled by the first of them, wherever this is set otherwise.
export PYTHONDONTWRITEBYTECODE :=

# What the environment was built from. Contents, not times: a fresh checkout of the same files changes nothing.
STAMP := $(VENV)/.installed
WANTED := $(shell cat pyproject.toml constraints.txt | sha256sum | cut -d' ' -f1) $(CURDIR)

.PHONY: run test lint clean install

run: install
	$(BIN)/flipsync demo $(ARGS)

test: install
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

lint: install
	failed=0
	for check in 'ruff check .' 'ruff format --check .' 'mypy' 'lint-imports --no-logo'; do
		echo "$$check"
		$(BIN)/$$check || failed=1
	done
	exit $$failed

install:
	if [[ -x $(BIN)/python && "$$(cat $(STAMP) 2>/dev/null)" == "$(WANTED)" ]]; then exit 0; fi
	if ! command -v $(PYTHON) >/dev/null; then
		echo 'Python 3.11 is missing: install it (Debian: apt-get install python3.11 python3.11-venv), or say PYTHON=…' >&2
		exit 1
	fi
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then
		if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then
			if [[ $$EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
				echo 'Python cannot make environments here: ask an administrator for `apt-get install python3.11-venv`' >&2
				exit 1
			fi
			echo 'installing python3.11-venv'
			apt-get update -qq
			DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3.11-venv </dev/null
		fi
		echo 'making $(VENV)'
		$(PYTHON) -m venv --clear $(VENV)
	fi
	echo 'installing packages into $(VENV) (once)'
	# uv loads side by side what pip loads one by one. Where pip is told of an index of its own, of which uv does not
	# know, or uv cannot be had or fails here, pip it is.
	if ! $(BIN)/python -m pip config list | grep -q '[.]index.url=' \
		&& $(BIN)/python -m pip install --quiet --no-input -c constraints.txt uv \
		&& $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -c constraints.txt -e '.[dev]'; then
		:
	else
		$(BIN)/python -m pip install --no-input --progress-bar off -c constraints.txt -e '.[dev]' \
			| { grep --line-buffered -E '^ *(Downloading|Using cached|Installing|Successfully)' || true; }
	fi
	$(BIN)/python -m compileall -q -j 0 flipsync agents serve
	echo '$(WANTED)' > $(STAMP)

clean:
	if [[ -f $(VENV)/pyvenv.cfg ]]; then rm -rf $(VENV); fi
	rm -rf build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
