"""Parsing: BiSeNet's shapes, the IoU of parts by hand, the cache, and the exact masks of synthetic faces."""
import numpy as np
import pytest
import torch

from aminet.degrade import degrade, resize, upsample
from aminet.errors import BadInput
from aminet.faces.portraits import portraits
from aminet.faces.synthetic import CLASSES, draw_faces
from aminet.metrics import parsing as P

LEFT, RIGHT = ([CLASSES.index(f"{side}_{part}") for part in ("brow", "eye", "ear")] for side in "lr")


@pytest.fixture
def parsed(pretrained):
    """Eight synthetic faces: their exact classes and BiSeNet's, (8, 128, 128) each. Not kept on the disk."""
    pretrained("bisenet")
    drawn = list(draw_faces(8, 3))
    with torch.inference_mode():
        found = P.classes(torch.stack([face.image for face in drawn]))
    return torch.stack([face.mask for face in drawn]).numpy(), found.numpy()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a network that is not needed."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(P.pretrained, "locate", lambda name: tmp_path / name)
    return tmp_path / "aminet"


def test_the_parts_are_the_classes_without_left_and_right():
    assert sorted(number for numbers in P.PARTS.values() for number in numbers) == list(range(len(CLASSES)))
    for part, numbers in P.PARTS.items():
        assert {CLASSES[number] for number in numbers} <= {part, f"l_{part}", f"r_{part}"}


def test_the_network_answers_at_an_eighth():
    assert P.BiSeNet().eval()(torch.zeros(1, 3, 64, 96)).shape == (1, len(CLASSES), 8, 12)


def test_auxiliary_heads_are_dropped_and_nothing_else(monkeypatch, tmp_path):
    state = P.BiSeNet().state_dict() | {"conv_out16.conv_out.weight": torch.zeros(3), "conv_out32.x": torch.zeros(3)}
    monkeypatch.setattr(P.pretrained, "locate", lambda name: tmp_path / "net.pth")
    torch.save(state, tmp_path / "net.pth")
    P.bisenet.cache_clear()
    before = torch.get_rng_state()
    network = P.bisenet()
    assert torch.equal(torch.get_rng_state(), before) and not network.training
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    for other in (state | {"more": torch.zeros(3)}, {key: state[key] for key in list(state)[1:]}):
        torch.save(other, tmp_path / "net.pth")
        P.bisenet.cache_clear()
        with pytest.raises(RuntimeError, match="key"):
            P.bisenet()
    P.bisenet.cache_clear()


def test_iou_by_hand():
    a, b = np.zeros((2, 2, 4, 4), np.uint8)
    a[0, :2], b[0, 1:3] = 10, 10  # two rows of a nose each, one of them in both
    a[1, 0], b[1, 0] = 4, 5  # an eye whose side is told otherwise
    found = dict(zip(P.PARTS, P.part_iou(a, b).T))
    assert found["nose"][0] == pytest.approx(1 / 3) and np.isnan(found["nose"][1])
    assert found["eye"][1] == 1 and np.isnan(found["eye"][0])
    assert found["background"] == pytest.approx([4 / 12, 1]) and np.isnan(found["hat"]).all()


def test_mean_iou_is_over_the_parts_that_either_face_has(monkeypatch):
    a, b = np.zeros((2, 1, 4, 4), np.uint8)
    a[0, 0] = 17  # hair in one face alone counts as 0
    monkeypatch.setattr(P, "parse", lambda images: a if images.any() else b)
    hr = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    assert P.iou(hr + 1, hr) == pytest.approx([(12 / 16 + 0) / 2])
    assert P.iou(hr, hr).tolist() == [1]


def test_maps_are_kept_and_a_damaged_cache_is_made_again(cache, monkeypatch):
    images, calls = torch.randint(256, (3, 3, 8, 10), dtype=torch.uint8), []

    def classes(batch):
        calls.append(len(batch))
        return batch[:, 0] % 19

    monkeypatch.setattr(P, "classes", classes)
    maps = P.parse(images)
    assert maps.dtype == np.uint8 and np.array_equal(maps, images[:, 0].numpy() % 19)
    assert np.array_equal(P.parse(images.numpy()), maps) and calls == [3]
    (file,) = cache.iterdir()
    good = file.read_bytes()
    for damaged in (b"", b"no maps", good[:-30]):
        file.write_bytes(damaged)
        assert np.array_equal(P.parse(images), maps)
    assert calls == [3] * 4 and file.read_bytes() == good
    P.parse(images + 1)
    monkeypatch.setattr(P.pretrained, "locate", lambda name: cache / "another file of the network")
    P.parse(images)
    assert calls == [3] * 6 and len(list(cache.iterdir())) == 3


def test_a_missing_network_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("AMINET_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(BadInput, match=r"parsing_bisenet.pth \(53.3 MB\) is not at hand"):
        P.parse(torch.zeros(1, 3, 128, 128, dtype=torch.uint8))


def test_the_portraits(pretrained, tmp_path, monkeypatch):
    pretrained("bisenet")
    monkeypatch.setattr(P.pretrained, "locate", lambda name, path=P.pretrained.locate("bisenet"): path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    hr = torch.stack(list(portraits().values()))
    bicubic = upsample(degrade(hr))
    assert P.iou(hr, hr).tolist() == [1, 1]
    assert (P.parse(bicubic) == 0).mean() > 0.9 and (P.iou(bicubic, hr) < 0.1).all()  # too blurred to be a face
    collins = dict(zip(P.PARTS, (np.isin(P.parse(hr)[1], numbers).sum() for numbers in P.PARTS.values())))
    assert collins["hair"] > 2000 and collins["skin"] > 3000 and collins["eye"] > 50 and not collins["hat"]
    larger = P.parse(resize(hr, 256))
    assert larger.shape == (2, 256, 256) and (larger[:, ::2, ::2] == P.parse(hr)).mean() > 0.95


def test_bisenet_and_the_masks_of_synthetic_faces(parsed):
    """Of 100 faces 93.5 % of the pixels agree; here the first 8."""
    exact, found = parsed
    ious = dict(zip(P.PARTS, P.part_iou(found, exact).T))
    assert (found == exact).mean() > 0.9
    for part, least in {"background": 0.9, "skin": 0.85, "brow": 0.7, "eye": 0.4, "nose": 0.75, "u_lip": 0.65,
                        "l_lip": 0.6, "neck": 0.65, "cloth": 0.7, "hair": 0.65}.items():
        assert np.nanmean(ious[part]) > least, part


def test_left_and_right_are_told_by_chance(parsed):
    """Why PARTS has no sides: of whole faces, they are exchanged."""
    exact, found = parsed
    sided = np.isin(exact, LEFT + RIGHT) & np.isin(found, LEFT + RIGHT)
    right = [(found == exact)[i][sided[i]].mean() for i in range(8)]
    assert min(right) < 0.2 and max(right) > 0.8
