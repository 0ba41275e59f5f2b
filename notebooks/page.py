"""What every page of the course shares: its start, faces, tables, and sliders in a live notebook."""
from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from math import isfinite

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from IPython.display import HTML, Code, display
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image
from tabulate import tabulate

from aminet.config import LR
from aminet.errors import BadInput
from aminet.faces.finder import without_yunet
from aminet.faces.pictures import open_image, to_rgb
from aminet.files import HERE, find
from parameters import check_parameters

CSS_PIXELS = 96  # of a browser's inch: a face of 128 pixels is 128 / 96 inches wide
LINE = 0.19  # the height of a line of a figure's text, in inches
PART_COLOURS = np.array([  # of a parsing's 19 classes, in RGB
    [40, 40, 40], [255, 205, 178], [120, 72, 40], [150, 92, 50], [66, 135, 245], [30, 90, 200], [0, 0, 0],
    [230, 150, 120], [210, 130, 100], [255, 255, 0], [245, 166, 35], [130, 20, 40], [225, 70, 90], [190, 40, 70],
    [200, 160, 130], [255, 0, 255], [90, 150, 110], [100, 60, 140], [128, 128, 128]], np.uint8)


def begin(names: dict, parameters: dict) -> None:
    """Start a notebook: check what papermill set, choose the plots' style, fix the seed. It may run again at any time.

    names: the notebook's `globals()`. parameters: the same as the parameters cell left them. BadInput: a parameter that
    the notebook does not have (papermill itself only warns), or cannot use (see `check_parameters`).
    """
    values = check_parameters(names["In"], parameters)
    names.update({name: value for name, value in values.items() if names[name] is None})
    plt.style.use(HERE / "aminet.mplstyle")
    if shell := get_ipython():
        set_matplotlib_formats()  # none of its own
        shell.display_formatter.mimebundle_formatter.for_type(Figure, rendered)
    torch.manual_seed(0)


def rendered(figure: Figure, *asked) -> tuple[dict, dict]:
    """Return a figure and its words by MIME type: lines as SVG, pictures as JPEG of two pixels for each of the page's.

    asked: the MIME types that IPython includes and excludes, not used.
    """
    said = {"alt": words_of(figure)}
    if svg := as_svg(figure):
        return {"image/svg+xml": svg}, {"image/svg+xml": said}
    data = print_figure(figure, "jpeg", dpi=2 * CSS_PIXELS, pil_kwargs={"quality": 75, "optimize": True})
    width, height = Image.open(BytesIO(data)).size
    return {"image/jpeg": data}, {"image/jpeg": said | {"width": width // 2, "height": height // 2}}


def as_svg(figure: Figure) -> str | None:
    """Return a figure of lines as SVG; None for one with pictures or very many points."""
    if any(axis.images for axis in figure.axes):
        return None
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "aminet"}):  # the same bytes in every run
        svg = print_figure(figure, "svg", metadata={"Date": None, "Creator": None})
    return svg if len(svg) < 200_000 else None


def words_of(figure: Figure) -> str:
    """Return a figure in words, for who does not see it: its label if it has one, else its titles and its axes' names."""
    if figure.get_label():
        return figure.get_label()
    axes = [axis for axis in figure.axes if axis.get_visible()]
    titles = [figure.get_suptitle(), *(axis.get_title(loc) for axis in axes for loc in ("left", "center"))]
    names = [f"{way}: {name}" for way, get in (("across", "get_xlabel"), ("up", "get_ylabel"))
             for name in dict.fromkeys(getattr(axis, get)() for axis in axes) if name]
    plain = [re.sub(r"[${}\\]", "", " ".join(words.split())) for words in titles + names if words]
    return "; ".join(dict.fromkeys(plain)) or "a figure"


def show(rows: Sequence[Sequence[torch.Tensor | None]], titles: Sequence[str] = (), labels: Sequence[str] = (),
         captions: Sequence[Sequence[str]] = (), scale: float = 1) -> Figure:
    """Draw a grid of pictures, in the size that they have; return the figure.

    rows: lists of (3, H, W) faces, uint8 or float in [-1, 1], or (H, W) maps; None leaves a gap. All are as wide as a
    face of 128 pixels, so that a part of one is enlarged. titles: over the columns. labels: left of the rows.
    captions: under every picture, by rows. scale: how many of the page's pixels are one of a face's; 2 for a
    comparison of two.
    """
    width, columns = scale * 128 / CSS_PIXELS, max(len(row) for row in rows)
    shapes = [next(picture.shape for picture in row if picture is not None) for row in rows]
    heights = [width * shape[-2] / shape[-1] for shape in shapes]
    gap, below = 0.06, 0.06 + LINE * lines_of(text for row in captions for text in row)  # between columns, under a row
    left, above = LINE * lines_of(labels), LINE * lines_of(titles)
    size = left + columns * (width + gap), sum(heights) + below * len(rows) + above
    figure = plt.figure(figsize=size)
    top = size[1] - above
    for i, (row, height) in enumerate(zip(rows, heights)):
        for j in range(columns):
            box = left + j * (width + gap), top - height, width, height
            axis = figure.add_axes([value / size[k % 2] for k, value in enumerate(box)])
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            axis.grid(False)
            if j < len(row) and row[j] is not None:
                axis.imshow(picture_of(row[j]), aspect="auto")
            if j == 0 and labels:
                axis.set_ylabel(labels[i])
            if i == 0 and j < len(titles):
                axis.set_title(titles[j], pad=3)
            if i < len(captions) and j < len(captions[i]):
                axis.set_xlabel(captions[i][j], labelpad=2)
        top -= height + below
    return figure


