# Everything a checkout needs: `make up` runs a cluster, `make test` runs every test.
# PYTHON=python3.12 chooses the interpreter; without it the first one that is new enough is taken.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?=
VENV ?= .venv
PY := $(VENV)/bin/python
UV ?= uv
UP ?=
PYTEST ?=
# Most tests wait for processes that they started; two at a time fill two cores.
WORKERS ?= 2
# A worker that died ends the run: with another one in its place, the last of its tests may never be given out.
PARALLEL = --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder --max-worker-restart=0
TIERS := -p tests.support.tiers
CHAOS ?=
PIP := $(PY) -m pip --disable-pip-version-check --quiet
# Part of the wheel: who installs from PyPI gets the same versions, by the same hashes.
EMBEDDED_LOCK := local/src/paceline_local/embedded_requirements.txt
AUDIT := .tools/audit
SBOM = $(AUDIT)/bin/python -W ignore -m cyclonedx_py requirements --no-validate --output-reproducible --spec-version 1.6
export PACELINE_EMBEDDED_HOME ?= $(CURDIR)/.venv-embedded
# Where it is set (as in many images), every process that a test starts compiles all of the tree anew: a second each.
unexport PYTHONDONTWRITEBYTECODE

PYTHON_CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python
PYTHON_CHECK := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(VENV)/.installed $(PACELINE_EMBEDDED_HOME)/.made ## create .venv with locked versions, and the embedded DynamoDB

.PHONY: up
up: install ## run three nodes, discovery and a DynamoDB on this machine (UP='--nodes 5' adds options)
	@exec $(VENV)/bin/paceline up --demo $(UP)

.PHONY: test
test: install checks ## lint, types and the fast tier, with a tenth of the planted bugs (PYTEST='-k name' adds options)
	$(PY) -m pytest -m 'not full and not soak' $(PARALLEL) $(PYTEST)

.PHONY: unit
unit: $(VENV)/.installed ## unit tests alone, three minutes of two cores: no program but what a test makes itself
	$(PY) -m pytest tests/unit -m 'not full and not soak' $(PARALLEL) $(PYTEST)

.PHONY: test-all
test-all: test test-rest ## the full tier too: clients' matrices, every planted bug

.PHONY: test-rest
test-rest: install tools ## what make test leaves out for its length, short ones first (BUDGET=3000 seconds)
	$(PY) -m pytest tests/unit -m 'hypothesis and not full and not soak' --hypothesis-profile=all $(PARALLEL) $(PYTEST)
	$(PY) -m pytest -m full $(PARALLEL) $(TIERS) $(if $(BUDGET),--budget-s=$(BUDGET)) $(PYTEST)

.PHONY: soak
soak: install tools ## the long tests, two hours at most; run again it goes on (SOAK=FILE, BUDGET=7200)
	$(PY) -m pytest -m soak --timeout=7200 $(TIERS) --budget-s=$(or $(BUDGET),7200) --continue-file=$(or $(SOAK),.paceline/soak.jsonl) $(PYTEST)

.PHONY: sim
sim: install ## a simulated cluster: SEEDS=100 fresh seeds, or SEED=17 step by step (SECONDS=60, OPERATIONS=2000, CONTINUE=FILE)
	@PYTHONHASHSEED=0 $(PY) -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(OPERATIONS),--operations $(OPERATIONS)) $(if $(CONTINUE),--continue $(CONTINUE)) $(SIM)

.PHONY: mutants
mutants: install ## what would no test notice? the planted bugs, or patches (MUTANTS=DIR, JOBS=2, ONLY=name)
	@PYTHONHASHSEED=0 $(PY) -m tests.mutants $(MUTANTS) $(if $(JOBS),--jobs $(JOBS)) $(if $(ONLY),--only '$(ONLY)')

.PHONY: kills
kills: install ## the primary is killed KILLS=200 times, and twice in a row 20 times (CONTINUE=FILE goes on)
	$(PY) -m benchmarks.chaos.kills --kills $(or $(KILLS),200) --continue $(or $(CONTINUE),.paceline/kills.jsonl)

.PHONY: chaos
chaos: install ## faults on real clusters under load, and docs/chaos-report.md (ROUNDS=3, SECONDS=60, CHAOS='--only bridge')
	-$(PY) -m tests.chaos.roto
	$(PY) -m benchmarks.chaos --fresh --rounds $(or $(ROUNDS),1) --seconds $(or $(SECONDS),20) --report docs/chaos-report.md $(CHAOS)

.PHONY: docker-test
docker-test: install ## build the image, run docker-compose.yml on Docker, break it (skips with the reason where there is no engine)
	PACELINE_DOCKER_TEST=1 $(PY) -m pytest tests/docker $(PYTEST)

# Side by side: the clients' installers wait for their registries, and mypy has one processor only.
.PHONY: checks
checks: $(VENV)/.installed
	@$(MAKE) --no-print-directory tools & tools=$$!; \
	$(MAKE) --no-print-directory types & types=$$!; \
	$(MAKE) --no-print-directory lint; failed=$$?; \
	wait $$types || failed=$$?; \
	wait $$tools || failed=$$?; \
	exit $$failed

.PHONY: lint
lint: $(VENV)/.installed ## ruff and the import layers
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-cache

.PHONY: types
types: $(VENV)/.installed ## mypy, strict
	$(PY) -m mypy

