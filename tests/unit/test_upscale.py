"""Photographs on the command line: every face is pasted back, nothing else is touched, and nothing is lost."""
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from aminet import PRESETS, AMINet
from aminet.degrade import degrade
from aminet.deploy import upscale as U
from aminet.errors import BadInput
from aminet.faces.dataset import to_tensor
from aminet.faces.finder import Found
from aminet.faces.pictures import align, bicubic
from aminet.faces.portraits import portraits
from aminet.faces.synthetic import faces
from aminet.metrics.pretrained import NETWORKS
from aminet.training.weights import save_weights


def picture_of(face) -> Image.Image:
    return Image.fromarray(face.permute(1, 2, 0).numpy())


def pixels(picture) -> np.ndarray:
    return np.asarray(picture if isinstance(picture, Image.Image) else Image.open(picture)).astype(int)


def found(x: float, y: float, side: float, turn: float = 0.0, problem: str = "") -> Found:
    """A face whose frame of this side has its middle at (x, y)."""
    step = side / 128 * np.exp(1j * np.radians(turn))
    middle = complex(x, y)
    left, right = middle + step * complex(-19, -12), middle + step * complex(19, -12)
    return Found(0.9, complex(left), complex(right), middle, side * 0.7, complex(step * 128), problem)


@pytest.fixture
def weights(tmp_path) -> str:
    """An untrained network, which gives the bicubic face."""
    torch.manual_seed(0)
    header = {"preset": "pocket", "config": PRESETS["pocket"].to_dict(), "images": 0}
    save_weights(tmp_path / "net.safetensors", AMINet(PRESETS["pocket"]).state_dict(), header)
    return "net.safetensors"


@pytest.fixture
def finds(monkeypatch):
    """Call it with faces: they are what is found in every picture but a white one."""
    def stand_in(*there):
        monkeypatch.setattr(U, "find_faces", lambda image: [] if image.getpixel((0, 0)) == (255,) * 3 else list(there))
        monkeypatch.setattr(U, "without_yunet", lambda: None)
    return stand_in


@pytest.fixture
def photo() -> Image.Image:
    """Noise, in which any changed pixel shows."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 250, (240, 320, 3), np.uint8))


def red(_: Image.Image) -> Image.Image:
    """A network that draws every face red."""
    return Image.new("RGB", (128, 128), "red")


# Pasting


def frames(there: list[Found], size: tuple[int, int]) -> list[np.ndarray]:
    """Which pixels lie in each face's frame, as align cuts it."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    inside = []
    for face in there:
        at = (x + 1j * y - (face.left + face.right) / 2) * 38 / (face.right - face.left) + complex(64, 52)
        inside.append((abs(at.real - 64) < 64) & (abs(at.imag - 64) < 64))
    return inside


def test_k_faces_are_pasted_and_no_other_pixel_changes(finds, photo):
    there = [found(60, 60, 100, 20), found(200, 80, 24), found(250, 180, 20, 160), found(100, 190, 11, -80),
             found(5, 200, 30)]  # the last hangs over the edge
    finds(*there)
    result, drawn = U.restore_faces(photo, red, demo=True)
    before, after = pixels(photo), pixels(result)
    changed, inside = (before != after).any(2), frames(there, photo.size)
    assert len(drawn) == 5 and all(face.pasted for face in drawn)
    assert not changed[~np.any(inside, axis=0)].any()
    for face, frame in zip(there, inside):
        assert changed[frame].mean() > 0.8
        middle = after[int(face.middle.imag), int(face.middle.real)]
        assert np.abs(middle - (255, 0, 0)).max() <= 1  # full weight in the middle


def test_what_align_cuts_is_what_paste_puts_back():
    """A smooth face, cut out, pasted into grey and cut out again, is itself where the mask has its full weight."""
    x, y = np.meshgrid(np.arange(128), np.arange(128))
    face = Image.fromarray(np.stack([2 * x, 2 * y, 255 - x - y], -1).astype(np.uint8))
    for there in (found(150, 120, 128), found(150, 120, 200, 33), found(150, 120, 100, -160)):
        grey = np.full((240, 320, 3), 128, np.uint8)
        U.paste(grey, face, there, 1, 1.0)
        again = align(Image.fromarray(grey), *((eye.real, eye.imag) for eye in (there.left, there.right)))
        core = np.s_[U.FEATHER + 2:-U.FEATHER - 2, U.FEATHER + 2:-U.FEATHER - 2]
        assert np.abs(pixels(again)[core] - pixels(face)[core]).max() <= 6


