# make setup   a virtual environment in .venv with everything that the demo and the tests need (Python 3.11)
# make demo    the bundled portrait -> out/demo/astronaut.blend, preview.png, report.json
# make results the built-in weights' wrinkles on public-domain photos -> docs/results.png and docs/results.md
# make test    lint, types and all tests; the Blender tests also run on bpy 5.2 where Python 3.13 is found. Tests run
#                side by side, one per core up to four; `make test JOBS=1` says how many (each takes up to 2 GB)
# make test-blender   the add-on in a real Blender with a window; skipped where there is no Linux or no root
#                (tools/real_blender.sh makes that Blender at the first time, from Debian's packages)

PYTHON ?= python3.11
PYTHON313 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python) $(shell command -v python3.13))
VENV := .venv
VENV_52 := .venv-bpy52
JOBS ?= $(shell $(VENV)/bin/python -c "import os; print(min(4, os.cpu_count() or 1))")
BLENDER_ROOT ?= $(HOME)/.cache/deca-blender/blender

.PHONY: setup demo results test test-blender lint clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --upgrade pip
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[test,lint,blender,demo,train]'
	touch $@

# The second Blender of the test matrix; bpy 5.2 exists for Python 3.13 only, so it is skipped where that is missing.
$(VENV_52)/.ready:
	@if [ -n "$(PYTHON313)" ]; then \
	  "$(PYTHON313)" -m venv $(VENV_52) && $(VENV_52)/bin/pip install --quiet 'bpy==5.2.*' safetensors && touch $@; \
	else echo "Python 3.13 not found: the Blender 5.2 tests will be skipped"; fi

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

clean:
	rm -rf out build dist