def lines_of(texts: Iterable[str]) -> int:
    """Return how many lines the longest of some texts has; 0 without one."""
    return max((text.count("\n") + 1 for text in texts if text), default=0)


def eyes(face: torch.Tensor) -> torch.Tensor:
    """Return the part of an aligned face with its eyes, (..., 128, 128) -> (..., 32, 64): `show` draws it twice as large."""
    return face[..., 42:74, 32:96]


def picture_of(x: torch.Tensor):
    """What `imshow` takes: a face as (H, W, 3) uint8, a map as it is."""
    x = x.detach().cpu()
    if x.dim() == 2:
        return x.float().numpy()
    if x.is_floating_point():
        x = ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return x.permute(1, 2, 0).numpy()


def error_map(result: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute error of 4x4 pixels, four times brighter, as a gray picture (3, H / 4, W / 4)."""
    error = torch.nn.functional.avg_pool2d((result - original).abs().mean(0)[None], 4)
    return 4 * error.expand(3, -1, -1) - 1


def table(rows: Iterable[Sequence], headers: Sequence[str], best: Mapping[str, Callable] | None = None,
          digits: int | Mapping[str, int] = 2) -> None:
    """Show rows as a table of the page. Floats have `digits` digits, or those of their column, by its header.

    best: for a column, by its header, `max` or `min`: what is best is bold.
    """
    rows = [list(row) for row in rows]
    bold, places = {}, [digits if isinstance(digits, int) else digits.get(header, 2) for header in headers]
    for header, choose in (best or {}).items():
        numbers = [row[headers.index(header)] for row in rows]
        numbers = [value for value in numbers if isinstance(value, (int, float)) and isfinite(value)]
        bold[headers.index(header)] = choose(numbers, default=None)

    def cell(value, column: int) -> str:
        form = f",.{places[column]}f" if isinstance(value, float) else "," if type(value) is int else ""
        text = escape(format(value, form) if form else str(value).replace(" ± ", "\u00a0±\u00a0"))  # in one line
        return f"<b>{text}</b>" if column in bold and value == bold[column] else text

    numeric = [any(isinstance(row[j], (int, float)) for row in rows) for j in range(len(headers))]
    html = tabulate([[cell(value, j) for j, value in enumerate(row)] for row in rows],
                    [escape(header) for header in headers], tablefmt="unsafehtml", disable_numparse=True,
                    colalign=["right" if right else "left" for right in numeric])
    html = html.replace("<table>", '<table style="margin-bottom: 1.2em;">', 1)  # two in a row stay apart
    display(HTML(re.sub("<(td|th)>", r'<\1 style="text-align: left;">', html)))  # Jupyter's default is right


def code(source: str) -> None:
    """Show Python code as an output of the page, in the notebook's letters of equal width."""
    display(HTML("<style>.jp-OutputArea-output .highlight pre { font-family: monospace }</style>"),
            Code(source, language="python"))


def live() -> bool:
    """Return whether someone sits in front of this notebook: JupyterLab, Colab or VS Code, not papermill or nbval."""
    return "JPY_SESSION_NAME" in os.environ or "google.colab" in sys.modules or (
        "__vsc_ipynb_file__" in getattr(get_ipython(), "user_ns", ()))


def explore(draw: Callable, **controls) -> None:
    """Draw with the defaults of `draw`; in a live notebook with controls, as ipywidgets' `interact` takes them."""
    if live():
        from ipywidgets import interact

        interact(draw, **controls)
    else:
        draw()


def your_picture(act: Callable[[Image.Image], None], path: str = "") -> None:
    """Call `act` with the picture at a path, and in a live notebook with each that a reader chooses by a button.

    A BadInput is printed, as one line; so is how faces are found without YuNet.
    """
    def tried(read: Callable[[], Image.Image]) -> None:
        try:
            act(image := read())
            if image.size != (LR, LR) and (note := without_yunet()):
                print(note)
        except BadInput as error:
            print("aminet:", error)

    if path:
        tried(lambda: open_image(find(path)))
    if live():
        from ipywidgets import FileUpload, Output

        button, below = FileUpload(accept="image/*"), Output()

        def chosen(change: dict) -> None:
            new = change["new"]
            for file in new.values() if isinstance(new, dict) else new:  # one; by its name in Colab's ipywidgets 7
                below.clear_output()
                with below:
                    tried(lambda: to_rgb(bytes(file["content"])))

        button.observe(chosen, "value")
        display(button, below)