def test_the_weight_falls_with_the_size(finds, photo):
    finds(found(60, 60, 90), found(200, 80, 30), found(250, 180, 20), found(100, 190, 9, problem="below 10 px"))
    result, drawn = U.restore_faces(photo, red)
    large, middle, small, tiny = drawn
    assert "90 px: more than the network draws from 16x16, left as it is; --demo" in large.text and not large.pasted
    assert "30 px: blended, 50% of it restored" == middle.text and "20 px: restored" == small.text
    assert tiny.text == "9 px: left as it is: below 10 px" and not tiny.parts
    changed = (pixels(photo) != pixels(result)).any(2)
    assert not changed[:120, :120].any() and not changed[180:200, 90:110].any()
    before, after = pixels(photo), pixels(result)
    assert np.abs(after[80, 200] - (before[80, 200] + (255, 0, 0)) / 2).max() <= 1  # half of it
    assert np.abs(after[180, 250] - (255, 0, 0)).max() <= 1
    assert np.array_equal(pixels(large.parts[2]), pixels(large.parts[3]))  # the result is the photograph's
    assert np.array_equal(pixels(U.restore_faces(photo, red, demo=True)[1][0].parts[2]), pixels(red(photo)))


def test_an_enlarged_photograph_is_bicubic_outside_the_faces(finds, photo):
    there = found(100, 100, 16)
    finds(there)
    result, _ = U.restore_faces(photo, red, scale=8)
    large = pixels(photo.resize((2560, 1920), Image.Resampling.BICUBIC))
    frame, = frames([found(800, 800, 128)], result.size)
    assert np.array_equal(pixels(result)[~frame], large[~frame])
    assert np.abs(pixels(result)[800, 800] - (255, 0, 0)).max() <= 1
    with pytest.raises(BadInput, match="smaller --scale"):
        U.restore_faces(Image.new("RGB", (2000, 2000)), red, scale=8)


# The command line


def test_a_photograph(tmp_path, weights, aminet, refuses, finds, photo):
    photo.save(tmp_path / "photo.png")
    finds(found(60, 60, 90), found(200, 80, 20))
    done = aminet("upscale", "photo.png", "out.png", "--weights", weights)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "photo.png: 2 faces, 1 restored: out.png; before and after: out_faces.png"
    assert lines[1].startswith("  face 1, 90 px") and lines[2] == "  face 2, 20 px: restored"
    assert "--scale 8" in lines[3] and len(lines) == 4
    assert Image.open(tmp_path / "out_faces.png").size == (24 + 4 * 128, 16 + 2 * 128)
    before = (tmp_path / "out.png").read_bytes()
    refuses("out.png exists and is kept: --overwrite", "upscale", "photo.png", "out.png")
    assert aminet("upscale", "photo.png", "out.png", "--scale", 2, "--overwrite").returncode == 0
    assert Image.open(tmp_path / "out.png").size == (640, 480) and (tmp_path / "out.png").read_bytes() != before
    assert aminet("upscale", "photo.png", "crops", "--faces-only", "--weights", weights).returncode == 0
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == [
        "photo_1.png", "photo_2.png", "photo_faces.png"]
    assert Image.open(tmp_path / "crops" / "photo_2.png").size == (128, 128)


def test_what_is_refused(tmp_path, refuses, finds, photo):
    finds(found(60, 60, 20))
    photo.save(tmp_path / "photo.png")
    Image.new("RGB", (200, 200), "white").save(tmp_path / "white.png")
    (tmp_path / "empty").mkdir()
    photo.save(tmp_path / "a_faces.png")
    photo.save(tmp_path / "b_1.png")
    before = [(path, path.is_file() and path.read_bytes()) for path in sorted(tmp_path.rglob("*"))]
    refuses("overwrite the input", "upscale", "photo.png", "photo.png", "--overwrite")
    refuses("overwrite the input", "upscale", "a_faces.png", "a.png", "--overwrite")
    refuses("overwrite the input", "upscale", "b_1.png", "b.png", "--overwrite", "--faces-only")
    refuses("lie among it", "upscale", ".", ".")
    refuses("lie among it", "upscale", ".", "../" + tmp_path.name)
    refuses("ends in", "upscale", "photo.png", "out.txt")
    refuses("missing.png", "upscale", "missing.png", "out.png")
    refuses("white.png: no face found: give a picture with a visible face, or with --aligned", "upscale", "white.png",
            "out.png")
    refuses("empty holds no picture", "upscale", "empty", "out")
    refuses("invalid choice", "upscale", "photo.png", "out.png", "--scale", 3)
    refuses("no such file", "upscale", "x" * 300 + ".png", "out.png")
    refuses("no weights", "upscale", "photo.png", "out.png", "--weights", "x" * 300)
    assert [(path, path.is_file() and path.read_bytes()) for path in sorted(tmp_path.rglob("*"))] == before


