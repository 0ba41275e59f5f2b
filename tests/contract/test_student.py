"""The student version: no solution is in it, nothing needs one, and the instructor's solutions fill it."""
import ast
import re
import subprocess
import symtable
import sys
from pathlib import Path

import build
import exercises
import pytest
from exercises import EXERCISES

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r'check\("(.+?)"')


def cells(source: Path, tag: str) -> dict[str, str]:
    """The code of a source's cells with a tag, by the number of the exercise."""
    return {NUMBER.search(cell.source)[1]: cell.source for cell in build.empty(source).cells
            if tag in cell.metadata.get("tags", [])}


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course") / "student"
    build.write_student_version(folder)
    return folder


def test_every_exercise_has_its_place():
    """In a notebook, once, with a stub and a solution; and none is without a check."""
    stubs, solutions = ([number for source in build.sources() for number in cells(source, tag)]
                        for tag in ("exercise", "solution"))
    assert stubs == solutions and sorted(stubs) == sorted(EXERCISES) and len({*stubs}) == len(stubs)


def test_nothing_is_left_of_the_solutions(student):
    for source in build.sources():
        text = (student / f"{source.stem}.ipynb").read_text()
        assert '"solution"' not in text and '"outputs": []' in text
    assert {path.name for path in student.iterdir()} >= {"exercises.py", "page.py", "parameters.py", "diagrams.py"}


def test_no_cell_needs_a_name_of_a_solution(student):
    """Names that no cell defines are undefined."""
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", str(student)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def names_of(code: str) -> tuple[set[str], set[str]]:
    """The global names that a piece of code binds, and those that it reads, also inside its functions."""
    top = symtable.symtable(code, "", "exec")
    bound = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    read, tables = set(), [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        read |= {symbol.get_name() for symbol in table.get_symbols()
                 if symbol.is_referenced() and (table is top or symbol.is_global())}
    return bound, read


def needed_by(solution: str, source: Path) -> str:
    """The statements of the student version that a solution needs, and those that they need: no more is run."""
    code = [cell.source for cell in build.student_version(source).cells
            if cell.cell_type == "code" and "exercise" not in cell.metadata.get("tags", [])]
    own, read = names_of(solution)
    needed, kept = read - own, []
    for node in reversed(ast.parse("\n".join(code)).body):
        statement = ast.unparse(node)
        bound, read = names_of(statement)
        if bound & needed:
            kept.append(statement)
            needed |= read
    return "\n".join(reversed(kept))


@pytest.mark.parametrize("source", build.sources(), ids=lambda path: path.stem)
def test_the_instructors_solutions_fill_it(source, monkeypatch):
    """Each passes its check, with nothing but what the chapter has before it; test_exercises has the mistakes."""
    monkeypatch.setattr(exercises, "show", lambda *grid, **options: None)
    monkeypatch.chdir(ROOT / "notebooks")
    for number, solution in cells(source, "solution").items():
        names: dict = {}
        exec(needed_by(solution, source), names)
        exec(solution, names)
        assert names["passed"] is True, number
