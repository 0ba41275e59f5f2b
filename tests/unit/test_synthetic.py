from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from aminet.degrade import resize
from aminet.errors import BadInput
from aminet.faces.synthetic import CLASSES, STYLES, FaceParams, draw_faces, faces, random_params, render
from aminet.metrics.yunet import detect

BALD = FaceParams(identity=3, hair=STYLES.index("bald"), light=0.0)
SEEDS = range(12)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small operations on small pictures: threads only get in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def share(face, points, names) -> float:
    """Share of the landmarks that lie on, or one pixel from, a pixel of the named classes."""
    wanted = torch.isin(face.mask, torch.tensor([CLASSES.index(n) for n in names])).float()[None, None]
    wanted = torch.nn.functional.max_pool2d(wanted, 3, 1, 1)[0, 0]
    x, y = face.landmarks[points].long().T
    return float(wanted[y.clamp(0, 127), x.clamp(0, 127)].mean())


def test_shapes_and_types():
    face = render(BALD)
    assert face.image.shape == (3, 128, 128) and face.image.dtype == torch.uint8
    assert face.landmarks.shape == (68, 2) and face.landmarks.dtype == torch.float32
    assert face.mask.shape == (128, 128) and face.mask.dtype == torch.uint8
    assert len(CLASSES) == 19 and face.mask.max() < 19


def test_same_parameters_same_bytes():
    a, b = render(random_params(5)), render(random_params(5))
    assert all(torch.equal(u, v) for u, v in zip(a, b))
    assert torch.equal(faces(3, seed=2)[1], faces(9, seed=2)[1])


def test_statistics_do_not_drift():
    x = faces(16, seed=0).float() / 255
    assert float(x.mean()) == pytest.approx(0.502, abs=0.02)
    assert float(x.std()) == pytest.approx(0.225, abs=0.02)


def test_size_scales_picture_and_landmarks():
    small, large = render(BALD), render(BALD, 256)
    assert large.image.shape == (3, 256, 256) and large.mask.shape == (256, 256)
    assert torch.allclose(large.landmarks, 2 * small.landmarks, atol=1e-3)
    halved = torch.nn.functional.avg_pool2d(large.image.float(), 2)
    assert float((halved - small.image.float()).abs().mean()) < 8


def test_alignment_of_a_frontal_face():
    for seed in SEEDS:
        points = render(replace(random_params(seed), yaw=0.0)).landmarks
        left, right = points[36:42].mean(0), points[42:48].mean(0)
        assert float(right[0] - left[0]) == pytest.approx(38, abs=2.5)
        assert float((left + right)[1] / 2) == pytest.approx(52, abs=1.5)
        assert float((left + right)[0] / 2) == pytest.approx(64, abs=0.5)


@pytest.mark.parametrize("yaw", [0.0, -20.0])
def test_landmarks_lie_on_the_parts_they_name(yaw):
    for seed in SEEDS:
        face = render(replace(random_params(seed), yaw=yaw, hair=0, glasses=False, expression=0.8))
        assert share(face, slice(36, 42), ["l_eye"]) > 0.99
        assert share(face, slice(42, 48), ["r_eye"]) > 0.99
        assert share(face, slice(17, 22), ["l_brow"]) > 0.79 and share(face, slice(22, 27), ["r_brow"]) > 0.79
        assert share(face, slice(27, 36), ["nose"]) > 0.85
        assert share(face, slice(48, 60), ["u_lip", "l_lip"]) > 0.8
        assert share(face, slice(60, 68), ["mouth", "u_lip", "l_lip"]) > 0.99
        jaw = ["skin", "l_ear", "r_ear", "neck"]
        assert share(face, slice(0, 17), jaw) > 0.99


def test_jaw_follows_the_outline():
    face = render(BALD)
    x, y = face.landmarks[[4, 12]].long().T
    assert all(face.mask[y, x] == 1)
    assert face.mask[y[0], x[0] - 4] != 1 and face.mask[y[1], x[1] + 4] != 1


def test_yaw_moves_the_nose_sideways():
    offsets = [float(render(replace(BALD, yaw=v)).landmarks[30, 0]) for v in (-30.0, -15.0, 0.0, 15.0, 30.0)]
    assert np.diff(offsets).min() > 4
    assert offsets[2] == pytest.approx(64, abs=0.01)


def test_light_changes_the_bright_side():
    def left_minus_right(light):
        face = render(replace(BALD, light=light, strength=0.8))
        skin = (face.mask == 1).float()
        grey = face.image.float().mean(0) * skin
        return float(grey[:, :64].sum() / skin[:, :64].sum() - grey[:, 64:].sum() / skin[:, 64:].sum())

    assert left_minus_right(-1.0) > 15 and left_minus_right(1.0) < -15 and abs(left_minus_right(0.0)) < 8


def test_expression_raises_the_corners_and_opens_the_mouth():
    def lift(expression):
        points = render(replace(BALD, expression=expression)).landmarks
        return float(points[51, 1] - points[[48, 54], 1].mean())

    assert lift(1.0) > lift(0.0) + 2 and lift(0.0) > lift(-1.0) + 1
    opened = render(replace(BALD, expression=1.0)).mask == CLASSES.index("mouth")
    assert opened.sum() > 40 and not (render(BALD).mask == CLASSES.index("mouth")).any()


def test_glasses_hair_and_skin():
    def pixels(params, name):
        return int((render(params).mask == CLASSES.index(name)).sum())

    assert pixels(BALD, "eye_g") == 0 and pixels(replace(BALD, glasses=True), "eye_g") > 200
    assert pixels(BALD, "hair") == 0
    long, short = (pixels(replace(BALD, hair=STYLES.index(s)), "hair") for s in ("straight", "short"))
    assert long > short > 400
    light, dark = (render(replace(BALD, skin=v)) for v in (0.0, 1.0))
    assert light.image[:, light.mask == 1].float().mean() > dark.image[:, dark.mask == 1].float().mean() + 60


@pytest.mark.parametrize("bad", [
    {"yaw": 36}, {"yaw": float("nan")}, {"expression": 1.1}, {"light": -2}, {"skin": 2}, {"strength": -0.1},
    {"tone": 1.5}, {"hair": len(STYLES)}, {"identity": -1}])
def test_out_of_range_parameters(bad):
    with pytest.raises(BadInput, match=next(iter(bad))):
        FaceParams(**bad)


def test_other_bad_input():
    for call in (lambda: random_params(-1), lambda: render(BALD, 8), lambda: faces(0), lambda: faces(2, -1),
                 lambda: faces(10**30), lambda: faces(1, 10**30), lambda: faces("3"), lambda: faces(1.5),
                 lambda: random_params("a"), lambda: render(BALD, 10**9), lambda: render(BALD, "a")):
        with pytest.raises(BadInput):
            call()


def test_variety():
    x, other = faces(24, seed=1), faces(8, seed=2)
    assert len(x) == 24 and all(torch.equal(a, b.image) for a, b in zip(x, draw_faces(3, seed=1)))
    flat, far = x.flatten(1).float() / 255, other.flatten(1).float() / 255
    assert float(torch.cdist(flat, flat)[~torch.eye(24, dtype=torch.bool)].min()) > 15
    assert float(torch.cdist(flat, far).min()) > 15
    identity = {random_params(s * 1_000_000 + i).identity for s in (1, 2) for i in range(24)}
    assert len(identity) == 48


def test_a_face_detector_finds_them(pretrained):
    pretrained("yunet")
    assert sum(bool(detect(image)) for image in resize(faces(100, seed=0), 320).numpy()) >= 95
