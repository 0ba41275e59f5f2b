"""The code of the training stays readable: small classes, plain functions, checked types."""
import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from radon.complexity import cc_rank, cc_visit

ROOT = Path(__file__).resolve().parents[2]
TRAINING = [ROOT / "aminet" / name for name in ("train.py", "amigan.py", "paper/reproduce.py", "paper/evaluate.py", "__main__.py")]
TRAINING += sorted((ROOT / "aminet" / "training").glob("*.py"))
TYPED = ["aminet/train.py", "aminet/amigan.py", "aminet/training",
         *(f"aminet/baselines/{gan}.py" for gan in ("fsrgan", "dicgan", "spargan", "sfmgan"))]


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.name)
def test_no_function_is_too_complex(path):
    ranks = {block.fullname: cc_rank(block.complexity) for block in cc_visit(path.read_text())}
    assert not {name: rank for name, rank in ranks.items() if rank > "C"}


@pytest.mark.parametrize("path", sorted((ROOT / "aminet").rglob("*.py")), ids=lambda path: path.stem)
def test_no_class_has_more_than_20_methods(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            assert sum(isinstance(part, ast.FunctionDef) for part in node.body) <= 20, node.name


def test_types_of_the_trainer_and_the_games(tmp_path):
    """pyright's basic checks, by basedpyright, which brings its own Node.js."""
    settings = {"include": [str(ROOT / name) for name in TYPED], "typeCheckingMode": "basic"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run([sys.executable, "-m", "basedpyright", "-p", str(tmp_path), "--pythonpath", sys.executable],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
