# Everything sets itself up: the first use makes a virtual environment with pinned dependencies in .venv.
#
#   make tune                        tune a 512 x 512 x 512 matmul with the built-in pool and show the result
#   make tune WORKLOAD=flux-conv TRIALS=32
#   make test                        all tests
#   make test-fast                   those that start no worker of TVM and build no kernel: a minute
#   make lint                        ruff and mypy
#   make peers                       install PyTorch and ONNX Runtime: peers, and where models come from; the tests use
#                                    them where they are there
#   make fleet                       install Ray, on which fleets measure; the tests use it where it is there
#   make pictures                    those of the documents, from a run that it makes

WORKLOAD ?= matmul
TRIALS ?= 64
ARGS ?=
PROCESSES ?= $(shell n=$$(nproc); echo $$((n < 4 ? n + 2 : 4)))
SHARED = -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
# Tests start hundreds of processes, each of which would compile COLT anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
PEERS := .[bench,onnx]
FLEET := .[fleet]

.PHONY: tune test test-fast lint style types format peers fleet pictures clean

tune: $(VENV)/.base
	$(BIN)/colt tune $(WORKLOAD) --trials $(TRIALS) $(ARGS)

# A few processes, two more than there are processors, since they wait for workers a third of the time; then what judges
# times, alone. ARGS are for one process, such as ARGS='-x tests/tvm/space'.
test: $(VENV)/.test
ifeq ($(strip $(ARGS)),)
	$(PYTEST) $(SHARED) -m "not alone"
	$(PYTEST) -m alone $$(grep -rl --include='test_*.py' 'mark\.alone' tests)
else
	$(PYTEST) $(ARGS)
endif

test-fast: $(VENV)/.test
	$(PYTEST) $(SHARED) -m fast --ignore tests/tvm $(ARGS)

lint: style types

style: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

peers: $(VENV)/.bench

fleet: $(VENV)/.fleet

pictures: $(VENV)/.test
	rm -rf runs/pictures
	$(BIN)/colt tune matmul --trials 64 --run runs/pictures
	$(BIN)/python docs/pictures/make.py runs/pictures

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "COLT needs Python 3.11 or newer; none was found. Name one: make PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv $(VENV)

define install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '$(1)'
	@touch $@
endef

$(VENV)/.base: $(BIN)/python pyproject.toml constraints.txt
	$(call install,.)

$(VENV)/.test: $(BIN)/python pyproject.toml constraints.txt
	$(call install,.[test])
	@touch $(VENV)/.base

$(VENV)/.bench: $(BIN)/python pyproject.toml constraints.txt
	$(call install,$(PEERS))

$(VENV)/.fleet: $(BIN)/python pyproject.toml constraints.txt
	$(call install,$(FLEET))

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(call install,.[dev])
	@touch $(VENV)/.base $(VENV)/.test
