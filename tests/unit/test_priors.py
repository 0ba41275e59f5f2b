"""Landmarks and parsing maps: heatmaps, components, and that they move as their faces do."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save

from aminet import BadInput
from aminet.config import HR
from aminet.degrade import augment
from aminet.faces.priors import (
    COMPONENTS,
    MIRRORED,
    SWAPPED,
    check_priors,
    components,
    detected_landmarks,
    heatmaps,
    open_priors,
    priors_of,
)
from aminet.faces.synthetic import CLASSES, faces
from aminet.metrics import pretrained


def test_a_heatmap_peaks_at_its_landmark():
    points = torch.zeros(1, 68, 2)
    points[0, 5] = torch.tensor([4 * 20 + 1.5, 4 * 7 + 1.5])  # the centre of pixel (20, 7) at a quarter of the size
    maps = heatmaps(points, 32, sigma=2.0)
    assert maps.shape == (1, 68, 32, 32) and maps[0, 5].argmax() == 7 * 32 + 20
    assert maps[0, 5, 7, 20] == 1 and maps[0, 5, 7, 22].item() == pytest.approx(torch.e ** -0.5)
    assert not heatmaps(points - 1000, 32).any()


def test_components_hold_every_landmark_once():
    assert sorted(sum(COMPONENTS.values(), [])) == list(range(68))
    maps = torch.rand(2, 68, 4, 4)
    assert torch.equal(components(maps)[:, 2], maps[:, 27:36].amax(1))


def test_mirrors_undo_themselves():
    assert [MIRRORED[i] for i in MIRRORED] == list(range(68)) and [SWAPPED[i] for i in SWAPPED] == list(range(19))
    assert CLASSES[SWAPPED[CLASSES.index("l_eye")]] == "r_eye"
    assert SWAPPED[CLASSES.index("l_lip")] == CLASSES.index("l_lip")


def test_priors_move_as_their_faces():
    """Paint the landmarks and a class into pictures, augment these, and find both where the moved priors say."""
    known, index = open_priors(None, ["synthetic:4:3"], ("landmarks", "parsing")), torch.tensor([2, 0, 3, 1])
    moved = priors_of(known, index, torch.Generator().manual_seed(5))
    skin = 255 * (known["parsing"] == CLASSES.index("nose")).to(torch.uint8)
    dots = (255 * heatmaps(known["landmarks"], HR, 2.0)).to(torch.uint8)
    painted = torch.stack([skin, dots[:, 30], dots[:, 36]], dim=1)
    seen = augment(painted[index], torch.Generator().manual_seed(5))
    assert ((seen[:, 0] > 127) != (moved["parsing"] == CLASSES.index("nose"))).float().mean() < 0.01
    for channel, landmark in ((1, 30), (2, 36)):
        for picture, points in zip(seen[:, channel], moved["landmarks"]):
            y, x = divmod(picture.argmax().item(), HR)
            # a mirrored picture shows the left eye's outer corner on the right, where landmark 45 is now
            distances = [(points[i] - torch.tensor([x, y])).norm() for i in (landmark, MIRRORED[landmark])]
            assert min(distances) < 2
    assert moved["parsing"].unique().numel() > 5


def test_priors_that_nobody_has():
    assert open_priors(None, ["a.zip"], ("parsing",)) == open_priors(None, ["synthetic:2"], ("attributes",)) == {}

    class Net(torch.nn.Module):
        def loss(self, image, target, landmarks, parsing=None):
            """Needs landmarks alone."""

    check_priors(Net(), {"landmarks": torch.zeros(1, 68, 2)})
    check_priors(torch.nn.Identity(), {})
    with pytest.raises(BadInput, match="Net learns from the landmarks"):
        check_priors(Net(), {"parsing": torch.zeros(1, HR, HR)})


def test_landmarks_of_photographs_are_found_once(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    try:
        pretrained.locate("landmarks")
    except BadInput as error:
        pytest.skip(str(error))
    exact = open_priors(None, ["synthetic:4:4"], ("landmarks",))["landmarks"]
    found = open_priors(faces(4, 4), ["photos.zip"], ("landmarks",))["landmarks"]
    gap = (found - exact).norm(dim=-1).mean(0)  # in pixels; the drawn jaw is divided in another way
    assert gap[17:].mean() < 2.5 and gap[17:].max() < 6 and gap[8] < 6
    monkeypatch.setattr(pretrained, "onnx_network", lambda name: pytest.fail("found again"))
    assert torch.equal(open_priors(faces(4, 4), ["photos.zip"], ("landmarks",))["landmarks"], found)


def test_a_damaged_cache_of_landmarks_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(pretrained, "onnx_network", lambda name: lambda image: np.zeros((1, 212), np.float32))
    points = detected_landmarks(faces(2))
    (cache,) = (tmp_path / "aminet").iterdir()
    for damaged in (b"no tensors", save({"landmarks": torch.ones(1, 68, 2)}), save({"others": points}),
                    save({"landmarks": torch.ones(2, 68, 2, dtype=torch.int32)}), save({"landmarks": points / 0})):
        cache.write_bytes(damaged)
        assert torch.equal(detected_landmarks(faces(2)), points)


def test_a_missing_landmark_network_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("AMINET_WEIGHTS", raising=False)
    pretrained.onnx_network.cache_clear()
    with pytest.raises(BadInput, match="2d106det.onnx .5.0 MB. is not at hand"):
        open_priors(faces(1, 4), ["photos.zip"], ("landmarks",))


def test_synthetic_priors_are_of_the_same_faces():
    known = open_priors(None, ["synthetic:3:1"], ("parsing", "landmarks"))
    assert known["landmarks"].shape == (3, 68, 2) and known["parsing"].shape == (3, HR, HR)
    pictures = faces(3, 1).float().mean(1)
    lips = known["parsing"] == CLASSES.index("u_lip")
    y = torch.arange(HR)[None, :, None].expand(3, HR, HR)
    for i in range(3):
        low, high = known["landmarks"][i, 48:68, 1].aminmax()
        assert pictures[i].isfinite().all() and low - 3 < y[i][lips[i]].float().mean() < high + 3
