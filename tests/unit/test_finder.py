"""The faces of a photograph: every one is found, whatever its size and turn, or there is a reason."""
import hashlib
import math
import sys

import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage.data import astronaut, camera

from aminet.errors import BadInput
from aminet.faces import finder
from aminet.faces.finder import Found, distinct, find_faces, problem
from aminet.faces.portraits import EYES, portraits
from aminet.metrics import pretrained as P


@pytest.fixture
def no_yunet(monkeypatch):
    """YuNet is neither at hand nor to be had."""
    monkeypatch.setattr(finder, "missing_network", lambda name: f"{name} is not at hand")
    monkeypatch.setattr(finder, "without_yunet", lambda: finder.why_without.__wrapped__(""))


@pytest.fixture
def square_detector(monkeypatch):
    """In place of YuNet: it finds a white square of any size that is nearly upright, with a red left eye and a blue
    right one, and reads the eyes' line at 0.8 of its turn."""
    def detections(image):
        pixels = image.astype(int)
        red, blue, white = (np.argwhere(np.abs(pixels - colour).sum(2) < 120) for colour in (
            (255, 0, 0), (0, 0, 255), (255, 255, 255)))
        if min(len(red), len(blue), len(white)) < 4:
            return np.empty((0, 15))
        (ly, lx), (ry, rx) = red.mean(0), blue.mean(0)
        turn = math.degrees(math.atan2(ry - ly, rx - lx))
        if abs(turn) > 40:
            return np.empty((0, 15))
        middle, half = complex(lx + rx, ly + ry) / 2, complex(rx - lx, ry - ly) / 2
        half *= complex(math.cos(math.radians(turn) * 0.2), -math.sin(math.radians(turn) * 0.2))
        side = 2 * abs(half) * 128 / 38 / finder.FRAME
        eyes = [part for eye in (middle - half, middle + half) for part in (eye.real, eye.imag)]
        box = [middle.real - side * 0.37, middle.imag - side * 0.4, side * 0.74, side]
        return np.array([[*box, *eyes, *[0.0] * 6, 0.95 - abs(turn) / 100]])

    monkeypatch.setattr(finder, "detections", detections)
    monkeypatch.setattr(finder, "without_yunet", lambda: None)


