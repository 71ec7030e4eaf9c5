.DEFAULT_GOAL := help
.PHONY: help doctor review setup setup-dev repro share page test test-cluster test-slow test-walk test-faults verify reproduce-check lint ui \
	predict experiments bench bench-transfer audit readme lock clean

JOBS ?= auto
# Where PyTorch publishes its builds without CUDA.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# By its path in every recipe: GNU make 3.81, which macOS has, looks for a recipe's program on the
# PATH that it was started with.
PY := .venv/bin/python

# The user's values reach the recipes through the environment, as they are: no $, quote or space in
# a file's name means anything to make or to the shell.
$(foreach name,BASE ENGINE ENGINE_ADDRESS EXTRAS GPUS IMAGE JOBS KEYS PORT PYTHON SBATCH SEEDS TORCH TORCH_INDEX,$(eval override export $(name) := $$(value $(name))))
export PYTHONPATH := $(CURDIR)/src
# What an outer tool set for a Python of its own.
unexport PYTHONHOME PYTHONSAFEPATH PYTHONSTARTUP PYTHONOPTIMIZE PYTHONINSPECT PYTHONEXECUTABLE
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

# The door, through the interpreter of .venv; where there is none that runs, through the first Python
# that is new enough; PYTHON=... names another.
DOOR = @if $(PY) -c '' 2>/dev/null; then exec $(PY) -m cifar_tricks $(1); fi; \
	if [ -n "$$PYTHON" ]; then set -- "$$PYTHON"; \
	else set -- python3 python3.14 python3.13 python3.12 python3.11; fi; \
	for python do "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
	exec "$$python" -m cifar_tricks $(1); done; \
	echo "error: Python 3.11 or newer is needed; PYTHON=... names one" >&2; exit 2

SETUP = setup --torch "$$TORCH" --torch-index "$$TORCH_INDEX" --extras "$$EXTRAS"
# It looks whether .venv is what the locks say.
setup: ## make or renew .venv from the locks (TORCH=cpu: without CUDA; EXTRAS="ray postgres")
	$(call DOOR,$(SETUP))

setup-dev: ## likewise, with what tests and linting need
	$(call DOOR,$(SETUP) --dev)

doctor: ## what this machine has and lacks for the study, a line each; before setup too
	$(call DOOR,doctor)

# ENGINE=ray or slurm: docs/cluster.md.
ON_ENGINE = --engine "$${ENGINE:-local}" --engine-address="$$ENGINE_ADDRESS" --gpus="$$GPUS" --sbatch="$$SBATCH"
repro: setup ## the whole study: data, trainings, report (JOBS=2 trainings at once)
	@$(PY) -m cifar_tricks repro --jobs "$$JOBS" $(ON_ENGINE)

# It reads `scale` from params.yaml. KEYS: variants, all where empty.
share: setup ## train one's part of the study and put it on record (SEEDS=0-2 KEYS="model1-adam ...")
	@$(PY) -m cifar_tricks share --jobs "$$JOBS" --seeds "$${SEEDS:-all}" $(ON_ENGINE) \
		$(if $(WEIGHTS),--weights) -- "$$KEYS"

page: setup ## the report of what is trained or on record so far; trains nothing
	@$(PY) -m cifar_tricks page

test: setup-dev ## the test suite, without network
	$(PY) -m pytest

test-cluster: setup-dev ## servers and nodes of a cluster on this machine; EXTRAS="ray postgres s3 s3-server"
	$(PY) -m pytest -m cluster -n 0

test-slow: setup-dev ## the heavy checks
	$(PY) -m pytest -m slow

test-walk: setup-dev ## every command of the README in fresh clones, and what each shows
	$(PY) -m pytest -m walk -n 0

# A quarter of an hour: kills, full disks, damaged files, stores and servers that fail, hostile input, load.
test-faults: setup-dev ## inject every fault that the study promises to survive; ends with a table
	FAULTS_TABLE=docs/faults.md $(PY) -m pytest -m fault

review: setup ## check the records that differ from BASE=origin/main, train one of them again
	@$(PY) -m cifar_tricks review --base "$${BASE:-origin/main}" --train

verify: setup ## compare every byte that is kept with its hash (REPAIR=1 restores what it can)
	@$(PY) -m cifar_tricks verify $(if $(REPAIR),--repair)

reproduce-check: setup ## two fresh clones, the quick study in each: are all bytes the same?
	@$(PY) -m cifar_tricks reproduce-check

lint: setup-dev ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

ui: setup ## compare the runs in MLflow (PORT=5000)
	@$(PY) -m cifar_tricks ui --port "$$PORT" --hosts "$$UI_HOSTS"

predict: setup ## what the best net takes a photo for (IMAGE=photo.jpg)
	@$(PY) -m cifar_tricks predict -- "$$IMAGE"

# Of all the columns, these and the parameters that differ; --md, because DVC's own table leaves out
# what does not fit into 80 characters where it is not written to a terminal.
SHOWN := test_accuracy|validation_accuracy|model$$|trick$$
DROPPED := .*/|params\.yaml|.*\.(jpe?g|JPE?G|png|PNG|webp)$$|State|Executor|Created|train_accuracy|test_loss|num_|seeds$$|reference$$|baseline_|improve_|transfer$$

experiments: setup ## DVC's experiments in a narrow table
	@$(PY) -m dvc exp show --no-pager --md --precision 4 --hide-workspace --only-changed --keep '$(SHOWN)' --drop '$(DROPPED)'

bench: setup ## images per second beside the usual DataLoader loop
	$(PY) benchmarks/trainers.py

bench-transfer: setup ## time and memory of transfer learning, its frozen layers cached or not
	$(PY) benchmarks/transfer.py

audit: setup ## known vulnerabilities of the pinned packages (asks pypi.org)
	$(PY) -m uv tool run --from pip-audit==2.10.1 pip-audit --strict --requirement requirements.lock --require-hashes --disable-pip

readme: setup ## write the README's tables of results from the committed reports
	@$(PY) -m cifar_tricks readme

COMPILE = $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
lock: setup ## renew the lock files from pyproject.toml
	$(COMPILE) --group bootstrap -o requirements-bootstrap.lock
	$(COMPILE) pyproject.toml --extra study -o requirements.lock
	$(COMPILE) --group dev -c requirements.lock -o requirements-dev.lock
	for group in postgres ray s3 s3-server; do $(COMPILE) --group $$group -c requirements.lock -c requirements-dev.lock \
		-o requirements-$$group.lock || exit; done

clean: ## remove runs, logs and downloaded data (DVC's cache and the reports stay)
	rm -rf data runs logs resume
