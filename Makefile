# The developer's verbs. A fresh machine needs Python 3.11, git and make; all else comes from here.
#
#   make demo          the story of the product, told by the product (ONCE=1: ends when proven)
#   make test          lint, types and every test that needs nothing but this checkout
#   make test-labs     the tests that need system packages or real servers; installs what it can
#   make test-clouds   only those of them that need the OpenStack lab or Kubernetes guests
#   make crds          writes deploy/crds from the models
#   make lock          writes requirements/*.txt anew

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
PYTEST := $(BIN)/pytest
# One more than there are cores, for many tests wait for other processes; four are enough.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -lt 4 ] && echo $$((n + 1)) || echo 4)
PYTEST_ARGS ?= -q -rs -n $(WORKERS)
CLOUDS_PYTEST_ARGS ?= -q -rs -p no:randomly --timeout 1080 --durations 25
LAB_KUBECTL := .cache/bin/kubectl
KUBECTL_VERSION := v1.32.4
KUBECTL_SOURCES := $(wildcard labs/kubernetes/kubectl/*)

# Without byte code every start of Python compiles the SDKs again: seconds instead of milliseconds.
unexport PYTHONDONTWRITEBYTECODE
# A kubectl that we built serves where the machine has none.
export PATH := $(PATH):$(CURDIR)/.cache/bin

.DEFAULT_GOAL := help
.PHONY: help demo up test test-labs test-clouds test-packages test-clouds-caches lint types docs bench kills fuzz crds lock clean
.DELETE_ON_ERROR:

help:
	@sed -n '3,/^$$/s/^#  *//p' $(MAKEFILE_LIST)

# --- environments: a stamp each, so that the second call costs nothing ---------------------------

$(VENV)/.bootstrap: requirements/bootstrap.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.sandbox: $(VENV)/.bootstrap requirements/sandbox.txt pyproject.toml labs/aws/pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/sandbox.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . -e labs/aws
	@touch $@

$(VENV)/.dev: $(VENV)/.sandbox requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

# --- verbs ---------------------------------------------------------------------------------------

demo: $(VENV)/.sandbox
	@$(BIN)/isthmus demo $(if $(ONCE),--once)

up: $(VENV)/.sandbox
	@$(BIN)/isthmus up --sandbox

test: lint types $(VENV)/.dev
	$(PYTEST) $(PYTEST_ARGS) -m "not labs"

# Two runs: first what can share the machine, then the clouds. The first failure's code is kept.
test-labs: $(VENV)/.dev test-packages
	@$(PYTEST) $(PYTEST_ARGS) -m "labs and not openstack and not guests"; first=$$?; \
	$(MAKE) --no-print-directory test-clouds; second=$$?; \
	[ $$first -ne 0 ] && exit $$first; exit $$second

# One process, since one lab fills a machine: the tests take it one after the other.
test-clouds: $(VENV)/.dev test-packages test-clouds-caches
	$(PYTEST) $(CLOUDS_PYTEST_ARGS) -m "openstack or guests"

# Installs what the labs need where it may, and says what it could not; the tests then skip.
test-packages:
	@sh labs/install-packages.sh
	@command -v kubectl >/dev/null || $(MAKE) --no-print-directory kubectl-if-go

# What takes minutes once and is kept outside the checkout: compiled programs, migrated databases.
test-clouds-caches: test-packages
	@sh labs/prepare.sh $(PYTHON)

.PHONY: kubectl-if-go
kubectl-if-go:
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory $(LAB_KUBECTL); \
	else echo "labs: neither kubectl nor go here; the tests that drive kubectl are skipped"; fi

$(LAB_KUBECTL): $(KUBECTL_SOURCES)
	@echo "labs: building kubectl $(KUBECTL_VERSION) from its Go modules; this takes minutes once"
	cd labs/kubernetes/kubectl && go build -trimpath \
	  -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$(KUBECTL_VERSION)" \
	  -o $(CURDIR)/$@ .

lint: $(VENV)/.dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	PYTHONPATH=src:labs/aws/src:labs/kubernetes/src:labs/openstack/src $(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.dev
	$(PYTEST) -q -k "docs"

bench: $(VENV)/.dev
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

# Kills the API under load again and again; a figure for the release notes, not for every change.
kills: $(VENV)/.dev
	PYTHONPATH=src:. $(BIN)/python -m tests.apiserver_kills $(or $(ROUNDS),200)

# Eight tests; an example of theirs holds one to four inputs, 13 together: 100,000 in all.
fuzz: $(VENV)/.dev
	FUZZ_EXAMPLES=$(or $(EXAMPLES),7700) $(PYTEST) -q --timeout 10800 --durations 8 \
	  tests/unit/test_apiserver_fuzz.py tests/contract/test_apiserver_fuzz.py

crds: $(VENV)/.dev
	GOLDEN=overwrite $(PYTEST) -q tests/unit/test_crd_files.py

# Universal: one file serves every platform. Hashes: nothing else gets in. The week of delay keeps
# out a package that was hijacked yesterday.
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--exclude-newer "7 days" --custom-compile-command "make lock"

lock: $(VENV)/.bootstrap
	$(COMPILE) --extra aws --extra openstack --extra otel --group dev pyproject.toml labs/aws/pyproject.toml \
	  -o requirements/dev.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/base.txt
	$(COMPILE) --extra aws pyproject.toml -c requirements/dev.txt -o requirements/aws.txt
	$(COMPILE) --extra openstack pyproject.toml -c requirements/dev.txt -o requirements/openstack.txt
	$(COMPILE) --extra aws --group build pyproject.toml labs/aws/pyproject.toml \
	  -c requirements/dev.txt -o requirements/sandbox.txt
	$(COMPILE) --group build -c requirements/dev.txt -o requirements/build.txt
	$(COMPILE) tests/clients/requirements.in -o tests/clients/requirements.txt
	echo "uv" | $(COMPILE) --no-header - -o requirements/bootstrap.txt

clean:
	rm -rf $(VENV) .cache .isthmus
