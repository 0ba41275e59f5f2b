"""Notebooks and their sources: built, saved in JupyterLab, started here, elsewhere and on Colab."""
import os
import re
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import jupytext
import nbformat
import pytest
from jupytext.cli import jupytext as jupytext_command

from aminet import BadInput, __version__

ROOT = Path(__file__).resolve().parents[2]
PAIRED = "03_sa"  # the notebook that the tests edit, in a copy


def load(folder: Path) -> ModuleType:
    """The build.py of a folder."""
    specification = spec_from_file_location("build", folder / "build.py")
    assert specification and specification.loader
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


builder = load(ROOT / "notebooks")
every = pytest.mark.parametrize("source", builder.sources(), ids=lambda path: path.stem)


@every
def test_a_rebuild_changes_no_line(source):
    """With the same outputs: neither a cell, nor its id, nor any metadata."""
    path = source.with_suffix(".ipynb")
    rebuilt, built = builder.empty(source), nbformat.read(path, 4)
    assert len(rebuilt.cells) == len(built.cells), "run `make notebooks`"
    for cell, old in zip(rebuilt.cells, built.cells):
        if cell.cell_type == old.cell_type == "code":
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
    assert nbformat.writes(rebuilt) + "\n" == path.read_text(), "run `make notebooks`"
    assert not builder.out_of_date(source)


def test_there_is_one_address():
    assert re.search(r"github\.com/[\w-]+/[\w-]+$", builder.ADDRESS)
    pages = [*ROOT.glob("*.md"), ROOT / "CITATION.cff", *builder.sources()]
    assert {page.name: others for page in pages if (others := builder.other_addresses(page.read_text()))} == {}
    assert builder.other_addresses("https://github.com/a/b.git, colab.research.google.com/github/c/d/blob/main") == \
        {"github.com/a/b", "github/c/d"}


@pytest.fixture
def copy(tmp_path):
    """A copy of the course with one notebook; its build.py as a module."""
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("build.py", "jupytext.toml", f"{PAIRED}.py", f"{PAIRED}.ipynb"):
        shutil.copy2(ROOT / "notebooks" / name, tmp_path / "notebooks")
    return load(tmp_path / "notebooks")


def edit(notebook: nbformat.NotebookNode) -> None:
    """A new sentence in the first cell, a new cell at the end."""
    notebook.cells[0].source += "\n\nA new sentence."
    notebook.cells.append(nbformat.v4.new_code_cell("print('a new cell')\n\n", metadata={"tags": ["nbval-skip"]}))


@pytest.mark.parametrize("start", [".", "notebooks"])
def test_what_jupyterlab_saves_is_in_the_source(copy, start):
    source = copy.HERE / f"{PAIRED}.py"
    before = source.read_text()
    manager = jupytext.TextFileContentsManager(root_dir=str(copy.HERE.parent / start))
    path = f"{PAIRED}.ipynb" if start == "notebooks" else f"notebooks/{PAIRED}.ipynb"
    model = manager.get(path)
    manager.save(model, path)
    assert source.read_text() == before  # saving alone changes no line

    edit(model["content"])
    manager.save(model, path)
    lines = source.read_text().splitlines()
    assert [line for line in lines if line not in before.splitlines()] == \
        ["# A new sentence.", '# %% tags=["nbval-skip"]', "print('a new cell')"]
    assert copy.empty(source).cells[-1].source == "print('a new cell')"
    assert copy.out_of_date(source) and not copy.reason_not_to_build(source)


def test_what_another_editor_saves_is_not_lost(copy, monkeypatch, capsys):
    source = copy.HERE / f"{PAIRED}.py"
    before = source.read_text()
    notebook = nbformat.read(source.with_suffix(".ipynb"), 4)
    edit(notebook)
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    saved = source.with_suffix(".ipynb").read_bytes()

    for words in (["build.py"], ["build.py", "03"]):
        monkeypatch.setattr(sys, "argv", words)
        assert copy.main() == 2
        line = capsys.readouterr().err
        assert line.startswith(f"build: {PAIRED}.ipynb was edited") and line.count("\n") == 1
    assert source.read_text() == before and source.with_suffix(".ipynb").read_bytes() == saved

    monkeypatch.chdir(copy.HERE.parent)
    jupytext_command(re.findall("`jupytext (.+)`", line)[0].split())  # the advice works
    assert "# A new sentence.\n" in source.read_text() and not copy.reason_not_to_build(source)


def test_a_source_with_another_address_is_not_built(copy):
    source = copy.HERE / f"{PAIRED}.py"
    source.write_text(source.read_text().replace("clone", "clone https://github.com/somebody/else"))
    assert copy.reason_not_to_build(source).startswith(f"{PAIRED}.py has github.com/somebody/else, pyproject.toml has ")


