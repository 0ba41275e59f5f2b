"""Probes against a gallery: what each number means, what a face network sees, and Table IX."""
import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from aminet.errors import BadInput
from aminet.faces.portraits import portraits
from aminet.faces.sources import open_gallery
from aminet.metrics import recognition as R
from aminet.paper import tables as T
from aminet.paper.evaluate import results
from aminet.protocol import PROTOCOLS

POINTS = np.zeros((5, 2))


@pytest.fixture
def colours(monkeypatch):
    """A face network that sees the colour of the first pixel, and a detector that finds a face unless it is black."""
    monkeypatch.setattr(R, "detect", lambda image: [POINTS] if image[:, 0, 0].any() else [])
    monkeypatch.setattr(R, "embedding", lambda image, points: image[:, 0, 0].astype(float))


def of(*pixels) -> torch.Tensor:
    return torch.tensor(pixels, dtype=torch.uint8)[:, :, None, None].expand(-1, 3, 128, 128).contiguous()


RED, GREEN, BLUE, BLACK = (200, 0, 0), (0, 200, 0), (0, 0, 200), (0, 0, 0)


def test_each_column_by_hand(colours):
    probes = of(RED, GREEN, (30, 0, 40), RED)  # the third looks more like person 2, but is person 0
    gallery = R.Gallery(of(RED, GREEN, BLUE), [0, 1, 2], [1, 2, 1, 0], {})
    found = R.recognise({"": probes}, probes, [0, 1, 0, 0], gallery)
    assert found["cosine"] == pytest.approx([1, 1, 0.6, 1]) and found["impostors"] == pytest.approx([0, 0, 0.4, 0])
    assert found["rank1"].tolist() == [100, 100, 0, 100]
    assert found["verified"].tolist() == [100, 100, 0, 100]  # of 8 pairs of others the largest, 0.8, sets the bar
    assert found["cosine_case1"] == pytest.approx([1, np.nan, 0.6, np.nan], nan_ok=True)
    assert found["cosine_case2"] == pytest.approx([np.nan, 1, np.nan, np.nan], nan_ok=True)
    assert np.isnan(found["cosine_case3"]).all() and set(found) == set(R.SCORES)


def test_without_a_face_or_a_person_there_is_no_number(colours):
    probes = of(RED, BLACK, GREEN, BLUE)  # no face in the second; the third's person has none in the gallery
    gallery = R.Gallery(of(RED, BLACK, BLUE), [0, 2, 3], [1, 1, 1, 1], {})
    found = R.recognise({"": of(RED, RED, RED, BLUE)}, probes, [0, 1, 2, 3], gallery)
    for column in ("cosine", "impostors", "rank1", "verified", "cosine_case1"):
        assert np.isnan(found[column]).tolist() == [False, True, True, False], column
    for people, others in ((5, 6), (0, 0)):  # nobody of the probes; one person alone
        with pytest.raises(BadInput, match="a gallery with a face of the probes' people, and of two people or more"):
            R.recognise({"": of(RED)}, of(RED), [0], R.Gallery(of(RED, RED), [people, others], [1], {}))


def test_two_pictures_of_a_person_are_averaged(colours):
    gallery = R.Gallery(of(RED, (30, 40, 0), BLUE), [0, 0, 1], [1], {})
    found = R.recognise({"": of(RED)}, of(RED), [0], gallery)
    assert found["cosine"] == pytest.approx([0.8]) and found["impostors"] == pytest.approx([0])


def test_records_read_it_against_bicubic_and_the_original(colours):
    probes = of(RED, (30, 0, 40), GREEN)
    gallery = R.Gallery(of(RED, BLUE, GREEN), [0, 1, 2], [1, 2, 4], {})
    found = results(of(RED, BLUE, GREEN), probes, PROTOCOLS["paper"], ["cosine"], [0, 1, 2], gallery=gallery)
    assert found["means"]["cosine"]["mean"] == pytest.approx(1)
    assert found["means"]["original_cosine"]["mean"] == pytest.approx(2.8 / 3, abs=1e-6)
    assert found["gain"]["cosine"]["mean"] == pytest.approx(1 - found["means"]["bicubic_cosine"]["mean"], abs=1e-6)
    assert len(found["values"]) == 3 * len(R.SCORES) and found["undefined"] == {}
    assert found["values"]["cosine_case2"] == pytest.approx([np.nan, 1, np.nan], nan_ok=True)


