"""The site's settings: Sphinx with MyST-NB, which reads the executed notebooks, and the book theme.

Sphinx, not Jupyter Book: one tool less, a search and pages that need no network, and formulas as MathML, which a
browser draws without a script. `make.py` lays out what is built.
"""
import re
import sys
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]

from build import ADDRESS  # noqa: E402

from aminet import __version__  # noqa: E402

release = __version__
project = "aminet"
author = "the authors of aminet"
copyright = "the authors of aminet"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # what was run is shown
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "image/svg+xml", 10), ("html", "image/jpeg", 10), ("html", "text/html", 20)]
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False  # torch's words on `forward` say nothing here
html_theme = "sphinx_book_theme"
html_title = "aminet: face super-resolution"
html_static_path = ["static", "figures"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_theme_options = {
    "repository_url": f"https://{ADDRESS}",
    "use_repository_button": True,
    "use_download_button": False,
    "show_navbar_depth": 1,
    "navigation_with_keys": True,
    "navbar_persistent": [],  # the search stands in the sidebar
}


def visit_math(writer, node):
    writer.body.append(convert(node.astext(), display="inline"))
    raise SkipNode


def visit_displaymath(writer, node):
    writer.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise SkipNode


def as_it_is_written(app, what, name, object, options, lines):
    """Show a docstring line by line: it is plain text, with `code` and *no* other marks."""
    def marked(line: str) -> str:
        parts = line.split("`")  # every second one is code
        return "".join(rf"``{part}``\ " if i % 2 else re.sub(r"([*_|\\])", r"\\\1", part)
                       for i, part in enumerate(parts))

    lines[:] = ["| " + (marked(line) if line.count("`") % 2 == 0 else line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", as_it_is_written)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
