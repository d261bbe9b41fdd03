# make reproduce [STUDY=toy|mini|paper|file.yml] [PROFILE=local|slurm|folder in profiles] [JOBS=cores at most] [GPU_RUNS=runs at once on GPUs]
# make check  make test   make book   make pdf   make lab   make plan   make study   make data   make prepare   make bench [DEVICE=cpu|cuda] [SHORT=1]
STUDY ?= toy
PYTHON ?= python3
VENV ?= .venv
PROFILE = local
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Snakemake keeps a cache in HOME; where that cannot be written, here.
ifneq ($(shell mkdir -p "$${XDG_CACHE_HOME:-$$HOME/.cache}" 2>/dev/null; test -w "$${XDG_CACHE_HOME:-$$HOME/.cache}" && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake
endif
# In the locale C, Python does not start where the package lies under a path with accents.
ifneq ($(filter C POSIX,$(LC_ALL)),)
export LC_ALL := C.UTF-8
endif
# Take what the user gives as it is, and quote it for the shell: a path may have spaces, quotes, backticks and dollar signs.
unexport STUDY NAME IMAGES WEIGHTS ROOT PROFILE
quoted = '$(subst ','\'',$(value $(1)))'
# Snakemake reads a setting as YAML, after it cut quotes off both ends. So quote STUDY for YAML, and put spaces around it.
YAML_STUDY := $() '$(subst ','',$(value STUDY))' $()

SNAKEMAKE = @test -w . || { echo "make: cannot write to $$PWD; accepted: a copy that you can write to" >&2; exit 1; }; \
  $(BIN)/python -m snakemake --profile profiles/$(call quoted,PROFILE) $(if $(JOBS),--cores "$(JOBS)") \
	$(if $(GPU_RUNS),--resources gpu="$(GPU_RUNS)") --quiet rules host reason --config study=$(call quoted,YAML_STUDY)

# Two processes of one thread each; tests that share something run in one of them.
TESTS = OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

.PHONY: reproduce check test book pdf lab plan study data prepare bench lock browser
.DEFAULT_GOAL := reproduce

reproduce: $(READY)
	$(SNAKEMAKE)

# While you edit: style, types, and the tests that need no book, browser, cluster or long run.
check: $(READY)
	$(BIN)/python -m ruff check src tests && $(BIN)/python -m mypy
	$(TESTS) -m "not book and not browser and not slurm and not slow"

test: $(READY) browser
	$(BIN)/python -m ruff check src tests && $(BIN)/python -m mypy && $(TESTS)

book: reproduce

# The whole book on paper, printed by the browser that the tests use.
pdf: $(READY) browser
	$(SNAKEMAKE) -- _build/html/book.pdf

lab: $(READY)
	$(BIN)/python -m jupyter lab notebooks/90_playground.ipynb

plan: $(READY)
	$(BIN)/python -m pretraining_gain.plan $(call quoted,STUDY)

# make study NAME=my_birds IMAGES=~/photos [WEIGHTS=file or name]: writes my_birds.yml and my_birds_species.csv.
study: $(READY)
	$(BIN)/python -m pretraining_gain.new_study $(call quoted,NAME) $(call quoted,IMAGES) $(if $(value WEIGHTS),--weights $(call quoted,WEIGHTS)) $(if $(value ROOT),--root $(call quoted,ROOT))

data: $(READY)
	$(BIN)/python -m pretraining_gain.data $(call quoted,STUDY)

prepare: $(READY)
	$(BIN)/python -m pretraining_gain.prepare $(call quoted,STUDY)

bench: $(READY)
	$(BIN)/python -m pretraining_gain.bench $(if $(DEVICE),--device "$(DEVICE)") $(if $(SHORT),--short)

# setuptools builds no package under a path with braces. There, another environment makes all wheels first.
ifneq ($(findstring {,$(CURDIR)),)
WHEELS = made=$$(mktemp -d) && trap 'rm -r "$$made"' EXIT && $(PYTHON) -m venv "$$made/venv" && \
  "$$made/venv/bin/python" -m pip wheel -q --no-deps -r requirements.lock -w "$$made/wheels" && PIP_FIND_LINKS="$$made/wheels"
endif

# One environment, made once from exact versions. torch comes for CPU or CUDA, whichever the machine's pip is set up for.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else 'Python 3.11 to 3.13 is needed, this is ' + sys.version.split()[0] + '; try make PYTHON=python3.11')"
	@echo "Setting up $(VENV) (once; a few minutes, about 2 GB; with CUDA libraries more)"
	$(PYTHON) -m venv "$(VENV)" && $(WHEELS) $(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e . && touch "$(READY)"

# Exact versions from pyproject.toml. Local version labels are cut off and CUDA's packages left to torch itself, so one
# lock serves CPU and CUDA.
lock: $(READY)
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile -q --all-extras --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-annotate -o requirements.lock pyproject.toml
	sed -i.bak -e '/^--/d' -e 's/+cpu$$//' -e '/^nvidia-/d' -e '/^triton==/d' requirements.lock && rm requirements.lock.bak

# The tests open the book in a real browser: the system's Chromium or Chrome, else Playwright's own.
browser: $(READY)
	@$(BIN)/python -c 'import shutil, sys; from pretraining_gain.tell.book.pdf import CHROMIUMS; sys.exit(not any(map(shutil.which, CHROMIUMS)))' && exit 0; \
	echo "Getting Chromium for the tests (once; about 0.5 GB)"; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y chromium >/dev/null; then exit 0; fi; \
	$(BIN)/python -m playwright install chromium
