"""The code stays a house that one finds one's way in: small, in layers, with plain functions and checked types."""
import ast
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from radon.complexity import cc_rank, cc_visit

PACKAGE = Path(__file__).resolve().parents[2] / "aminet"
FILES = sorted(PACKAGE.rglob("*.py"))
COURSE = [path for path in FILES if path.parent.name != "baselines"]
FOLDERS = ("metrics", "faces", "baselines", "training", "paper", "deploy")  # each imports those before it
FREE = ("__init__", "__main__")  # they may import any part of the package
TYPED = ["*.py", "metrics", "training", "paper",
         *(f"baselines/{gan}.py" for gan in ("fsrgan", "dicgan", "spargan", "sfmgan"))]


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


# Layers


class Imports(ast.NodeVisitor):
    """What a file imports of the package, anywhere in it but under TYPE_CHECKING: (`paper`, `runs`, `RunSpec`)."""

    def __init__(self, name: str, source: str):
        self.folder, self.found = ("aminet", *name.split("/")[:-1]), []
        self.visit(ast.parse(source))

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(tuple(alias.name.split(".")))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.folder[:len(self.folder) + 1 - node.level] if node.level else ()
        for alias in node.names:
            self.add((*base, *(node.module.split(".") if node.module else ()), alias.name))

    def add(self, name: tuple[str, ...]) -> None:
        if name[0] == "aminet" and len(name) > 1:
            self.found.append(name[1:])


def upward(name: str, source: str) -> list[str]:
    """What the file of this name must not import: a folder to the right of its own, and for a chapter any folder."""
    folder = name.rpartition("/")[0]
    if not folder and Path(name).stem in FREE:
        return []
    allowed = set(FOLDERS[:FOLDERS.index(folder) + 1] if folder else ())
    if name in ("errors.py", "files.py"):
        allowed.add("errors")
    else:
        allowed |= {path.stem for path in PACKAGE.glob("*.py") if path.stem not in FREE} | {"__version__"}
    return [".".join(part) for part in Imports(name, source).found if part[0] not in allowed]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_downwards(path):
    """Chapters, then metrics < faces < baselines < training < paper < deploy; everything may import errors, files."""
    assert not upward(name_of(path), path.read_text())


@pytest.mark.parametrize("name, source, found", [
    ("training/games.py", "from ..metrics.measure import measure\nfrom .weights import x\nimport torch", []),
    ("training/games.py", "def f():\n    from ..paper.runs import runs", ["paper.runs.runs"]),
    ("training/games.py", "from .. import deploy, errors", ["deploy"]),
    ("faces/check.py", "import aminet.training.weights", ["training.weights"]),
    ("faces/check.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..paper import runs", []),
    ("model.py", "from .sa import SelfAttention\nfrom .metrics.vif import vif", ["metrics.vif.vif"]),
    ("model.py", "from .notebook import show", ["notebook.show"]),
    ("files.py", "from .errors import BadInput\nfrom aminet.config import HR", ["config.HR"]),
    ("__main__.py", "from .paper.runs import runs", []),
])
def test_an_import_upwards_is_seen(name, source, found):
    assert upward(name, source) == found


def test_every_folder_has_its_place():
    assert {path.parent.name for path in FILES} == {"aminet", *FOLDERS}
    assert len([path for path in FILES if path.parent == PACKAGE]) <= 18


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_says_what_it_is_for(folder):
    """A README, or five lines at the head of the folder, with each of its files."""
    if (PACKAGE / folder / "README.md").exists():
        return
    words = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text())) or ""
    assert len(words.splitlines()) >= 5
    assert not [path.name for path in (PACKAGE / folder).glob("[!_]*.py") if f"{path.name}:" not in words]


# Size


def test_the_package_stays_small():
    """Its chapters and its folders, without the compared methods."""
    assert sum(len(path.read_text().splitlines()) for path in COURSE) <= 10125


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_function_is_too_complex(path):
    ranks = {block.fullname: cc_rank(block.complexity) for block in cc_visit(path.read_text())}
    assert not {name: rank for name, rank in ranks.items() if rank > "C"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_class_has_more_than_20_methods(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            assert sum(isinstance(part, ast.FunctionDef) for part in node.body) <= 20, node.name


# Names and types

TWICE = {}  # a name that two files must have, and why


def test_one_word_has_one_meaning():
    """No public name is defined at the top of two files, but for the compared methods and the commands of __main__."""
    homes = defaultdict(list)
    for path in (path for path in COURSE if path.stem != "__main__"):
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names = [node.name]
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
            for name in names:
                if not name.startswith("_") and name_of(path) not in homes[name]:
                    homes[name].append(name_of(path))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1 and name not in TWICE} == {}


def test_types(tmp_path):
    """pyright's basic checks, by basedpyright, which brings its own Node.js."""
    settings = {"include": [str(PACKAGE / name) for name in TYPED], "typeCheckingMode": "basic"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run([sys.executable, "-m", "basedpyright", "-p", str(tmp_path), "--pythonpath", sys.executable],
                          cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