def test_a_folder_of_fifty_goes_on_past_bad_files(tmp_path, weights, aminet, finds):
    finds(found(20, 20, 20))
    (tmp_path / "in" / "below").mkdir(parents=True)
    for i in range(44):
        Image.new("RGB", (40, 40), (i, 0, 0)).save(tmp_path / "in" / f"{i:02}.png")
    Image.new("RGB", (40, 40), "white").save(tmp_path / "in" / "nobody.png")
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(buffer, "PNG")
    for name, content in (("text.png", b"no picture"), ("cut.jpg", buffer.getvalue()[:50]), ("empty.gif", b""),
                          ("bad\n\x1b[2J.png", b"no picture"), ("00.jpg", buffer.getvalue())):  # 00 is there twice
        (tmp_path / "in" / name).write_bytes(content)
    (tmp_path / "in" / "notes.txt").write_text("not a picture's name: passed over")
    done = aminet("upscale", "in", "out", "--weights", weights)
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == "45 of 50 pictures done, 0 kept as they were, 5 failed"
    for name in ("text.png", "cut.jpg", "empty.gif", "nobody.png: no face found", "bad\\n\\x1b[2J.png"):
        assert name in done.stderr, name
    assert "\x1b[2J" not in done.stderr + done.stdout
    results = {path.name for path in (tmp_path / "out").iterdir()}
    assert len(results) == 90 and {"00.png.png", "00.jpg.png", "01.png", "01_faces.png"} <= results
    again = aminet("upscale", "in", "out", "--weights", weights)
    assert again.returncode == 2 and "0 of 50 pictures done, 45 kept as they were, 5 failed" in again.stdout
    for name in ("text.png", "cut.jpg", "empty.gif", "nobody.png", "bad\n\x1b[2J.png"):
        (tmp_path / "in" / name).unlink()
    done = aminet("upscale", "in", "out", "--weights", weights)
    assert done.returncode == 0 and "0 of 45 pictures done, 45 kept" in done.stdout


def test_what_is_no_file_in_a_folder_fails_and_the_rest_goes_on(tmp_path, weights, aminet, refuses):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(tmp_path / "in" / "face.jfif", "JPEG")
    for name, target in (("dangling.png", "nowhere"), ("loop.png", "loop.png"), ("zero.png", "/dev/zero"),
                         ("linked.png", "sub")):
        (tmp_path / "in" / name).symlink_to(target)
    os.mkfifo(tmp_path / "in" / "pipe.png")
    done = aminet("upscale", "in", "out", "--weights", weights)
    assert done.returncode == 2 and "1 of 5 pictures done, 0 kept as they were, 4 failed" in done.stdout
    for words in ("dangling.png: cannot be read (No such file", "loop.png: cannot be read (Too many levels",
                  "pipe.png: cannot be read (a folder, a pipe or", "zero.png: cannot be read (a folder, a pipe or"):
        assert words in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"face.png", "face_faces.png"}
    refuses("a pipe or a device", "upscale", "in/pipe.png", "a.png", "--weights", weights)


def test_aligned_faces_of_any_size(tmp_path, weights, aminet, monkeypatch):
    monkeypatch.setattr(U, "find_faces", lambda image: pytest.fail("a face is looked for"))
    monkeypatch.setattr(U, "without_yunet", lambda: pytest.fail("YuNet is looked for"))
    face = picture_of(faces(1)[0])
    for side in (16, 17, 24, 32, 128, 300):
        face.resize((side, side), Image.Resampling.BICUBIC).save(tmp_path / f"{side}.png")
    face.crop((0, 10, 128, 110)).save(tmp_path / "wide.png")
    names = ("16", "17", "24", "32", "128", "300", "wide")
    done = aminet("upscale", *(f"{name}.png" for name in names), "out", "--aligned", "--weights", weights)
    assert done.returncode == 0, done.stderr
    for name in names:
        assert Image.open(tmp_path / "out" / f"{name}.png").size == (128, 128)
        width = 24 + (3 if name == "16" else 4) * 128
        assert Image.open(tmp_path / "out" / f"{name}_faces.png").size == (width, 16 + 128)
    expected = bicubic(bicubic(face, 16), 128)
    assert np.abs(pixels(tmp_path / "out" / "128.png") - pixels(expected)).max() <= 1  # untrained: bicubic
    done = aminet("upscale", "16.png", "face.png", "--weights", weights)  # a 16x16 picture is always a face
    assert done.returncode == 0 and done.stdout.startswith("16.png: 1 face, 1 restored: face.png;")
    assert np.array_equal(pixels(tmp_path / "face.png"), pixels(tmp_path / "out" / "16.png"))