@pytest.fixture
def named(tmp_path):
    """A folder of probes and one of the gallery, with a manifest beside them."""
    rows = [("probe", "a_case1.png", "a"), ("probe", "a_case4.png", "a"), ("probe", "b.png", "b"),
            ("gallery", "b.png", "b"), ("gallery", "stranger.png", "c"), ("gallery", "a.png", "a")]
    for number, (archive, name, _) in enumerate(rows, start=1):
        (tmp_path / archive).mkdir(exist_ok=True)
        Image.new("RGB", (128, 128), (40 * number, 0, 0)).save(tmp_path / archive / name)
    with open(tmp_path / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([("archive", "file", "split", "identity"),
                                    *((archive, name, "", person) for archive, name, person in rows)])
    return tmp_path


def test_a_gallery_has_the_probes_numbers(named):
    gallery = open_gallery([str(named / "gallery")], [str(named / "probe")])
    assert gallery.people == [0, 1, -3] and gallery.cases == [1, 4, 0] and gallery.faces.shape == (3, 3, 128, 128)
    assert gallery.about["sources"] == ["gallery"] and gallery.about["images"] == 3
    (named / "manifest.csv").unlink()
    with pytest.raises(BadInput, match="who is on each picture"):
        open_gallery([str(named / "gallery")], [str(named / "probe")])
    with pytest.raises(BadInput, match="drawn faces"):
        open_gallery(["synthetic:3"], [str(named / "probe")])


def test_the_command_and_its_table(named, colours, aminet, refuses, monkeypatch):
    monkeypatch.setattr("aminet.paper.evaluate.obstacle", lambda metric: None)
    monkeypatch.setattr("aminet.paper.evaluate.NEEDS", {})
    for folder in ("probe", "gallery"):
        (named / folder).rename(named / f"video_{folder}")
    text = (named / "manifest.csv").read_text()
    (named / "manifest.csv").write_text(text.replace("probe,", "video_probe,").replace("gallery,", "video_gallery,"))
    refuses("give --gallery", "evaluate", "aminet-mini-0", "--faces", "video_probe", "--metrics", "cosine")
    done = aminet("evaluate", "aminet-mini-0", "--faces", "video_probe", "--gallery", "video_gallery",
                  "--records", "records")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:-1]] == list(R.SCORES)
    record = json.loads((named / "records" / "aminet-mini-0-video_probe-paper.json").read_text())
    assert record["measured"][0]["gallery"]["sources"] == ["video_gallery"]
    cells = {(cell.row, cell.metric): cell for cell in T.table(9, named / "records").cells}
    ours, original = cells["AMINet", "cosine_case1"], cells["Original", "cosine"]
    assert (ours.status, ours.on, ours.published) == ("measured", "low-quality video faces (not SCface)", "0.8533")
    assert ours.ours == pytest.approx(record["means"]["cosine_case1"]["mean"]) and ours.minus_published is None
    assert original.ours == pytest.approx(record["means"]["original_cosine"]["mean"]) and original.published == ""
    assert cells["Bicubic", "rank1"].status == "measured" and cells["SAN", "rank1"].status == "pending"
    shown = aminet("table", "9", "--records", "records").stdout
    assert "python -m aminet evaluate WEIGHTS --faces scface:ROOT:probe" in shown and "Original" in shown
    assert "|" in aminet("table", "9", "--records", "records", "--markdown").stdout


def test_arcface_knows_the_portraits(pretrained):
    pretrained("yunet", "arcface")
    gallery = torch.stack(list(portraits().values()))
    found = R.recognise({"": gallery.flip(-1)}, gallery.flip(-1), [0, 1], R.Gallery(gallery, [0, 1], [1, 2], {}))
    assert found["rank1"].tolist() == [100, 100] and (found["cosine"] > found["impostors"] + 0.4).all()
