# Two commands do all the set-up: `make flights` runs the main pipeline, `make test` the tests.
# Both need Python >= 3.11 and a JDK 17 or 21; everything else comes from uv.lock.

UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
RUN := $(UV) run --quiet --frozen --all-extras

.PHONY: flights digits test check fast cluster images bench clean

flights: $(UV) ## Run the flights pipeline, from raw tables to a served model
	$(RUN) headrace run pipelines/flights

digits: $(UV) ## Run the digits pipeline
	$(RUN) headrace run pipelines/digits

test: check ## Everything that needs no cluster
	$(RUN) pytest -m "not cluster"

fast: $(UV) ## The tests that start no engine
	$(RUN) pytest -m "not cluster and not engine and not terraform"

check: $(UV) ## Style, types and layers
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports

CLUSTER_TESTS ?= tests

cluster: $(UV) ## The tests that need a Kubernetes cluster, on the current context
	$(RUN) pytest -m cluster $(CLUSTER_TESTS)

images: $(UV) ## The container images; make images REGISTRY=ghcr.io/acme pushes what is missing there
	python3 images/build.py $(if $(REGISTRY),--registry $(REGISTRY) --push) --values images/values.yaml $(ARGS)

bench: $(UV) ## The figures in the README; half an hour
	$(RUN) python bench/startup.py
	$(RUN) python bench/steps.py
	$(RUN) python bench/serving.py
	$(RUN) python bench/flights.py

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet uv

clean: ## What the tools left behind, but not .headrace
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
