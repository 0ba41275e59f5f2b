"""The static contract of the course: every .ipynb is its source, executed in order, small, and mirrors the package."""
import ast
import json
import re
from collections.abc import Collection
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
          "12_comparisons", "13_compared_gans", "14_faces_at_work", "15_where_it_fails", "A_symbols_and_shapes"]
PRIVATE = re.compile(r"(?<![\w.:/])/(?:home|root|work|mnt|tmp|Users)/")  # a folder of somebody's machine
every = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


@cache
def pair(source: Path) -> tuple[list, list]:
    """The cells of a source, and those of its notebook."""
    return jupytext.read(source).cells, nbformat.read(source.with_suffix(".ipynb"), 4).cells


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def verdicts(cell) -> list[str]:
    """What `check` said in a cell, in order."""
    text = "".join(output.get("text", "") for output in cell.outputs)
    return re.findall(r"^(your turn|not yet|right)(?=: |$)", text, re.M)


def test_the_course_is_whole():
    assert [source.stem for source in SOURCES] == COURSE
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == sorted(COURSE)


@every
def test_it_was_executed_top_to_bottom(source):
    code = [cell for cell in pair(source)[1] if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert any({"image/svg+xml", "image/jpeg"} & set(o.get("data", {})) for cell in code for o in cell.outputs)


@every
def test_its_tables_are_tables(source):
    """A cell of a Markdown table that holds a bar cuts the row on one page and breaks the table on another."""
    render = mistune.create_markdown(plugins=["table"])
    for cell in pair(source)[1]:
        outputs = [o.get("data", {}).get("text/markdown", "") for o in cell.get("outputs", [])]
        for text in [cell.source] * (cell.cell_type == "markdown") + outputs:
            assert render(text).count("<table>") == len(re.findall(r"^\|[-:| ]+\|$", text, re.M)), text


@every
def test_its_figures_have_words_of_their_own(source):
    said = [words["alt"] for cell in pair(source)[1] for output in cell.get("outputs", [])
            for words in output.get("metadata", {}).values() if "alt" in words]
    assert said and "a figure" not in said  # what a figure without label, title and names of axes is called


@pytest.mark.parametrize("path", [*SOURCES, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.stem)
def test_folded_boxes_end(path):
    """A box without its end folds all that follows."""
    assert not "".join(re.findall(r"</?details>", path.read_text())).replace("<details></details>", "")


@every
def test_its_size(source):
    cells = pair(source)[1]
    assert 20 <= len(cells) <= 52
    assert max(len(cell.source.splitlines()) for cell in cells if cell.cell_type == "code") <= 40
    assert source.with_suffix(".ipynb").stat().st_size <= 1536 * 1024  # faces at their size, on a fine screen


@every
def test_its_frame(source):
    cells = pair(source)[0]
    number = source.stem.split("_")[0]
    first = cells[0].source
    assert first.startswith(f"# {number} · ") and "You will be able to" in first and "on a CPU" in first
    assert re.search(rf"colab\.research\.google\.com/github/\S+/blob/main/notebooks/{source.stem}\.ipynb\)", first)
    position = COURSE.index(source.stem)
    for neighbour in COURSE[max(0, position - 1):position] + COURSE[position + 1:position + 2]:
        assert f"]({neighbour}.ipynb)" in first
    assert tags(cells[1]) == ["parameters"]
    assert cells[1].source.endswith("\nPARAMETERS = dict(globals())")
    assert tags(cells[2]) == ["setup"] and cells[2].source == pair(SOURCES[0])[0][2].source
    assert any("What to remember" in cell.source for cell in cells[-3:])


@every
def test_its_links_and_its_words(source):
    for cell in pair(source)[0]:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(((?!http|#)[^)\s]+)\)", cell.source):
                assert (source.parent / target.partition("#")[0]).exists(), target
    assert not PRIVATE.search(source.read_text())


@every
def test_its_exercises(source):
    """No stub passes its check, every solution does, folded; the wrong answers have a test of their own."""
    cells = pair(source)[1]
    stubs = [cell for cell in cells if "exercise" in tags(cell)]
    solutions = [cell for cell in cells if "solution" in tags(cell)]
    assert 1 <= len(stubs) == len(solutions) <= 4
    for stub, solution in zip(stubs, solutions):
        assert verdicts(stub) == ["your turn"] and verdicts(solution) == ["right"]
        assert re.findall(r'check\("(.+?)"', stub.source) == re.findall(r'check\("(.+?)"', solution.source) != []
        assert solution.metadata["jupyter"] == {"source_hidden": True} and "hint" not in stub.source


CHAPTERS = {"degrade", "protocol", "sa", "rdfe", "skaf", "lgfi", "transformer", "edff", "config", "model", "ledger",
            "train", "amigan"}
WORKSHOP = {"__init__", "__main__", "errors", "files"}  # of aminet's first level, what is no chapter
# What no notebook repeats of the chapters, and why: whole files, or public names of them.
EXCUSES = {
    "names, values and checks of settings; notebooks explain each where it acts": ["config", "train.Recipe"],
    "checks of types and shapes, or types alone": ["protocol.pair", "train.Game"],
    "notebook 00's lines in batches": ["train.restore"],
    "a triple of counts; notebook 08 sums them over the network in its own words": [
        "ledger.Cost", "ledger.bill", "ledger.halving", "ledger.doubling"],
    "counts by PyTorch and by thop, and what they are run on": [
        "ledger.blank", "ledger.counted", "ledger.thop_counted", "ledger.thop_if_there"],
    "the published counts, and the printed table": [
        "ledger.value_of", "ledger.match", "ledger.entry", "ledger.ledger", "ledger.format_ledger"],
}
NOT_TAUGHT = [name for names in EXCUSES.values() for name in names]


def definitions(code: str) -> list[tuple[str, str]]:
    """The functions and classes of a source's top level, and the syntax tree of each, docstrings aside."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in ast.parse(code).body if isinstance(node, kinds)]
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, kinds) and ast.get_docstring(part) is not None:
                part.body = part.body[1:] or [ast.Pass()]
    return [(node.name, ast.dump(node)) for node in nodes]


def mirror_problems(notebooks: dict[str, str], chapters: dict[str, str], not_taught: Collection[str]) -> list[str]:
    """What is wrong between the code of notebooks and of the package's chapters, both by name.

    What a notebook defines under a name of the package must be the package's, and what a chapter defines in public
    must be in a notebook, or among `not_taught`.
    """
    lessons = [(notebook, *definition) for notebook, code in notebooks.items() for definition in definitions(code)]
    package = [(chapter, *definition) for chapter, code in chapters.items() for definition in definitions(code)]
    names = {name for _, name, _ in package}
    right = {(name, tree) for _, name, tree in package}
    different = {f"{notebook}: {name} is not the package's: change both, or give one another name"
                 for notebook, name, tree in lessons if name in names and (name, tree) not in right}
    taught = {name for _, name, _ in lessons}
    untaught = [(chapter, name) for chapter, name, _ in package if name not in taught and not name.startswith("_")]
    excuses = {f"{chapter}.{name}": f"{chapter}.{name}" if f"{chapter}.{name}" in not_taught else chapter
               for chapter, name in untaught}
    missing = [f"{name} is in no notebook" for name, excuse in excuses.items() if excuse not in not_taught]
    idle = [f"{name} needs no excuse: take it off the list" for name in not_taught if name not in excuses.values()]
    return [*sorted(different), *missing, *idle]


def test_a_name_of_the_package_means_the_same_in_every_notebook():
    code = {source.stem: "\n".join(cell.source for cell in pair(source)[0] if cell.cell_type == "code")
            for source in SOURCES}
    chapters = {path.stem: path.read_text() for path in (ROOT / "aminet").glob("*.py") if path.stem not in WORKSHOP}
    assert chapters.keys() == CHAPTERS
    problems = mirror_problems(code, chapters, NOT_TAUGHT)
    assert not problems


CHAPTER = """
from functools import cache

class Net:
    \"\"\"A network.\"\"\"
    width: int = 3

    @cache
    def layers(self, x: int = 1) -> int:
        \"\"\"How many.\"\"\"
        return x + 1

def _hidden(x):
    return x
"""


@pytest.mark.parametrize("before, after, expected", [
    ("A network.", "The same network.", []),
    ("x + 1", "x + 2", ["nb: Net is not the package's"]),
    ("x: int = 1", "x: int = 2", ["nb: Net is not the package's"]),
    ("-> int", "-> float", ["nb: Net is not the package's"]),
    ("    @cache\n", "", ["nb: Net is not the package's"]),
    ("    return x\n", "    return -x\n", ["nb: _hidden is not the package's"]),
    ("def _hidden(x):\n    return x\n", "", []),
    ("class Net", "class Other", ["net.Net is in no notebook"]),
])
def test_the_mirror_shows_what_differs(before, after, expected):
    assert CHAPTER.count(before) == 1
    problems = mirror_problems({"nb": CHAPTER.replace(before, after)}, {"net": CHAPTER}, ())
    assert [line.split(": change")[0] for line in problems] == expected


@pytest.mark.parametrize("lesson, excuses, expected", [
    ("", ["net"], []), ("", ["net.Net"], []), (CHAPTER, [], []), ("", [], ["net.Net is in no notebook"]),
    (CHAPTER, ["net"], ["net needs no excuse"]), (CHAPTER, ["net.Net"], ["net.Net needs no excuse"]),
    ("", ["net.Net", "net"], ["net needs no excuse"]), ("", ["net", "gone"], ["gone needs no excuse"]),
])
def test_the_list_excuses_what_is_not_taught_and_no_more(lesson, excuses, expected):
    problems = mirror_problems({"nb": lesson}, {"net": CHAPTER}, excuses)
    assert [line.split(": take")[0] for line in problems] == expected


def test_outputs_carry_no_path_of_a_machine():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        outputs = json.dumps([cell.get("outputs") for cell in json.loads(path.read_text())["cells"]])
        assert not PRIVATE.search(outputs) and "site-packages" not in outputs, path.name