def test_without_yunet_one_line_says_so(tmp_path, weights, aminet, finds, photo, monkeypatch, refuses):
    finds(found(60, 60, 20))
    monkeypatch.setattr(U, "without_yunet", lambda: "only upright faces are found")
    photo.save(tmp_path / "photo.png")
    done = aminet("upscale", "photo.png", "out.png", "--weights", weights)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "  only upright faces are found"
    photo.save(tmp_path / "second.png")
    done = aminet("upscale", "photo.png", "second.png", "both", "--weights", weights)
    assert done.returncode == 0 and done.stdout.count("only upright") == done.stdout.count("--scale 8") == 1
    Image.new("RGB", (200, 200), "white").save(tmp_path / "white.png")
    refuses("no face found", "upscale", "white.png", "none.png")
    assert "only upright faces" in refuses("no face found", "upscale", "white.png", "none.png")


def test_a_picture_too_long_for_its_format(tmp_path, weights, refuses, finds):
    finds(found(20, 20, 20))
    Image.new("RGB", (20000, 40)).save(tmp_path / "long.png")
    refuses("choose .png", "upscale", "long.png", "out.webp", "--weights", weights)
    assert not (tmp_path / "out.webp").exists()


def test_astronaut_in_a_photograph(tmp_path, aminet):
    """With YuNet: the face of the photograph is the portrait, and it is drawn anew only in the demo."""
    folder = os.environ.get("AMINET_WEIGHTS")
    if not folder or not (Path(folder) / NETWORKS["yunet"][0].name).exists():
        pytest.skip("YuNet is not at hand (set AMINET_WEIGHTS)")
    Image.fromarray(astronaut()).save(tmp_path / "photo.png")
    done = aminet("upscale", "photo.png", "face.png")
    assert done.returncode == 0 and "photo.png: 1 face, 0 restored" in done.stdout, done.stdout + done.stderr
    assert np.array_equal(pixels(tmp_path / "face.png"), astronaut())
    assert aminet("upscale", "photo.png", "demo.png", "--demo").returncode == 0
    assert (pixels(tmp_path / "demo.png") != astronaut()).any()
    original = to_tensor(Image.open(tmp_path / "demo_faces.png").crop((24 + 384, 16, 24 + 512, 144))).unsqueeze(0)

    def distance(name):  # at 16x16, where the detector's few pixels hardly count
        return (degrade(original).float() - degrade(portraits()[name].unsqueeze(0)).float()).abs().mean()
    assert distance("collins") < 0.5 * distance("hopper")


def test_turned_portraits_in_a_photograph(tmp_path, aminet, pretrained):
    """Each is cut out upright, of four in one picture; AMINET_WEIGHTS may name several folders."""
    yunet, = pretrained("yunet")
    portrait, photo = Image.fromarray(astronaut()).crop((120, 20, 312, 212)), Image.new("RGB", (540, 540), "gray")
    for i, turn in enumerate((15, 30, 90, 180)):
        photo.paste(portrait.rotate(-turn, Image.Resampling.BICUBIC, expand=True), (i % 2 * 270, i // 2 * 270))
    photo.save(tmp_path / "photo.png")
    folders = os.pathsep.join((str(tmp_path / "nothing here"), str(yunet.parent)))
    done = aminet("upscale", "photo.png", "out.png", "--demo", env={"AMINET_WEIGHTS": folders, "TORCH_HOME": folders})
    assert "photo.png: 4 faces, 4 restored" in done.stdout and "YuNet" not in done.stdout, done.stdout + done.stderr
    known, sheet = degrade(portraits()["collins"].unsqueeze(0)).float(), Image.open(tmp_path / "out_faces.png")
    for top in range(16, 16 + 4 * 128, 128):
        face = to_tensor(sheet.crop((24 + 384, top, 24 + 512, top + 128))).unsqueeze(0)
        assert (degrade(face).float() - known).abs().mean() < 12  # left tilted by 5 degrees, it would be 16
