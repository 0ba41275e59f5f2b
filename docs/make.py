"""Build the course's site from executed notebooks, without running them: `make site`.

    python docs/make.py                       build/site from the committed notebooks
    python docs/make.py --notebooks runs --out runs/site     from those that papermill ran

Pages: the landing page, the chapters, the results, the project, notes for teachers, the API.
"""
from __future__ import annotations

import argparse
import logging
import re
import shutil
import sys
from html import escape
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from sphinx.cmd.build import build_main
from traitlets.config import Config

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT / "notebooks")]
from build import ADDRESS  # noqa: E402
from diagrams import draw  # noqa: E402
from page import as_svg  # noqa: E402

logging.getLogger("traitlets").setLevel(logging.ERROR)  # figures' words are set below
FOLDED = {"setup": "the setup", "imports": "the imports", "parameters": "the parameters", "plot": "how it is drawn",
          "solution": "the solution"}

# The landing page's maps: where a click on a block leads.
MAPS = {
    "AMINet": {"LR face": "01_the_problem.html", "LGFI": "06_lgfi.html", "EDFF": "07_edff.html",
               "3×3": "08_aminet_and_its_bill.html", "SR face": "02_measuring_a_face.html"},
    "LGFI": {"SA": "03_sa.html", "RDFE": "04_rdfe.html", "SKAF": "05_skaf.html"},
}


def chapters(folder: Path) -> list[Path]:
    """Return the executed notebooks of a folder, in their order."""
    return sorted(folder.glob("[0-9A]*_*.ipynb"))


def linked(text: str, folder: str = "") -> str:
    """Return Markdown with its relative links leading to pages of the site, or to the repository for other files."""
    def lead(match: re.Match) -> str:
        path, _, place = match[1].partition("#")
        name = Path(path).name
        if name == "RESULTS.md" or (path.endswith(".ipynb") and (ROOT / "notebooks" / name).exists()):
            target = name.replace("RESULTS", "results")
        else:
            target = f"https://{ADDRESS}/blob/main/{(ROOT / folder / path).resolve().relative_to(ROOT)}"
        return f"]({target}{place and '#' + place.lower()})"

    prose = re.split(r"(^```.*?^```|`[^`\n]+`)", text, flags=re.M | re.S)  # every second part is code
    prose[::2] = [re.sub(r"\]\((?!\w+:|#)([^)\s]+)\)", lead, part) for part in prose[::2]]
    return "".join(prose)


def page(path: Path) -> nbformat.NotebookNode:
    """Return a notebook as a page of the site: code that is folded, words for its figures, links between pages."""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, "notebooks")
            cell.source = re.sub(r"\[!\[(.+?)\]\(.+?\)\]", r"[\1]", cell.source)  # a badge is fetched from elsewhere
        settings = cell.metadata.setdefault("mystnb", {})
        for tag in FOLDED.keys() & {*cell.metadata.get("tags", [])}:
            cell.metadata["tags"].append("hide-cell" if tag == "solution" else "hide-input")
            settings |= {"code_prompt_show": f"Show {FOLDED[tag]}", "code_prompt_hide": f"Hide {FOLDED[tag]}"}
        if words := words_of_figures(cell):
            settings["image"] = {"alt": "; ".join(words)}
    return notebook


def words_of_figures(cell: nbformat.NotebookNode) -> list[str]:
    """Return what `page.words_of` said of a cell's figures."""
    kinds = [kind for output in cell.get("outputs", []) for kind in output.get("metadata", {}).values()]
    return [kind["alt"] for kind in kinds if isinstance(kind, dict) and "alt" in kind]


def deck(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a chapter as slides: headings, equations, quotes, each figure and table, the tasks, what to remember."""
    cells = []
    for cell in notebook.cells:
        tags, kind = {*cell.metadata.get("tags", [])}, "subslide"
        if cell.cell_type == "markdown":
            blocks = re.split(r"\n\s*\n", re.sub(r"<details>.*?</details>", "", cell.source, flags=re.S))
            whole = not cells or "What to remember" in cell.source
            kept = [block for i, block in enumerate(blocks)
                    if whole or block.startswith(("#", ">", "$$")) or "### Exercise" in blocks[i - 1]]
            if not kept:
                continue
            cell.source, kind = "\n\n".join(kept), "slide" if re.match("#{1,2} ", kept[0]) else "subslide"
        elif "solution" in tags or not any({*o.get("data", {})} - {"text/plain"} for o in cell.outputs):
            continue
        else:
            cell.metadata["tags"] = ["remove-input"]
        cell.metadata["slideshow"] = {"slide_type": kind}
        cells.append(cell)
    notebook.cells = cells
    return notebook


def write_slides(notebooks: Path, folder: Path) -> None:
    """Write each chapter's slides, for a browser with a network: reveal.js is fetched."""
    folder.mkdir(exist_ok=True)
    exporter = SlidesExporter(config=Config({
        "SlidesExporter": {"reveal_scroll": True, "reveal_theme": "white"},
        "TagRemovePreprocessor": {"enabled": True, "remove_input_tags": {"remove-input"}}}))
    for path in chapters(notebooks):
        slides = deck(page(path))
        text, _ = exporter.from_notebook_node(slides, {"metadata": {"name": path.stem}})
        for words in (words for cell in slides.cells for words in words_of_figures(cell)):
            text = text.replace("No description has been provided for this image", escape(words, quote=True), 1)
        (folder / f"{path.stem}.html").write_text(text.replace(".ipynb", ".html"))


def draw_maps(folder: Path) -> None:
    """Draw the landing page's two maps, whose blocks lead to their chapters."""
    for name, links in MAPS.items():
        svg = as_svg(draw(name, links=links))
        (folder / f"{name}.svg").write_text("<svg" + svg.partition("<svg")[2])  # inside a page


def lay_out(notebooks: Path, source: Path) -> None:
    """Write the site's source: what Sphinx reads."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("make.py", "__pycache__"))
    for path in chapters(notebooks):
        nbformat.write(page(path), source / path.name)
    (source / "results.md").write_text(linked((ROOT / "RESULTS.md").read_text()))
    (source / "faults.md").write_text(linked((HERE / "faults.md").read_text(), "docs"))
    plans = source / "teaching.md"  # Sphinx knows no page of slides: they are written beside its own
    plans.write_text(re.sub(r"`(slides/\w+\.html)`", r'<a href="\1">slides</a>', plans.read_text()))
    draw_maps(source)
    shutil.copytree(ROOT / "figures", source / "figures", ignore=shutil.ignore_patterns("*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the course's site.")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks", help="folder of executed notebooks")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder of the pages")
    arguments = parser.parse_args()
    if not chapters(arguments.notebooks):
        print(f"docs: no notebook in {arguments.notebooks}: `make course` runs them into runs/", file=sys.stderr)
        return 2
    source = ROOT / "build" / "site-source"
    lay_out(arguments.notebooks, source)
    status = build_main(["-q", "-E", "-j", "2", "-b", "html", str(source), str(arguments.out)])
    if not status:
        write_slides(arguments.notebooks, arguments.out / "slides")
        print(f"open {arguments.out}/index.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
