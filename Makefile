# make setup   a virtual environment in .venv with everything that the demo and the tests need (Python 3.11)
# make demo    the bundled portrait -> out/demo/astronaut.blend, preview.png, report.json
# make results the built-in weights' wrinkles on public-domain photos -> docs/results.png and docs/results.md
# make test    lint, types and all tests; the Blender tests also run on bpy 5.2 where Python 3.13 is found. Tests run
#                side by side, one per core up to four; `make test JOBS=1` says how many (each takes up to 2 GB)
# make test-blender-all   the checks in Blender on 4.2, 4.5, 5.2 and 5.3
# make test-blender   the add-on in a real Blender with a window; skipped where there is no Linux or no root
#                (tools/real_blender.sh makes that Blender at the first time, from Debian's packages)
# make pictures   the documentation's pictures of the add-on, in that Blender
# make docs    the documentation as a site in out/site
# make lock    pins what *Install Backend* installs anew: the newest versions that constraints.txt lets in
# python -m tools.translations   brings the add-on's languages up to date with its words
# make release the extension, its repository and page, and the wheel in dist/release
# make mutants do the tests notice small mistakes? (tests/mutants.toml; an hour)
# Where there is no make: `python3.11 -m tools.setup`, then the commands below

PYTHON ?= python3.11
VENV := .venv
VENV_52 := .venv-bpy52
JOBS ?= $(shell $(VENV)/bin/python -c "import os; print(min(4, os.cpu_count() or 1))")
BLENDER_ROOT ?= $(HOME)/.cache/deca-blender/blender

.PHONY: setup demo results test test-blender test-blender-all lint pictures docs lock release mutants clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m tools.setup

# The second Blender of the test matrix; bpy 5.2 exists for Python 3.13 only, so it is skipped where that is missing.
$(VENV_52)/.ready:
	@$(PYTHON) -m tools.setup --blender 5.2

demo: setup
	$(VENV)/bin/python tools/demo.py --out out/demo

results: setup
	$(VENV)/bin/python tools/results.py --out docs

lint: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright

test: lint $(VENV_52)/.ready
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist worksteal

test-blender: setup
	@if reason=$$(tools/real_blender.sh check); then \
	  { [ -x "$(BLENDER_ROOT)/usr/bin/blender" ] || tools/real_blender.sh make "$(BLENDER_ROOT)"; } && \
	  DECA_WINDOW_ROOT="$(BLENDER_ROOT)" $(VENV)/bin/python -m pytest tests/window -s; \
	else echo "test-blender: SKIPPED here: $$reason."; fi

test-blender-all: setup $(VENV_52)/.ready
	$(PYTHON) -m tools.setup --blender 4.2 --blender 5.3
	OMP_NUM_THREADS=1 DECA_BPY_PYTHONS=.venv-bpy42/bin/python:.venv-bpy53/bin/python \
	  $(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist worksteal tests/blender

$(BLENDER_ROOT)/usr/bin/blender:
	tools/real_blender.sh make "$(BLENDER_ROOT)"

pictures: setup $(BLENDER_ROOT)/usr/bin/blender
	$(VENV)/bin/python tools/picture_panels.py --blender "$(BLENDER_ROOT)"

docs: setup
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build

lock: setup
	$(VENV)/bin/python -m tools.lock --upgrade

release: setup
	$(VENV)/bin/python -m tools.release

mutants: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tools.mutants

clean:
	rm -rf out build dist
