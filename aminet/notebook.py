"""What every notebook of the course shares: its start, its pictures, its exercises' checks."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .errors import BadInput
from .files import HERE, find

# What a parameter takes, by the type of its default: how to say it, and the types.
TAKES = {bool: ("True or False", (bool,)), int: ("a whole number", (int,)), float: ("a number", (float, int)),
         str: ("text; papermill's -r passes digits as text", (str, type(None)))}
SOURCES = ("faces", "val", "own")  # parameters that name several folders and zips, separated by spaces


def begin(names: dict, parameters: dict) -> None:
    """Start a notebook: check what papermill set, choose the plots' style, fix the seed. It may run again at any time.

    names: the notebook's `globals()`. parameters: the same as the parameters cell left them, the defaults. BadInput: a
    parameter that the notebook does not have (papermill itself only warns), or one of another type than its default.
    """
    defaults = {name: value for name, value in parameters.items() if name[0] != "_" and type(value) in TAKES}
    injected = set_by_papermill(names)
    check_parameters(injected, defaults)
    names.update({name: "" for name, value in injected.items() if value is None})
    import matplotlib.pyplot as plt
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    plt.style.use(HERE / "aminet.mplstyle")
    set_matplotlib_formats("jpeg", pil_kwargs={"quality": 75, "optimize": True})  # faces: a fifth of a PNG's bytes
    torch.manual_seed(0)


def set_by_papermill(names: dict) -> dict:
    """Return the parameters that papermill set, by name. It runs a cell of its own, second, and that cell tells."""
    values: dict = {}
    for cell in names.get("In", [])[2:3]:
        if cell.startswith("# Parameters\n"):
            exec(cell, {}, values)
    return values


def check_parameters(values: dict, defaults: dict) -> None:
    """Raise BadInput for the first parameter that has no default, or not its type."""
    unknown = sorted(values.keys() - defaults.keys())
    if unknown:
        raise BadInput(f"unknown parameter {', '.join(unknown)}: this notebook has {', '.join(sorted(defaults))}")
    for name, value in values.items():
        wanted, types = TAKES[type(defaults[name])]
        if type(value) not in types:
            raise BadInput(f"{name} is {value!r}: this notebook wants {wanted}")
        if name in SOURCES and value and " " in value and find(value).exists():
            raise BadInput(f"{name} is {value!r}: spaces separate sources; rename it to one without, or link to it")


def show(rows: Sequence[Sequence[torch.Tensor]], titles: Sequence[str] = (), labels: Sequence[str] = (),
         height: float = 1.5):
    """A grid of pictures. rows: lists of (3, H, W) faces, uint8 or float in [-1, 1], or (H, W) maps; None leaves a gap.

    titles: over the columns. labels: left of the rows. height: of a row, in inches. Returns the figure.
    """
    import matplotlib.pyplot as plt

    columns = max(len(row) for row in rows)
    figure, axes = plt.subplots(len(rows), columns, figsize=(height * columns, height * len(rows)),
                                squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.grid(False)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            if picture is not None:
                axes[i, j].imshow(picture_of(picture))
        if labels:
            axes[i, 0].set_ylabel(labels[i])
    for axis, title in zip(axes[0], titles):
        axis.set_title(title)
    return figure


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


def grade(answer: Callable, cases: Sequence[tuple[tuple, object]], hint: str, tolerance: float = 1e-4) -> bool:
    """Check an exercise: `answer(*arguments)` against the expected value of every case. Prints the verdict.

    Numbers, tensors and tuples of them are compared within `tolerance`, everything else by equality.
    """
    for arguments, expected in cases:
        try:
            given = answer(*arguments)
            right = given is not None and agrees(given, expected, tolerance)
        except Exception as error:  # a learner's mistake of any kind gets the hint, not a traceback
            print(f"not yet: {type(error).__name__}. {hint}")
            return False
        if not right:
            print(f"not yet: {hint}")
            return False
    print("right")
    return True


def agrees(given, expected, tolerance: float) -> bool:
    """Whether two answers are the same within `tolerance`."""
    if isinstance(expected, (str, bool, type(None))):
        return given == expected
    if isinstance(expected, (tuple, list)):
        return len(given) == len(expected) and all(agrees(g, e, tolerance) for g, e in zip(given, expected))
    given, expected = torch.as_tensor(given).double(), torch.as_tensor(expected).double()
    return given.shape == expected.shape and torch.allclose(given, expected, rtol=0, atol=tolerance)
