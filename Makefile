# The two commands: `make course` reads the course to the end, `make test` checks everything. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help course site test audit notebooks student readme speed lab clean

help:
	@echo "make course     run every notebook, and build the site of what it ran in runs/site"
	@echo "make site       build the site from the notebooks as they are, in build/site"
	@echo "make test       unit tests, notebook contract, outputs of every notebook, a papermill run"
	@echo "make audit      known security advisories of the installed packages, by pip-audit (needs a network)"
	@echo "make notebooks  rebuild the notebooks whose .py changed"
	@echo "make student    the notebooks without solutions and outputs, in student/"
	@echo "make readme     write the numbers of README.md and RESULTS.md from the records"
	@echo "make speed      how fast, against the limits of the machine"
	@echo "make lab        open the course in JupyterLab"

.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "aminet needs Python 3.10 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -e '.[course,test]'
	@touch $@

course: .venv/ready
	@mkdir -p runs; n=0; total=$$(ls notebooks/*.ipynb | wc -l); \
	for notebook in notebooks/*.ipynb; do \
	  n=$$((n+1)); name=$$(basename $$notebook .ipynb); start=$$(date +%s); \
	  $(BIN)/papermill $$notebook runs/$$name.ipynb --cwd notebooks --no-progress-bar --log-level ERROR >runs/$$name.log 2>&1 \
	    || { echo "[$$n/$$total] $$name: FAILED, see runs/$$name.log"; exit 1; }; \
	  echo "[$$n/$$total] $$name: $$(( $$(date +%s) - start )) s"; \
	done
	$(BIN)/python docs/make.py --notebooks runs --out runs/site

site: .venv/ready
	$(BIN)/python docs/make.py

# Two workers: with more threads than cores they wait for each other.
test: export OMP_NUM_THREADS = 1
test: .venv/ready
	$(BIN)/ruff check -q aminet data docs figures notebooks tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=10 --nbval tests notebooks

# In an environment of its own, so that .venv stays what pyproject.toml says.
audit: .venv/ready
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install -q --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --skip-editable --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

notebooks: .venv/ready
	$(BIN)/python notebooks/build.py

student: .venv/ready
	$(BIN)/python notebooks/build.py --student student

readme: .venv/ready
	$(BIN)/python figures/readme.py

speed: .venv/ready
	$(BIN)/python -m aminet bench

lab: .venv/ready
	cd notebooks && ../$(BIN)/jupyter lab

clean:
	rm -rf .venv runs build *.egg-info
