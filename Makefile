# Each verb installs first where needed. `make PYTHON=/usr/bin/python3 …` chooses the Python of the virtual environment.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venv-peers/.installed
PORT ?= 8080
URL ?= http://127.0.0.1:$(PORT)
DURATION ?= 30
BENCH ?=
RELOADS ?=
MATRIX ?=

.PHONY: install up down test check stack load bench corners reloads matrix

install: $(STAMP)                ## .venv with everything in it

up: $(STAMP)                     ## the stack on this machine, without containers; Ctrl-C ends it
	$(BIN)/hedgerow up --apps apps --port $(PORT)

down: $(STAMP)                   ## ends what `up` of this checkout and `stack` started
	$(BIN)/hedgerow down; if docker info >/dev/null 2>&1; then docker compose --profile load down; fi

test: $(STAMP)                   ## every ring of tests: unit, live, stack
	$(BIN)/python .ci/rings.py

check: $(STAMP)                  ## linters, types, the nginx files
	.ci/check.sh

stack: $(STAMP)                  ## the stack in containers, until `make down`
	HEDGEROW_PORT=$(PORT) docker compose up --build --detach --wait

load: $(STAMP)                   ## a bounded load test of the running stack; the report is in loadtest/reports
	$(BIN)/python loadtest/run.py --host $(URL) --seconds $(DURATION)

bench: $(STAMP) $(PEERS)         ## CPU a request beside other servers; make bench BENCH="--only small", BENCH=--help
	rm -rf $(VENV)/compiled && .ci/compiler.sh build $(BIN)/python $(VENV)/compiled
	PYTHONPATH=$(CURDIR)/$(VENV)/compiled/unpacked $(BIN)/python tests/bench/run.py $(BENCH)

corners: $(STAMP) $(PEERS)       ## docs/corner-cases.md: the corner cases, run against each server
	$(BIN)/python tests/peers/corners.py

reloads: $(STAMP) $(PEERS)       ## new code under load, beside other servers; RELOADS=--write: docs/reloads.md
	$(BIN)/python tests/peers/reloads.py $(RELOADS)

matrix: $(STAMP) $(PEERS)        ## docs/matrix.md: servers and applications; MATRIX="--applications flask", MATRIX=--help
	$(BIN)/python tests/matrix/matrix.py $(MATRIX)

$(STAMP): requirements-dev.lock pyproject.toml
	.ci/install.sh $(VENV)
	touch $@

$(PEERS): tests/peers/requirements.lock tests/peers/install.sh | $(STAMP)
	tests/peers/install.sh $(@D)
	touch $@
