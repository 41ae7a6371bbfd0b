# Everything a newcomer needs: `make demo` shows the main job, `make test` checks all.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test tests lint bench rivals chaos chaos-fleet chaos-limits chaos-graph chaos-schedules race-unique simulate fuzz fuzz-cron service-drill clean chaos-hooks docs-play generated recording site newcomer pyz

demo: $(VENV)/demo-ready
	@$(BIN)/queuectl demo

# Linters take the processors while tests wait; that is also why there are more test processes than processors.
test: $(VENV)/test-ready
	@$(MAKE) --no-print-directory --jobs 2 lint tests

# Each process of a run would compile all tests if none may keep what it has compiled.
unexport PYTHONDONTWRITEBYTECODE
tests: $(VENV)/test-ready
	@$(BIN)/python -m pytest --numprocesses 6 --dist worksteal

lint: $(VENV)/test-ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/test-ready
	@$(BIN)/python -m benchmarks

rivals: $(VENV)/test-ready
	@$(BIN)/python -m benchmarks.rivals

chaos: $(VENV)/test-ready
	@$(BIN)/python -m tests.fault.chaos --minutes 10

fuzz: $(VENV)/test-ready
	@$(BIN)/python -m tests.web.fuzz --examples 200

service-drill: $(VENV)/test-ready
	@$(BIN)/python -m tests.fault.systemd

chaos-schedules: $(VENV)/test-ready
	@$(BIN)/python -m tests.fault.schedule_storm
	@$(BIN)/python -m tests.fault.schedule_storm --postgres

fuzz-cron: $(VENV)/test-ready
	@$(BIN)/python -m tests.model.fuzz_cron

site: $(VENV)/test-ready
	@$(BIN)/python -m tests.docs.site
	@echo "built site/; look: $(BIN)/python -m http.server --directory site --bind 127.0.0.1"

newcomer: $(VENV)/test-ready
	@$(BIN)/python -m tests.docs.newcomer

recording: $(VENV)/test-ready
	@$(BIN)/python -m tests.docs.recording

# What is written from the tables; CONTRIBUTING.md says what each is.
generated: $(VENV)/test-ready
	@$(BIN)/python -m tests.docs.job_keys
	@$(BIN)/python -m tests.docs.commands_page
	@$(BIN)/python -m tests.docs.schemas
	@$(BIN)/python -m tests.architecture.lifecycle_diagram

docs-play: $(VENV)/test-ready
	@$(BIN)/python -m tests.docs.play

chaos-fleet: $(VENV)/test-ready
	@$(BIN)/python -m tests.fault.fleet_chaos --rounds 3

chaos-limits: $(VENV)/test-ready
	@$(BIN)/python -m tests.fault.limits_chaos --seconds 60

race-unique: $(VENV)/test-ready
	@$(BIN)/python -m tests.fault.unique_race --seconds 20

chaos-graph: $(VENV)/test-ready
	@$(BIN)/python -m tests.fault.graph_chaos

chaos-hooks: $(VENV)/test-ready
	@$(BIN)/python -m tests.fault.hooks_chaos --seconds 60
	@$(BIN)/python -m tests.fault.hooks_chaos --seconds 60 --store postgres

pyz: | $(BIN)/python
	@$(BIN)/python -m archive.build queuectl.pyz
	@echo "queuectl.pyz runs anywhere with Python 3.11 or later: python3 queuectl.pyz --help"

simulate: $(VENV)/test-ready
	@$(BIN)/python -m tests.model.simulation --seconds 600

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo-ready: pyproject.toml | $(BIN)/python
	@echo "Installing queuectl into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[sqlite,web]'
	@touch $@

$(VENV)/test-ready: pyproject.toml | $(BIN)/python
	@echo "Installing queuectl and its test tools into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/demo-ready