def start_of(source: Path) -> tuple[str, str]:
    """The parameters cell and the set-up cell."""
    cells = builder.empty(source).cells
    assert [cell.metadata.get("tags") for cell in cells[1:3]] == [["parameters"], ["setup"]]
    return cells[1].source, cells[2].source


NO_TEXT = ["5", "True", "['a', 'b']", "{'a': 1}"]
NO_NUMBER = ["'abc'", "True", "None", "[1]", "-1", "float('nan')", "float('inf')"]
WRONG = {bool: ["'false'", "0", "None"], int: [*NO_NUMBER, "1.5", "10**400 * -1"], float: NO_NUMBER, str: NO_TEXT}
# Of a parameter's own type, and wrong: a text that is empty, or names nothing; what does not fit to the others.
NOTHING = ["'no such thing'", "'no/such.zip'", f"{'x' * 300!r}", "'a\\0b'", "'a\\x1b[2J\\nb'"]
ANY = ("own", "start", "records", "picture", "rerun")  # may be empty
VALUES = {"out": ["'pyproject.toml'", "'pyproject.toml/run'"], "resume": ["True"], "scale": ["'mini'"],
          "batch": ["5000"], "snapshots": ["7"], "FACES": ["1"], "warmup": ["1"], "ema": ["1"], "width": ["2000"],
          "seed": ["2**63"], "SEED": ["2**63"]}
VALUES |= {name: [*VALUES.get(name, []), "0"] for name in (
    "images", "batch", "snapshots", "steps", "SEEDS", "FACES", "synthetic", "lr", "d_lr", "width", "val_every")}


@every
def test_every_parameter_is_checked(source, monkeypatch):
    """In the first cell after it, whatever is wrong with it: its type, its value, what it names."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", ["", *sys.path])  # as in a kernel
    parameters, setup = start_of(source)
    names: dict = {"In": ["", parameters]}
    exec(parameters, names)
    defaults = {name: value for name, value in names["PARAMETERS"].items() if type(value) in WRONG and name[0] != "_"}
    assert defaults
    exec(setup, names)
    exec(setup, names | {"mine": 3, "os": os})  # again, and after other cells
    for name, default in defaults.items():
        values = WRONG[type(default)] + VALUES.get(name, [])
        if isinstance(default, str) and name != "out":
            values = values + NOTHING + ["''"] * (name not in ANY)
        for value in values:
            with pytest.raises(BadInput) as refused:
                exec(setup, names | {"In": ["", parameters, f"# Parameters\n{name} = {value}\n"]})
            line = str(refused.value)
            assert re.match(f"{name} is |rerun is '': give the names of runs of scale mini", line), (value, line)
            assert line.isprintable() and len(line) < 1000


@pytest.mark.parametrize("folder", ["", "notebooks", "docs/static"])
def test_it_starts_anywhere_in_a_clone_of_any_name(monkeypatch, tmp_path, folder):
    """Nothing is cloned or installed: there is no `get_ipython` here."""
    (tmp_path / "aminet-main" / "docs" / "static").mkdir(parents=True)
    (tmp_path / "aminet-main" / "notebooks").symlink_to(ROOT / "notebooks")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path / "aminet-main" / folder)
    parameters, setup = start_of(ROOT / "notebooks" / "A_symbols_and_shapes.py")
    names: dict = {"In": ["", parameters]}
    exec(parameters, names)
    exec(setup, names)
    assert Path(names["place"]).resolve() == ROOT / "notebooks" and names["preset_name"] == "aminet"


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """A folder like Colab's; a kernel that notes its commands, and where `cd` leads if the clone works."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))

    def kernel(clone_works: bool):
        commands = []
        shell = SimpleNamespace(
            system=commands.append,
            run_line_magic=lambda *words: monkeypatch.chdir(ROOT / "notebooks") if clone_works else None)
        return {"get_ipython": lambda: shell}, commands
    return kernel


def test_colab_clones_this_version_once(colab):
    parameters, setup = start_of(builder.sources()[0])
    names, commands = colab(clone_works=True)
    names["In"] = ["", parameters]
    exec(parameters, names)
    exec(setup, names)
    exec(setup, names)
    assert len(commands) == 1
    clone, install = commands[0].split(" && ")
    assert clone.startswith("git clone") and f" -b v{__version__} https://{builder.ADDRESS} /content/aminet" in clone
    assert install == "pip install -q -r /content/aminet/notebooks/colab.txt"


def test_a_start_without_the_course_says_so(colab, monkeypatch):
    parameters, setup = start_of(builder.sources()[0])
    names, commands = colab(clone_works=False)
    exec(parameters, names)
    with pytest.raises(FileNotFoundError, match="^start in a folder of the course's clone .*Colab: see above"):
        exec(setup, names)
    assert len(commands) == 1

    monkeypatch.delitem(sys.modules, "google.colab")  # elsewhere nothing is fetched
    with pytest.raises(FileNotFoundError, match="^start in a folder of the course's clone"):
        exec(setup, names)
    assert len(commands) == 1