def drawn_square(turn: float, side: int = 128, at: tuple[int, int] = (200, 220)) -> Image.Image:
    """A picture with a white square, its eyes 38/128 of its side apart, turned clockwise around its middle."""
    face = Image.new("RGB", (128, 128), "white")
    for x, colour in ((45, (255, 0, 0)), (83, (0, 0, 255))):
        face.paste(colour, (x - 5, 47, x + 5, 57))
    face = face.resize((side, side), Image.Resampling.NEAREST).rotate(-turn, Image.Resampling.NEAREST, expand=True)
    picture = Image.new("RGB", (480, 400), (60, 90, 60))
    picture.paste(face, (at[0] - face.width // 2, at[1] - face.height // 2))
    return picture


@pytest.mark.parametrize("turn", [0, 20, -40, 77, 90, 180, -135])
@pytest.mark.parametrize("side", [60, 128])
def test_a_face_is_levelled_whatever_its_turn(square_detector, turn, side):
    face, = find_faces(drawn_square(turn, side))
    assert abs((face.roll - turn + 180) % 360 - 180) < 3
    assert face.side == pytest.approx(side, rel=0.05) and not face.problem
    eyes = [(200 + 220j) + complex(x, -12) * side / 128 * np.exp(1j * math.radians(turn)) for x in (-19, 19)]
    assert abs(face.left - eyes[0]) < 0.03 * side and abs(face.right - eyes[1]) < 0.03 * side


def a_face(eyes=38.0, middle=100 + 100j, width=80.0, score=0.9) -> Found:
    return Found(score, middle - eyes / 2, middle + eyes / 2, middle, width, complex(128))


def test_what_cannot_be_restored_has_a_reason():
    picture = Image.new("RGB", (200, 200))
    assert problem(a_face(), picture) == ""
    assert problem(a_face(eyes=23), picture) == "a profile"
    assert problem(a_face(middle=18 + 100j), picture) == problem(a_face(middle=100 + 201j), picture) != ""
    assert problem(a_face(eyes=2.9, width=6), picture) == "below 10 px"


def test_faces_in_one_place_are_one():
    best, turned, inside, beside = (a_face(), a_face(middle=103 + 104j, score=0.8), a_face(11, 120 + 110j, 24, 0.7),
                                    a_face(middle=160 + 100j, score=0.7))
    assert distinct([turned, inside, best, beside]) == [best, beside]


def test_without_yunet_upright_faces_are_found_as_boxes(no_yunet):
    picture = Image.fromarray(astronaut())
    face = find_faces(picture)[0]
    for eye, expected in zip((face.left, face.right), EYES["collins"]):
        assert abs(eye - complex(*expected)) < 8
    assert face.roll == 0 and "eyes are guessed: yunet is not at hand" in finder.without_yunet()
    assert find_faces(Image.new("RGB", (200, 200))) == []


HOSTILE = [(16, 16), (1, 1), (1, 100_000), (100_000, 1), (16, 1_000_000)]


@pytest.mark.parametrize("size", HOSTILE)
def test_pictures_of_any_size_without_yunet(no_yunet, size):
    assert find_faces(Image.new("RGB", size, "gray")) == []


@pytest.mark.parametrize("size", HOSTILE)
def test_pictures_of_any_size(pretrained, size):
    pretrained("yunet")
    assert find_faces(Image.new("RGB", size, "gray")) == []


def test_without_any_detector_one_line_says_what_to_do(no_yunet, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(BadInput, match="yunet is not at hand.*scikit-image"):
        find_faces(Image.new("RGB", (64, 64)))


# With YuNet


@pytest.mark.parametrize("turn, bar", [(0, 3), (-15, 5), (30, 5), (60, 5), (90, 5), (180, 5)])  # in degrees
@pytest.mark.parametrize("name", EYES)
def test_a_portrait_is_levelled_whatever_its_turn(pretrained, name, turn, bar):
    """Against eyes that were set by hand, an upright face is levelled within 3 degrees, a turned one within 5."""
    pretrained("yunet")
    with get_sample_data("grace_hopper.jpg") as file:
        picture = Image.open(file).convert("RGB") if name == "hopper" else Image.fromarray(astronaut())
    eyes = [complex(*eye) for eye in EYES[name]]
    known = a_face()._replace(left=eyes[0], right=eyes[1])
    turned = picture.rotate(-turn, Image.Resampling.BICUBIC, expand=True)  # Pillow turns against the clock
    face = find_faces(turned)[0]
    assert abs((face.roll - known.roll - turn + 180) % 360 - 180) < bar and not face.problem
    assert face.side == pytest.approx(known.side, rel=0.05)
    before, after = (complex(*each.size) / 2 for each in (picture, turned))
    places = [(eye - before) * np.exp(1j * math.radians(turn)) + after for eye in eyes]
    error = max(abs(seen - place) for seen, place in zip((face.left, face.right), places))
    assert error < 0.03 * known.side


def test_sixteen_faces_are_sixteen_and_one_in_a_panorama_is_one(pretrained):
    pretrained("yunet")
    two = [Image.fromarray(face.permute(1, 2, 0).numpy()) for face in portraits().values()]
    grid = Image.new("RGB", (512, 512))
    for i in range(16):
        grid.paste(two[i % 2], (i % 4 * 128, i // 4 * 128))
    found = find_faces(grid)
    assert len(found) == 16 and all(115 < face.side < 145 and abs(face.roll) < 6 for face in found)
    assert {(int(face.middle.real) // 128, int(face.middle.imag) // 128) for face in found} == {
        (x, y) for x in range(4) for y in range(4)}
    wide = Image.new("RGB", (10000, 300), "gray")
    wide.paste(two[1].resize((300, 300)), (6000, 0))
    face, = find_faces(wide)
    assert abs(face.middle - (6150 + 150j)) < 20 and face.side == pytest.approx(300, rel=0.1)


def test_upright_and_turned_faces_in_one_picture(pretrained):
    pretrained("yunet")
    two = [Image.fromarray(face.permute(1, 2, 0).numpy()) for face in portraits().values()]
    picture = Image.new("RGB", (400, 200), "gray")
    picture.paste(two[0], (30, 30))
    picture.paste(two[1].rotate(180), (230, 30))
    rolls = sorted(abs(face.roll) for face in find_faces(picture))
    assert len(rolls) == 2 and rolls[0] < 6 and rolls[1] > 174


def test_profiles_and_cut_faces_are_named(pretrained):
    pretrained("yunet")
    assert find_faces(Image.fromarray(camera()).convert("RGB"))[0].problem == "a profile"
    cut = Image.fromarray(astronaut()).crop((150, 110, 300, 220))
    assert find_faces(cut)[0].problem == "an eye lies outside the picture"


# YuNet's file, where there is no torch


def test_yunet_is_fetched_and_checked_without_torch(tmp_path, monkeypatch):
    for name in ("torch", "torch.hub"):
        monkeypatch.setitem(sys.modules, name, None)
    good = b"the right bytes"
    (tmp_path / "net.onnx").write_bytes(good)
    digest = hashlib.sha256(good).hexdigest()
    monkeypatch.setitem(P.NETWORKS, "yunet", (P.NetworkFile("net.onnx", 15, digest, (tmp_path / "net.onnx").as_uri()),))
    monkeypatch.setenv("AMINET_WEIGHTS", "")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = P.locate("yunet")
    assert path == tmp_path / "torch" / "hub" / "checkpoints" / "net.onnx" and path.read_bytes() == good
    path.unlink()
    (tmp_path / "net.onnx").write_bytes(b"the wrong bytes")
    with pytest.raises(BadInput, match="invalid hash.*AMINET_WEIGHTS"):
        P.locate("yunet")
    assert not list(path.parent.iterdir())