.PHONY: proto
proto: $(VENV)/.installed ## regenerate the gRPC stubs
	$(PY) -m grpc_tools.protoc -I proto --python_out=client/src --grpc_python_out=client/src --pyi_out=client/src proto/paceline/v1/*.proto
	touch client/src/paceline/v1/__init__.py

.PHONY: bench
bench: install ## what requests cost beside redis-server and memcached; needs gcc (QUICK=1: two minutes, BENCH='--only hits')
	$(PY) -m benchmarks.suite $(if $(QUICK),--quick) $(BENCH)

.PHONY: traces
traces: $(VENV)/.installed ## hit ratios of eviction policies on public traces, which it downloads (QUICK=1, TRACES=FOLDER)
	$(PY) -m benchmarks.traces $(if $(QUICK),--quick) $(if $(TRACES),--traces $(TRACES))

.PHONY: tools
tools: $(VENV)/.installed ## clients that tests drive, in .tools: JavaScript (needs node and npm), Java (needs a JDK and mvn), PynamoDB, the AWS CLI
	@sh tests/support/install_tools.sh "$(PY)"

$(AUDIT)/.installed: requirements/audit.txt | $(VENV)/.installed
	@sh tests/support/install_tools.sh "$(PY)"

.PHONY: audit
audit: $(AUDIT)/.installed ## known vulnerabilities of all locked packages that are shipped (needs the network; nothing unanswered passes)
	$(AUDIT)/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/server.txt
	$(AUDIT)/bin/pip-audit --strict --require-hashes --disable-pip -r $(EMBEDDED_LOCK)

.PHONY: sbom
sbom: $(AUDIT)/.installed ## what is shipped, as CycloneDX in dist/: the server's packages, and the embedded DynamoDB's
	@mkdir -p dist
	$(SBOM) --pyproject pyproject.toml -o dist/paceline-server.cdx.json requirements/server.txt
	$(SBOM) -o dist/paceline-embedded.cdx.json $(EMBEDDED_LOCK)

.PHONY: lock
lock: ## resolve the dependencies anew into requirements/ (needs uv; UV=path)
	$(UV) pip compile pyproject.toml --group dev --extra opentelemetry --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-package paceline --no-emit-package paceline-local --custom-compile-command 'make lock' -q -o requirements/dev.txt
	$(UV) pip compile pyproject.toml --extra opentelemetry --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-package paceline --no-emit-package paceline-local --custom-compile-command 'make lock' -q -c requirements/dev.txt -o requirements/server.txt
	printf 'setuptools\n' | $(UV) pip compile - --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command 'make lock' -q -c requirements/dev.txt -o requirements/build.txt
	$(PY) -c 'from paceline_local import embedded as e; print(f"{e.PACKAGE}=={e.VERSION}")' | $(UV) pip compile - --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command 'make lock' -q -o $(EMBEDDED_LOCK)
	printf 'awscli<2\npynamodb\n' | $(UV) pip compile - --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command 'make lock' -q -o requirements/clients.txt
	printf 'pip-audit\ncyclonedx-bom\n' | $(UV) pip compile - --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command 'make lock' -q -o requirements/audit.txt

.PHONY: clean
clean: ## remove everything that make created
	rm -rf $(VENV) .venv-embedded .venv-embedded.lock .tools dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find cluster node discovery paceline_server client local tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# pip reads the lock with hashes; what has no wheel is built with the locked setuptools. All
# distributions are installed editable, without looking at an index again.
$(VENV)/.installed: requirements/dev.txt requirements/build.txt pyproject.toml client/pyproject.toml local/pyproject.toml
	@python=''; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",$(PYTHON_CANDIDATES)); do \
	    if "$$candidate" -c '$(PYTHON_CHECK)' >/dev/null 2>&1; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "make: Python 3.11 or newer with its venv module is needed; looked for: $(if $(PYTHON),$(PYTHON),$(PYTHON_CANDIDATES))." >&2; \
	    for candidate in $(if $(PYTHON),"$(PYTHON)",$(PYTHON_CANDIDATES)); do \
	        "$$candidate" -c 'import sys; print("make:   %s is Python %d.%d%s" % ((sys.executable,) + tuple(sys.version_info[:2]) + ("" if sys.version_info < (3, 11) else " without venv or ensurepip",)))' >&2 2>/dev/null || true; \
	    done; \
	    echo "make: install one (Debian and Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python@3.12)" >&2; \
	    echo "make: or name one that is elsewhere: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	    exit 1; \
	fi; \
	if [ -x $(PY) ] && ! $(PY) -c '$(PYTHON_CHECK)' >/dev/null 2>&1; then rm -rf $(VENV); fi; \
	if [ ! -x $(PY) ] || [ -n "$(PYTHON)" ]; then \
	    echo "make: creating $(VENV) with $$("$$python" -V)"; \
	    "$$python" -m venv $(if $(PYTHON),--clear,) $(VENV); \
	fi
	@echo "make: installing the locked dependencies into $(VENV) (a minute or two, once)"
	@$(PIP) install --require-hashes --no-deps -r requirements/build.txt
	@$(PIP) install --require-hashes --no-deps --use-pep517 --no-build-isolation -r requirements/dev.txt
	@$(PIP) uninstall --yes paceline paceline-local paceline-server  # one of an older checkout may own a file of another now
	@$(PIP) install --no-deps --no-build-isolation --no-index -e client -e local -e .
	@touch $@

$(PACELINE_EMBEDDED_HOME)/.made: $(VENV)/.installed $(EMBEDDED_LOCK)
	@$(VENV)/bin/paceline embedded install
	@mkdir -p $(@D) && touch $@
