"""The static contract of the course: every .ipynb is its source, executed in order, small, and mirrors the package."""
import ast
import json
import re
from functools import cache
from pathlib import Path

import jupytext
import mistune
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9A]*_*.py"))
COURSE = ["00_a_first_face", "01_the_problem", "02_measuring_a_face", "03_sa", "04_rdfe", "05_skaf", "06_lgfi",
          "07_edff", "08_aminet_and_its_bill", "09_train_aminet", "10_train_amigan", "11_ablations",
          "12_comparisons", "13_compared_gans", "A_symbols_and_shapes"]
PRIVATE = re.compile(r"(?<![\w.:/])/(?:home|root|work|mnt|tmp|Users)/")  # a folder of somebody's machine
every = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


@cache
def pair(source: Path) -> tuple[list, list, dict]:
    """The cells of a source, those of its notebook, and the notebook's metadata."""
    built = nbformat.read(source.with_suffix(".ipynb"), 4)
    return jupytext.read(source).cells, built.cells, built.metadata


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def verdicts(cell) -> list[str]:
    """What `grade` said in a cell, in order."""
    text = "".join(output.get("text", "") for output in cell.outputs)
    return re.findall(r"^(not yet|right)(?=: |$)", text, re.M)


def test_the_course_is_whole():
    assert [source.stem for source in SOURCES] == COURSE
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == sorted(COURSE)


@every
def test_the_notebook_is_its_source(source):
    ours, built, metadata = pair(source)
    assert [(c.cell_type, c.source, tags(c)) for c in ours] == [(c.cell_type, c.source, tags(c)) for c in built], \
        "run `make notebooks`"
    assert set(metadata) == {"kernelspec", "language_info", "source"}  # no widget state: GitHub cannot show it


@every
def test_it_was_executed_top_to_bottom(source):
    code = [cell for cell in pair(source)[1] if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert any({"image/png", "image/jpeg"} & set(o.get("data", {})) for cell in code for o in cell.outputs)


@every
def test_its_tables_are_tables(source):
    """A cell of a Markdown table that holds a bar cuts the row on one page and breaks the table on another."""
    render = mistune.create_markdown(plugins=["table"])
    for cell in pair(source)[1]:
        outputs = [o.get("data", {}).get("text/markdown", "") for o in cell.get("outputs", [])]
        for text in [cell.source] * (cell.cell_type == "markdown") + outputs:
            assert render(text).count("<table>") == len(re.findall(r"^\|[-:| ]+\|$", text, re.M)), text


@every
def test_its_size(source):
    cells = pair(source)[1]
    assert 20 <= len(cells) <= 50
    assert max(len(cell.source.splitlines()) for cell in cells if cell.cell_type == "code") <= 40
    assert source.with_suffix(".ipynb").stat().st_size <= 500 * 1024


@every
def test_its_frame(source):
    cells = pair(source)[0]
    number = source.stem.split("_")[0]
    first = cells[0].source
    assert first.startswith(f"# {number} · ") and "You will be able to" in first and "on a CPU" in first
    assert f"colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/{source.stem}.ipynb" in first
    position = COURSE.index(source.stem)
    for neighbour in COURSE[max(0, position - 1):position] + COURSE[position + 1:position + 2]:
        assert f"]({neighbour}.ipynb)" in first
    assert tags(cells[1]) == ["parameters"]
    assert cells[1].source.rstrip().endswith('PARAMETERS = {*globals(), "PARAMETERS"}')
    assert tags(cells[2]) == ["setup"] and cells[2].source == pair(SOURCES[0])[0][2].source
    assert any("What to remember" in cell.source for cell in cells[-3:])


@every
def test_its_links_and_its_words(source):
    for cell in pair(source)[0]:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(((?!http|#)[^)\s]+)\)", cell.source):
                assert (source.parent / target).exists(), target
    assert not PRIVATE.search(source.read_text())


@every
def test_its_exercises(source):
    """Every stub fails its check; in every solution cell one wrong answer fails and the right one passes."""
    cells = pair(source)[1]
    stubs = [cell for cell in cells if "exercise" in tags(cell)]
    solutions = [cell for cell in cells if "solution" in tags(cell)]
    assert 1 <= len(stubs) == len(solutions) <= 4
    for stub, solution in zip(stubs, solutions):
        assert set(verdicts(stub)) == {"not yet"}
        assert verdicts(solution)[0] == "not yet" and verdicts(solution)[-1] == "right"


def definitions(code: str) -> dict[str, str]:
    """Functions and classes of a source as syntax trees, docstrings aside."""
    found = {}
    for node in ast.parse(code).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            for part in ast.walk(node):
                if isinstance(part, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(part) is not None:
                    part.body = part.body[1:] or [ast.Pass()]
            found[node.name] = ast.dump(node)
    return found


@every
def test_mirrors(source):
    """A cell tagged mirror:FILE defines what FILE defines."""
    for cell in pair(source)[0]:
        for tag in tags(cell):
            if tag.startswith("mirror:"):
                package = definitions((ROOT / tag.removeprefix("mirror:")).read_text())
                ours = definitions(cell.source)
                assert ours, "a mirror cell defines something"
                for name, tree in ours.items():
                    assert tree == package.get(name), f"{name} differs from {tag.removeprefix('mirror:')}"


@pytest.mark.parametrize("module, names", [
    ("sa", {"SelfAttention"}), ("rdfe", {"AttentionUnit", "Hourglass", "FeatureRefinement", "RDFE"}),
    ("skaf", {"SKAF"}), ("lgfi", {"LGFI"}), ("edff", {"EDFF"}), ("model", {"down", "up", "AMINet"}),
])
def test_every_module_of_the_paper_is_taught(module, names):
    taught = set()
    for source in SOURCES:
        for cell in pair(source)[0]:
            if f"mirror:aminet/{module}.py" in tags(cell):
                taught |= set(definitions(cell.source))
    assert names <= taught


def test_outputs_carry_no_path_of_a_machine():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        outputs = json.dumps([cell.get("outputs") for cell in json.loads(path.read_text())["cells"]])
        assert not PRIVATE.search(outputs) and "site-packages" not in outputs, path.name
