"""What the notebooks share: wrong parameters fail, faces have their size, tables their best, figures their words."""
import io
from datetime import datetime, timezone

import diagrams
import matplotlib.pyplot as plt
import numpy as np
import page
import pytest
import torch
from page import as_svg, begin, explore, eyes, picture_of, rendered, show, table, words_of, your_picture
from PIL import Image

from aminet import BadInput

CELL = """preset = "pocket"
faces = "synthetic:8"
val = "synthetic:8:1"
out = ""
images = 360
batch = 2
lr = 1e-3
minutes = 0.0
start = ""
resume = False
PARAMETERS = dict(globals())"""


def start(injected: str, cell: str = CELL, **later) -> dict:
    """The names of a notebook after its start, as a kernel holds them that papermill drives."""
    names: dict = {"In": ["", cell], "_i1": "", "exit": exit}
    exec(cell, names)
    if injected:
        names["In"].append(f"# Parameters\n{injected}\n")
        exec(injected, names)
    begin(names, names["PARAMETERS"])
    names.update(later)
    begin(names, names["PARAMETERS"])  # the cell may run again
    return names


WRONG = [
    ("images = 'abc'", "images is 'abc': this notebook wants a whole number from 0"),
    ("images = 1.5", "images is 1.5: this notebook wants a whole number from 0"),
    ("images = True", "images is True: this notebook wants a whole number from 0"),
    ("images = None", "images is None: this notebook wants a whole number from 0"),
    ("images = -1", "images is -1: this notebook wants a whole number from 0"),
    ("images = 0", "images is 0: the training would have no end: give 1 or more, or minutes"),
    ("images = 1", "images is 1: less than one batch of 2: give batch 1"),
    ("lr = 'fast'", "lr is 'fast': this notebook wants a number above 0"),
    ("lr = False", "lr is False: this notebook wants a number above 0"),
    ("lr = float('inf')", "lr is inf: this notebook wants a number above 0"),
    ("minutes = 'half'", "minutes is 'half': this notebook wants a number from 0"),
    ("minutes = float('nan')", "minutes is nan: this notebook wants a number from 0"),
    ("resume = 'false'", "resume is 'false': this notebook wants True or False"),
    ("resume = 0", "resume is 0: this notebook wants True or False"),
    ("resume = True", "resume is True: give out, too, the folder of the run"),
    ("out = 2024", "out is 2024: this notebook wants a folder; papermill's -r passes digits as text"),
    ("out = 'here'\nresume = True", "out is 'here': here holds no run to resume: leave out resume"),
    ("out = 'a.txt'", "out is 'a.txt': cannot write "),
    ("faces = ['a', 'b']", "faces is ['a', 'b']: this notebook wants folders and zips of faces, separated by spaces"),
    ("faces = 5", "faces is 5: this notebook wants folders and zips of faces, separated by spaces"),
    ("faces = ''", "faces is '': this notebook wants folders and zips of faces"),
    ("faces = 'synthetic:no'", "faces is 'synthetic:no': this notebook wants "),
    ("faces = 'nowhere.zip'", "faces is 'nowhere.zip': this notebook wants "),
    ("faces = 'a.txt'", "faces is 'a.txt': this notebook wants "),
    (f"faces = {'x' * 300!r}", "faces is 'xxx"),
    ("faces = 'a\\0b'", "faces is 'a\\x00b': this notebook wants "),
    ("faces = 'synthetic:9:1'", "val is 'synthetic:8:1': these faces are trained on, too: give others"),
    ("preset = 'pocket/huge'", "preset is 'pocket/huge': this notebook wants the name of a network; unknown method"),
    ("preset = 'pocket/fsrnet'\nfaces = 'faces'", "preset is 'pocket/fsrnet': 2d106det.onnx (5.0 MB) is not at hand"),
    ("preset = 'aminet'\nstart = 'pocket'", "start is 'pocket': start pocket is another network: AMINet"),
    ("start = 'a.txt'", "start is 'a.txt': this notebook wants weights: ours by name, a .safetensors file"),
    ("imagess = 4", "unknown parameter imagess: this notebook has batch, faces, images, lr, minutes, out, preset, "),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a file of text, and a folder of one face."""
    monkeypatch.chdir(tmp_path)
    for name in ("AMINET_WEIGHTS", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    (tmp_path / "a.txt").write_text("no faces")
    (tmp_path / "faces").mkdir()
    page.Image.fromarray(np.zeros((128, 128, 3), np.uint8)).save(tmp_path / "faces" / "0.png")
    return tmp_path


@pytest.mark.parametrize("injected, words", WRONG)
def test_wrong_parameters_are_refused(folder, injected, words):
    with pytest.raises(BadInput) as refused:
        start(injected)
    assert str(refused.value).startswith(words) and "\n" not in str(refused.value)
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "faces"]


def test_what_a_reader_writes_into_the_parameters_cell_is_checked_too():
    with pytest.raises(BadInput, match="^images is 'abc': this notebook wants a whole number"):
        start("", cell=CELL.replace("360", "'abc'"))


@pytest.mark.parametrize("injected", [
    "", "images = 4", "lr = 1", "out = 'a folder'", "out = None", "faces = 'faces faces'", "faces = 'synthetic:3:2'",
    "images = 4\nlr = 0.5\nresume = False", "images = 0\nminutes = 2",
])
def test_right_parameters_are_taken_and_the_start_runs_again(folder, injected):
    names = start(injected, x=3, images="changed by a later cell", F=np)
    assert names["images"] == "changed by a later cell" and names["out"] in ("", "a folder")


def test_a_source_with_a_space_is_refused(folder, monkeypatch):
    (folder / "my faces").mkdir()
    monkeypatch.setenv("AMINET_FACES", str(folder))
    with pytest.raises(BadInput, match="^faces is 'my faces': .*; spaces separate sources"):
        start("faces = 'my faces'")


def test_names_of_ones_own_are_no_parameters():
    """A live notebook, not driven by papermill: its second cell may be anything, and so may what later cells define."""
    names: dict = {"In": ["", CELL, "mine = 4"], "mine": 4, "width": -1, "records": []}
    exec(CELL, names)
    begin(names, names["PARAMETERS"])


def test_a_kernel_that_keeps_no_cells_has_its_parameters_too():
    """As nbval's."""
    names: dict = {"In": [""]}
    exec(CELL, names)
    begin(names, names["PARAMETERS"])
    names["PARAMETERS"]["images"] = "abc"
    with pytest.raises(BadInput, match="^images is 'abc'"):
        begin(names, names["PARAMETERS"])


def test_picture_of():
    x = torch.full((3, 2, 4), -1.0)
    x[0, 0, 3] = 1.0  # a red pixel, top right
    picture = picture_of(x)
    assert picture.shape == (2, 4, 3) and picture.dtype == np.uint8
    assert picture[0, 3].tolist() == [255, 0, 0] and picture[1, 0].tolist() == [0, 0, 0]
    assert picture_of(torch.rand(2, 4)).shape == (2, 4)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("scale", [1, 2])
def test_a_face_is_drawn_in_its_own_size_and_its_eyes_twice_as_large(scale):
    face = torch.zeros(3, 128, 128, dtype=torch.uint8)
    figure = show([[face, None, face], [eyes(face)] * 2], ["a", "b\nc"], ["one", "two"], [["x"]], scale=scale)
    width, height = (side * page.CSS_PIXELS for side in figure.get_size_inches())
    sizes = [(axis.get_position().width * width, axis.get_position().height * height) for axis in figure.axes]
    assert len(sizes) == 6
    assert sizes[0] == pytest.approx((128 * scale, 128 * scale))
    assert sizes[3] == pytest.approx((128 * scale, 64 * scale))
    assert not figure.axes[1].images and figure.axes[0].get_xlabel() == "x" and figure.axes[3].get_ylabel() == "two"


def test_lines_become_svg_and_faces_jpeg_of_two_pixels_each_with_words():
    lines, axis = plt.subplots()
    axis.plot([1, 2], [3, 4])
    axis.set(title="PSNR of\n$x_1$", xlabel="faces", ylabel="dB")
    svg = as_svg(lines)
    assert rendered(lines) == ({"image/svg+xml": svg}, {"image/svg+xml": {"alt": "PSNR of x_1; across: faces; up: dB"}})
    assert "faces</text>" in svg
    faces = show([[torch.zeros(3, 128, 128)]], ["a face"])
    (kind, data), (_, said) = (part.popitem() for part in rendered(faces))
    assert as_svg(faces) is None and kind == "image/jpeg" and said["alt"] == "a face"
    assert Image.open(io.BytesIO(data)).width in (2 * said["width"], 2 * said["width"] + 1)
    faces.set_label("Nobody")
    assert words_of(faces) == "Nobody"


def test_a_tables_best_is_bold_and_pending_stays(monkeypatch):
    said = []
    monkeypatch.setattr(page, "display", lambda html: said.append(html.data))
    table([["a<b", 1.234, 12345], ["c", 2.0, "pending"], ["d", float("nan"), 3]], ["who", "PSNR", "n"],
          best={"PSNR": max}, digits={"PSNR": 1})
    assert "<b>2.0</b>" in said[0] and said[0].count("<b>") == 1 and "a&lt;b" in said[0]
    assert ">12,345<" in said[0].replace(" ", "") and "pending" in said[0] and "nan" in said[0]


def test_sliders_come_in_a_live_notebook_alone(monkeypatch):
    import ipywidgets

    drawn, moved = [], []
    monkeypatch.setattr(ipywidgets, "interact", lambda draw, **controls: moved.append(controls))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    explore(lambda k=3: drawn.append(k), k=(1, 9))
    assert drawn == [3] and not moved
    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    explore(lambda k=3: drawn.append(k), k=(1, 9))
    assert drawn == [3] and moved == [{"k": (1, 9)}]


def test_your_picture_comes_by_its_path_or_by_a_button(tmp_path, monkeypatch, capsys):
    seen, shown, path = [], [], tmp_path / "face.png"
    Image.new("RGB", (20, 30)).save(path)
    monkeypatch.setattr(page, "without_yunet", lambda: "no YuNet")
    monkeypatch.setattr(page, "display", lambda *widgets: shown.append(widgets))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    your_picture(seen.append)
    your_picture(seen.append, str(path))
    your_picture(seen.append, str(tmp_path / "none.png"))
    assert [image.size for image in seen] == [(20, 30)] and not shown
    note, error = capsys.readouterr().out.splitlines()
    assert note == "no YuNet" and error.startswith("aminet: no such file")

    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    your_picture(seen.append)
    (button, below), = shown
    file = {"name": "face.png", "type": "image/png", "size": 1, "last_modified": datetime.now(timezone.utc)}
    button.value = [file | {"content": path.read_bytes()}]
    assert [image.size for image in seen] == [(20, 30)] * 2
    button.value = [file | {"content": b"no picture"}]
    assert len(seen) == 2 and "aminet: " in capsys.readouterr().out
    button.notify_change({"name": "value", "type": "change", "new": {"face.png": {"content": path.read_bytes()}}})
    assert len(seen) == 3  # ipywidgets 7


@pytest.mark.parametrize("name", diagrams.DIAGRAMS)
def test_a_diagrams_blocks_do_not_touch_and_its_arrows_are_known(name):
    diagram = diagrams.DIAGRAMS[name]
    texts = {key: block[2] if len(block) > 2 else key for key, block in diagram.blocks.items()}
    boxes = [(*block[:2], *diagrams.half_size(texts[key])) for key, block in diagram.blocks.items()]
    for i, (x, y, w, h) in enumerate(boxes):
        assert all(abs(x - u) > w + a or abs(y - v) > h + b for u, v, a, b in boxes[:i]), list(texts)[i]
    ends = {word for arrow in diagram.arrows for word in arrow.split()[::2]}
    assert ends <= diagram.blocks.keys() and {*diagram.dashed} <= {*diagram.blocks, *diagram.arrows}
    figure = diagrams.draw(name, next(iter(texts.values())), links={"SKAF": "05_skaf.html"})
    svg = as_svg(figure)
    assert words_of(figure) == diagram.title
    assert ("05_skaf.html" in svg) is any(text.startswith("SKAF") for text in texts.values())
