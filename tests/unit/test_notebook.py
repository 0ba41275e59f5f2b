"""What the notebooks share: unknown parameters fail, exercises are graded, pictures are right side up."""
import numpy as np
import pytest
import torch

from aminet import BadInput
from aminet.notebook import begin, grade, picture_of


def test_unknown_parameters_are_refused():
    known = {"images", "PARAMETERS"}
    begin({"images": 3, "PARAMETERS": known, "_i1": "", "In": [], "Out": {}}, known)
    with pytest.raises(BadInput, match="unknown parameter imagess: this notebook has images"):
        begin({"images": 3, "imagess": 4, "PARAMETERS": known}, known)


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
