# make help lists the commands. Each one sets up what it needs in .venv, nothing global.
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/ready
TEACHING := .venv/teaching
ROOT_FLAG := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)
QUIET_LAB := --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	--LabApp.news_url=None

.PHONY: help lab test lint unit notebook-tests browser-tests notebooks exercises release \
	grade slides results benchmarks

help:
	@echo 'make lab        open the course in JupyterLab at the first lesson'
	@echo 'make test       run every test: style, package, then each notebook compared'
	@echo 'make unit       run the package tests alone, with line coverage'
	@echo 'make browser-tests  drive the charts in JupyterLab, in Chromium'
	@echo 'make notebooks  re-execute lessons and solutions, store clean outputs'
	@echo 'make exercises  make the exercises with stubs from the solutions'
	@echo 'make slides     slides of every lesson into slides/, to show without a network'
	@echo 'make release    the course for students, without solutions, into release/'
	@echo 'make grade SUBMISSIONS=folder  grade notebooks in nbgrader, into grades/'
	@echo 'make results    measure again what the README quotes (tests/benchmarks)'
	@echo 'make benchmarks training step and sampler beside their peers; over an hour'

lab: $(READY)
	$(PY) -m jupyterlab $(ROOT_FLAG) $(QUIET_LAB) notebooks/00_text_to_batches.ipynb

test: lint unit notebook-tests

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

unit: $(READY)
	$(PY) -m pytest --cov --cov-report=term --ignore tests/browser tests

notebook-tests: $(READY)
	$(PY) -m pytest --nbval --ignore notebooks/exercises \
		--nbval-kernel-name python3 --durations 5 notebooks

browser-tests: $(READY)
	$(PY) -m pytest --durations 5 tests/browser

notebooks: $(READY)
	$(PY) tests/execute_notebooks.py

exercises: $(TEACHING)
	$(PY) teaching/exercises.py

release: $(TEACHING)
	$(PY) teaching/release.py

grade: $(TEACHING)
	$(PY) teaching/grade.py "$(SUBMISSIONS)" \
		$(if $(filter no,$(SANDBOX)),--without-sandbox)

slides: $(TEACHING)
	$(PY) teaching/slides.py

results: $(READY)
	$(PY) tests/benchmarks/measure.py
	$(PY) tests/benchmarks/live_overhead.py
	$(PY) tests/benchmarks/picture.py

benchmarks: $(READY)
	$(PY) -m pip install --quiet -r .ci/requirements.txt
	$(PY) -m pip install --quiet --no-deps llms-from-scratch==1.0.19
	$(PY) tests/benchmarks/training_step.py --dropout 0.1
	$(PY) tests/benchmarks/training_step.py --dropout 0.0
	$(PY) tests/benchmarks/processes.py
	$(PY) tests/benchmarks/step_profile.py --dropout 0.1
	$(PY) tests/benchmarks/step_profile.py --dropout 0.0
	$(PY) tests/benchmarks/sampling.py
	$(PY) tests/benchmarks/large_corpus.py
	$(PY) tests/benchmarks/checkpoint_time.py

$(READY): requirements.txt pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
		"Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install -r requirements.txt
	@touch $(READY)

$(TEACHING): $(READY) teaching/requirements.txt
	$(PY) -m pip install --quiet -r teaching/requirements.txt
	@touch $(TEACHING)
