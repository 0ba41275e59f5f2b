"""Perceptual metrics: naive references, fixed values on public-domain portraits, and what must not change a value."""
import os
import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from aminet.degrade import degrade, upsample
from aminet.errors import BadInput
from aminet.faces.dataset import to_tensor
from aminet.faces.pictures import open_image
from aminet.faces.portraits import portraits
from aminet.faces.synthetic import faces
from aminet.metrics import perceptual as P
from aminet.metrics import yunet as Y
from aminet.metrics.measure import measure
from aminet.metrics.pretrained import features
from aminet.protocol import PROTOCOLS


@pytest.fixture(scope="module")
def hr():
    return torch.stack(list(portraits().values()))  # hopper, collins


@pytest.fixture(scope="module")
def bicubic(hr):
    return upsample(degrade(hr))


# LPIPS

@torch.no_grad()
def naive_lpips(sr: torch.Tensor, hr: torch.Tensor) -> np.ndarray:
    """Zhang et al. 2018, Eq. 1: unit-length features of five layers, squared differences, weighted by the heads."""
    import lpips

    path = Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth"
    heads = torch.load(path, map_location="cpu", weights_only=True)
    shift, scale = (torch.tensor(v)[:, None, None] for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    x = torch.cat([sr, hr]).double() / 127.5 - 1
    x, total = (x - shift.double()) / scale.double(), 0
    for i, layer in enumerate(features("alexnet").double()):
        x = layer(x).clone()
        if i in (1, 4, 7, 9, 11):
            a, b = F.normalize(x, dim=1).chunk(2)
            total = total + ((a - b) ** 2 * heads[f"lin{(1, 4, 7, 9, 11).index(i)}.model.1.weight"]).sum(1).mean((1, 2))
    return total.numpy()


def test_lpips_is_the_naive_one(pretrained, hr, bicubic):
    pretrained("alexnet")
    assert P.lpips(bicubic, hr) == pytest.approx(naive_lpips(bicubic, hr), abs=1e-5)


def test_lpips_of_the_portraits(pretrained, hr, bicubic):
    pretrained("alexnet")
    assert P.lpips(bicubic, hr) == pytest.approx([0.6200, 0.6888], abs=2e-3)  # the file may hold halved weights
    assert P.lpips(hr, hr).tolist() == [0, 0]
    half = (hr // 2 + bicubic // 2).to(torch.uint8)
    assert (P.lpips(half, hr) < P.lpips(bicubic, hr)).all()


def test_lpips_of_its_own_example(pretrained):
    """0.722 and 0.138: what the lpips repository prints for the three images in its folder imgs."""
    pretrained("alexnet")
    folder = Path(os.environ.get("AMINET_LPIPS_IMAGES", "imgs"))
    if not (folder / "ex_ref.png").is_file():
        pytest.skip("ex_ref.png, ex_p0.png and ex_p1.png of the lpips repository are not at hand: set "
                    "AMINET_LPIPS_IMAGES to their folder")
    ref, p0, p1 = (to_tensor(open_image(folder / f"ex_{name}.png"))[None] for name in ("ref", "p0", "p1"))
    assert P.lpips(torch.cat([p0, p1]), torch.cat([ref, ref])) == pytest.approx([0.722, 0.138], abs=6e-4)


def test_lpips_is_per_image_and_truncates_a_float_result(pretrained, hr, bicubic, monkeypatch):
    pretrained("alexnet")
    values = P.lpips(bicubic, hr)
    assert values.dtype == np.float64
    monkeypatch.setattr(P, "BATCH", 2)
    three = P.lpips(bicubic[[0, 1, 0]], hr[[0, 1, 0]])  # a full batch and a rest
    assert three == pytest.approx(values[[0, 1, 0]], abs=1e-6)
    assert P.lpips((bicubic + 0.75) / 127.5 - 1, hr) == pytest.approx(values, abs=1e-12)
    assert measure(bicubic, hr, PROTOCOLS["dic"], ("lpips",))["lpips"] == pytest.approx(values, abs=1e-12)


def test_lpips_network_is_made_quietly(pretrained, monkeypatch, capfd):
    """Nothing fetched behind our back, no random numbers used, nothing printed, nothing to train."""
    pretrained("alexnet")
    P.lpips_network.cache_clear()
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = P.lpips_network()
    assert torch.equal(torch.get_rng_state(), before) and capfd.readouterr() == ("", "")
    assert P.lpips_network() is network and not network.training
    assert not any(p.requires_grad for p in network.parameters())


# Identity

def test_identity_of_the_portraits(pretrained, hr, bicubic):
    pretrained("yunet", "arcface")
    same, others, blurred = P.identity(hr, hr), P.identity(hr.flip(0), hr), P.identity(bicubic, hr)
    assert same == pytest.approx([1, 1])
    assert (np.abs(others) < 0.3).all() and (blurred > others + 0.1).all() and (blurred < 0.9).all()
    assert blurred == pytest.approx([0.3447, 0.3493], abs=5e-3)


def test_identity_needs_a_face_in_the_original_only(pretrained, hr):
    pretrained("yunet", "arcface")
    flat = torch.full_like(hr[:1], 128)
    values = P.identity(torch.cat([hr[:1], flat]), torch.cat([flat, hr[1:]]))
    assert np.isnan(values[0]) and -1 < values[1] < 0.5


def test_landmarks_of_the_portraits(pretrained, hr):
    """Aligned by hand, so the eyes must lie 38 px apart on row 52; the picture's left comes first."""
    pretrained("yunet")
    for face in hr.numpy():
        left, right, nose, *mouth = Y.detect(face)[0]
        assert np.abs(left - (45, 52)).max() < 5 and np.abs(right - (83, 52)).max() < 5
        assert left[0] < nose[0] < right[0] and mouth[0][0] < mouth[1][0]
        assert all(52 < nose[1] < corner[1] for corner in mouth)


def test_the_largest_face_counts_and_yunet_sees_bgr(monkeypatch):
    small, large = np.zeros((2, 15), np.float32)
    small[2:4], large[2:4], large[4:14] = 9, 20, np.arange(10)

    class Detector:
        def detect(self, picture):
            self.seen = picture
            return 1, np.stack([small, large])

    fake = Detector()
    monkeypatch.setattr(Y, "detector", lambda width, height: fake if (width, height) == (30, 20) else None)
    red = np.zeros((3, 20, 30), np.uint8)
    red[0] = 255
    assert Y.detect(red)[0].tolist() == np.arange(10).reshape(5, 2).tolist()
    assert Y.detections(red.transpose(1, 2, 0))[:, 2].tolist() == [20, 9]
    assert fake.seen.shape == (20, 30, 3) and (fake.seen == (0, 0, 255)).all() and fake.seen.flags.c_contiguous


def test_arcface_sees_aligned_rgb(monkeypatch):
    """A red dot on each landmark must lie on ArcFace's template, in the red channel, in [-1, 1]."""
    seen = []
    networks = {"arcface": lambda x: seen.append(x) or np.ones((1, 512))}
    monkeypatch.setattr(P.pretrained, "onnx_network", networks.__getitem__)
    angle, scale = np.deg2rad(20), 2.5  # the face is 2.5 times as large, turned, and elsewhere
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = P.ARCFACE_LANDMARKS @ turn.T + (140, 30)
    image = np.zeros((3, 400, 400), np.uint8)
    for x, y in points.round().astype(int):
        image[0, y - 4:y + 5, x - 4:x + 5] = 255
    assert P.embedding(image, points).shape == (512,)
    assert seen[0].shape == (1, 3, 112, 112) and seen[0].dtype == np.float32
    red, green, blue = seen[0][0]
    assert red.max() == 1 and red.min() == green.max() == blue.max() == -1
    for x, y in P.ARCFACE_LANDMARKS:
        window = red[round(y) - 6:round(y) + 7, round(x) - 6:round(x) + 7] + 1
        rows, columns = np.indices(window.shape) - 6
        centre = round(x) + (window * columns).sum() / window.sum(), round(y) + (window * rows).sum() / window.sum()
        assert centre == pytest.approx((x, y), abs=0.5)


# FID

def test_fid_by_hand():
    """b = 2 a + 3: the means differ by mean + 3, and tr(S + 4 S - 2 sqrt(4 S S)) = tr S."""
    a = np.random.default_rng(0).normal(size=(50, 8))
    assert P.fid(a, a) == pytest.approx(0, abs=1e-6)
    expected = np.square(a.mean(0) + 3).sum() + np.trace(np.cov(a, rowvar=False))
    assert P.fid(2 * a + 3, a) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n, width", [(60, 20), (24, 96)], ids=["more faces", "more features"])
@pytest.mark.parametrize("crowd", [0, 9])
def test_draws_are_torch_fidelitys_fid_of_the_drawn_faces(n, width, crowd):
    random = np.random.default_rng(1)
    a = random.normal(size=(n, width)) * np.linspace(1, 0.1, width)
    b = a + 0.3 * random.normal(size=a.shape) + 0.1
    people = random.permutation(np.arange(n) % crowd) if crowd else None
    person = np.arange(n) if people is None else people
    again = np.random.default_rng(5)
    for value in P.fid_draws(a, b, people, n=6, seed=5):
        drawn = again.integers(person.max() + 1, size=person.max() + 1)
        rows = np.concatenate([np.flatnonzero(person == one) for one in drawn])
        assert value == pytest.approx(P.fid(a[rows], b[rows]), abs=1e-3)


def test_draws_are_for_differences():
    random = np.random.default_rng(2)
    hr = random.normal(size=(80, 30))
    noise = random.normal(size=hr.shape)
    better, worse = hr + 0.5 * noise, hr + 0.6 * noise
    a, b = P.fid_draws(better, hr), P.fid_draws(worse, hr)
    assert a.shape == (100,) and np.array_equal(a, P.fid_draws(better, hr))
    assert (a - b).std() < 0.6 * np.sqrt(a.var() + b.var())  # the same draws: what they share cancels
    assert a.mean() > P.fid(better, hr)  # a draw repeats faces


def test_fid_of_torchmetrics_docstring(pretrained, monkeypatch):
    """Its example (seed 42, 64 features, images drawn after the network is made): 12.6388, or 12.6396 from fp16."""
    pretrained("inception")
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())  # let the network take its numbers
    torch.manual_seed(42)
    network = P.pretrained.inception.__wrapped__()
    images = [torch.randint(low, high, (100, 3, 299, 299), dtype=torch.uint8) for low, high in ((0, 200), (100, 255))]
    network.features_list = ["64"]
    monkeypatch.setattr(P.pretrained, "inception", lambda: network)
    features = [P.inception_features(x) for x in images]
    assert features[0].shape == (100, 64)
    assert P.fid(*features) == pytest.approx(12.6388, abs=2e-3)


def test_inception_features_are_per_image(pretrained, hr, monkeypatch):
    pretrained("inception")
    monkeypatch.setattr(P, "BATCH", 2)
    features = P.inception_features(hr[[0, 1, 0]])
    assert features.shape == (3, 2048) and features.dtype == np.float64 and features.min() >= 0
    assert features[2] == pytest.approx(features[0], abs=1e-4)
    assert np.linalg.norm(features[0] - features[1]) > 5


def test_fid_of_all_features_stays(pretrained):
    """No published value has images at hand for the 2048 features: ours, of synthetic faces, must not move."""
    pretrained("inception")
    hr = faces(24)
    real, blurred = P.inception_features(hr), P.inception_features(upsample(degrade(hr)))
    assert real.mean() == pytest.approx(0.29644, abs=1e-4) and real.std() == pytest.approx(0.30258, abs=1e-4)
    assert P.fid(real, blurred) == pytest.approx(254.126, abs=0.1)


# Bad input

def test_bad_input(hr):
    small = hr[..., :31, :31]
    for call, message in [(lambda: P.lpips(small, small), "32x32"), (lambda: P.lpips(hr[:1], hr), "differ in shape"),
                          (lambda: P.identity(hr, hr / 127.5 - 1), "must be uint8"),
                          (lambda: P.fid(np.ones((1, 4)), np.ones((5, 4))), "two images"),
                          (lambda: P.fid_draws(np.ones((3, 4)), np.ones((2, 4))), "3 against 2"),
                          (lambda: P.fid_draws(np.ones((3, 4)), np.ones((3, 4)), [1, 2]), "2 people given for 3")]:
        with pytest.raises(BadInput, match=message):
            call()
