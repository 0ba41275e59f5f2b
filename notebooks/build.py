"""Build notebooks: NN_name.py (percent format, the only source) -> NN_name.ipynb, executed, with outputs.

    python notebooks/build.py              build what is out of date (its source changed since the last build)
    python notebooks/build.py 03 08        build these
    python notebooks/build.py --all        build all

No timings are recorded and cell ids are fixed, so an identical rerun changes no line.
"""
from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def sources() -> list[Path]:
    return sorted(HERE.glob("[0-9A]*_*.py"))


def fingerprint(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()[:16]


def empty(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, without outputs: stable cell ids, and the source's fingerprint in its metadata."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2].strip('_').lower()}-{number:02d}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "source": fingerprint(source),
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
    built = source.with_suffix(".ipynb")
    return not built.exists() or nbformat.read(built, 4).metadata.get("source") != fingerprint(source)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the notebooks from their .py sources.")
    parser.add_argument("names", nargs="*", help="numbers or names, for example 03 or 08_aminet_and_its_bill")
    parser.add_argument("--all", action="store_true", help="build all of them")
    arguments = parser.parse_args()
    chosen = [s for s in sources() if any(s.stem.startswith(n.removesuffix(".py")) for n in arguments.names)]
    if arguments.names and not chosen:
        print(f"build: no notebook matches {' '.join(arguments.names)}", file=sys.stderr)
        return 2
    for source in chosen or [s for s in sources() if arguments.all or out_of_date(s)]:
        start = time.perf_counter()
        build(source)
        size = source.with_suffix(".ipynb").stat().st_size / 1024
        print(f"{source.stem}: {time.perf_counter() - start:.0f} s, {size:.0f} KB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
