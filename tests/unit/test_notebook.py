"""What the notebooks share: wrong parameters fail, exercises are graded, pictures are right side up."""
import numpy as np
import pytest
import torch

from aminet import BadInput
from aminet.notebook import begin, grade, picture_of

DEFAULTS = {"faces": "synthetic:8", "out": "", "images": 360, "lr": 1e-3, "resume": False}


def start(injected: str, **later) -> dict:
    """The names of a notebook after its start, as a kernel holds them that papermill drives."""
    names = {**DEFAULTS, "In": ["", "the parameters cell"], "_i1": "", "exit": exit}
    parameters = dict(names)
    if injected:
        names["In"].append(f"# Parameters\n{injected}\n")
        exec(injected, names)
    begin(names, parameters)
    names.update(later)
    begin(names, parameters)  # the cell may run again
    return names


@pytest.mark.parametrize("injected, words", [
    ("imagess = 4", "unknown parameter imagess: this notebook has faces, images, lr, out, resume"),
    ("images = 'abc'", "images is 'abc': this notebook wants a whole number"),
    ("images = 1.5", "images is 1.5: this notebook wants a whole number"),
    ("images = True", "images is True: this notebook wants a whole number"),
    ("images = None", "images is None: this notebook wants a whole number"),
    ("lr = 'fast'", "lr is 'fast': this notebook wants a number"),
    ("lr = False", "lr is False: this notebook wants a number"),
    ("resume = 'false'", "resume is 'false': this notebook wants True or False"),
    ("resume = 0", "resume is 0: this notebook wants True or False"),
    ("out = 2024", "out is 2024: this notebook wants text"),
    ("faces = ['a', 'b']", r"faces is \['a', 'b'\]: this notebook wants text"),
])
def test_wrong_parameters_are_refused(injected, words):
    with pytest.raises(BadInput, match=f"^{words}"):
        start(injected)


@pytest.mark.parametrize("injected", [
    "", "images = 4", "lr = 1", "lr = float('inf')", "resume = True", "out = 'a folder'", "faces = 'a b'",
    "images = 4\nlr = 0.5\nresume = False",
])
def test_right_parameters_are_taken_and_the_start_runs_again(injected):
    names = start(injected, x=3, images="changed by a later cell", F=np)
    assert names["images"] == "changed by a later cell"


def test_none_stands_for_no_text():
    assert start("out = None")["out"] == ""


def test_a_source_with_a_space_is_refused(tmp_path, monkeypatch):
    (tmp_path / "my faces").mkdir()
    monkeypatch.setenv("AMINET_FACES", str(tmp_path))
    with pytest.raises(BadInput, match="^faces is 'my faces': spaces separate sources"):
        start("faces = 'my faces'")
    start(f"out = {str(tmp_path / 'my faces')!r}")


def test_names_of_ones_own_are_no_parameters():
    """A live notebook, not driven by papermill: its second cell may be anything."""
    parameters = {**DEFAULTS, "In": ["", "..."]}
    begin({**parameters, "mine": 4, "In": ["", "...", "mine = 4"]}, parameters)


@pytest.mark.parametrize("answer, verdict", [
    (lambda x: 2 * x, "right\n"), (lambda x: 3 * x, "not yet: double it\n"), (lambda x: None, "not yet: double it\n"),
    (lambda x: x / 0, "not yet: ZeroDivisionError. double it\n"), (lambda x: "four", "not yet: TypeError. double it\n"),
    (lambda x: torch.tensor([2.0 * x, 2.0 * x]), "not yet: double it\n"),
])
def test_grade(answer, verdict, capsys):
    assert grade(answer, [((2,), 4), ((0.5,), 1.0)], "double it") is (verdict == "right\n")
    assert capsys.readouterr().out == verdict


def test_grade_compares_words_and_tuples(capsys):
    assert grade(lambda: ("a", 1.00001), [((), ("a", 1.0))], "")
    assert not grade(lambda: ("b", 1.0), [((), ("a", 1.0))], "")


def test_picture_of():
    x = torch.full((3, 2, 4), -1.0)
    x[0, 0, 3] = 1.0  # a red pixel, top right
    picture = picture_of(x)
    assert picture.shape == (2, 4, 3) and picture.dtype == np.uint8
    assert picture[0, 3].tolist() == [255, 0, 0] and picture[1, 0].tolist() == [0, 0, 0]
    assert picture_of(torch.rand(2, 4)).shape == (2, 4)
