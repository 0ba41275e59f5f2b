"""Build notebooks: NN_name.py (percent format, the only source) -> NN_name.ipynb, executed, with outputs.

    python notebooks/build.py              build what is out of date (changed since the last build, in either file)
    python notebooks/build.py 03 08        build these
    python notebooks/build.py --all        build all
    python notebooks/build.py --student student    for learners: a folder without solutions and outputs

No timings are recorded and cell ids are fixed, so an identical rerun changes no line.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
# The project's address is written down once; badges, the clone line and the pages repeat it.
ADDRESS = re.findall(r'^Repository = "https://(.+)"$', (HERE.parent / "pyproject.toml").read_text(), re.M)[0]


def sources() -> list[Path]:
    return sorted(HERE.glob("[0-9A]*_*.py"))


def fingerprint(notebook: nbformat.NotebookNode) -> str:
    """A digest of the cells without outputs: the same for a source and for the .ipynb that says the same."""
    cells = [[cell.cell_type, cell.source.strip("\n"), cell.metadata.get("tags", [])] for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def empty(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, without outputs: stable cell ids, and the cells' fingerprint in its metadata."""
    notebook = jupytext.read(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2].strip('_').lower()}-{number:02d}"
        if {"solution", "setup", "imports", "plot"} & {*cell.metadata.get("tags", [])}:
            cell.metadata["jupyter"] = {"source_hidden": True}  # a click opens it
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "source": fingerprint(notebook),
    }
    return notebook


def build(source: Path) -> None:
    """Execute a source and write its .ipynb beside it. An error in a cell leaves the old .ipynb as it was."""
    notebook = empty(source)
    NotebookClient(notebook, timeout=1200, kernel_name="python3", record_timing=False,
                   resources={"metadata": {"path": str(HERE)}}).execute()
    for cell in notebook.cells:
        merge_streams(cell)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}  # the kernel wrote its exact version
    nbformat.validate(notebook)
    nbformat.write(notebook, source.with_suffix(".ipynb"))


def merge_streams(cell: nbformat.NotebookNode) -> None:
    """What a cell prints arrives in pieces, cut differently each time: join them."""
    merged: list = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    if cell.cell_type == "code":
        cell.outputs = merged


def out_of_date(source: Path) -> bool:
    """Whether a source or its .ipynb has changed since the build."""
    built = source.with_suffix(".ipynb")
    if not built.exists():
        return True
    notebook = nbformat.read(built, 4)
    return notebook.metadata != empty(source).metadata or notebook.metadata["source"] != fingerprint(notebook)


def other_addresses(text: str) -> set[str]:
    """The addresses on GitHub in a text that are not the project's."""
    return {name for name in re.findall(r"github(?:\.com)?/[\w.-]+/[\w-]+", text)
            if name.replace("github/", "github.com/") != ADDRESS}


def reason_not_to_build(source: Path) -> str:
    """One line if a build would lose an edit of the .ipynb, or write another address than the project's; else ""."""
    built = source.with_suffix(".ipynb")
    if built.exists():
        notebook = nbformat.read(built, 4)
        if fingerprint(notebook) not in (notebook.metadata.get("source"), fingerprint(empty(source))):
            return (f"{built.name} was edited and {source.name} does not say the same: `jupytext --to py:percent "
                    f"notebooks/{built.name}` keeps the first's cells, deleting {built.name} the second's")
    others = other_addresses(source.read_text())
    return f"{source.name} has {', '.join(others)}, pyproject.toml has {ADDRESS}: change one of them" if others else ""


def student_version(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source without its solutions, not executed: what a learner starts with."""
    notebook = empty(source)
    notebook.cells = [cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    return notebook


def write_student_version(folder: Path) -> None:
    """Write the learner's course into a new folder: it must lie where the notebooks' folder lies, for their links."""
    folder.mkdir(parents=True)
    for name in ("page.py", "parameters.py", "diagrams.py", "exercises.py", "colab.txt"):
        shutil.copy(HERE / name, folder)
    for source in sources():
        nbformat.write(student_version(source), folder / f"{source.stem}.ipynb")


def selected(names: list[str], every: bool) -> list[Path]:
    """The sources of these numbers or names; without a name all of them, or those that are out of date."""
    if not names:
        return [source for source in sources() if every or out_of_date(source)]
    return [source for source in sources() if any(source.stem.startswith(name.removesuffix(".py")) for name in names)]


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the notebooks from their .py sources.")
    parser.add_argument("names", nargs="*", help="numbers or names, for example 03 or 08_aminet_and_its_bill")
    parser.add_argument("--all", action="store_true", help="build all of them")
    parser.add_argument("--student", metavar="FOLDER", type=Path, help="write the course without solutions into a new folder")
    arguments = parser.parse_args()
    if folder := arguments.student:
        if folder.exists():
            print(f"build: {folder} exists, and may hold somebody's answers: name another, or remove it", file=sys.stderr)
            return 2
        write_student_version(folder)
        print(f"{folder}: {len(sources())} notebooks without solutions")
        return 0
    to_build = selected(arguments.names, arguments.all)
    if arguments.names and not to_build:
        print(f"build: no notebook matches {' '.join(arguments.names)}", file=sys.stderr)
        return 2
    for source in to_build:
        if reason := reason_not_to_build(source):
            print(f"build: {reason}", file=sys.stderr)
            return 2
        start = time.perf_counter()
        build(source)
        size = source.with_suffix(".ipynb").stat().st_size / 1024
        print(f"{source.stem}: {time.perf_counter() - start:.0f} s, {size:.0f} KB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
