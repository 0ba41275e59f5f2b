"""Sources of faces: how they are written, and what records note of them."""
from __future__ import annotations

import os

import pytest
import torch
from test_faces import folder, picture

from aminet.errors import BadInput
from aminet.faces.sources import Source, canonical, open_faces, open_training_faces


@pytest.mark.parametrize("text, source, noted", [
    ("faces/celeba_test.zip", Source("path", "faces/celeba_test.zip"), "celeba_test.zip"),
    ("celeba", Source("path", "celeba"), "celeba"),  # a folder of that name
    ("celeba:/data/celeba:test", Source("celeba", "/data/celeba", "test"), "celeba:test"),
    ("celeba-identity:C:/celeba:val", Source("celeba-identity", "C:/celeba", "val"), "celeba-identity:val"),
    ("synthetic", Source("synthetic"), "synthetic:500:0"),
    ("synthetic:8", Source("synthetic", n=8), "synthetic:8:0"),
    ("synthetic:8:3", Source("synthetic", n=8, seed=3), "synthetic:8:3")])
def test_a_source_and_what_records_note(text, source, noted):
    assert Source.parse(text) == source and canonical(text) == noted


@pytest.mark.parametrize("text, words", [
    ("synthetic:", "synthetic:N:SEED"), ("synthetic:-3", "synthetic:N:SEED"), ("synthetic:0", "synthetic:N:SEED"),
    ("synthetic:4:5:6", "synthetic:N:SEED"), ("synthetic:\u00b2", "N from 1 to 1000000"),
    (f"synthetic:{10**30}", "N from 1 to 1000000"), (f"synthetic:4:{2**63}", "SEED from 0 to 9223372036853"),
    ("synthetic:1000001", "N from 1 to 1000000"), ("synthetic:" + "9" * 5000, "N from 1 to 1000000"),
    ("helen:test", "helen:ROOT:PART"),
    ("scface::gallery", "scface:ROOT:PART")])
def test_a_wrong_source_says_how_it_is_written(text, words):
    with pytest.raises(BadInput, match=words):
        Source.parse(text)


def test_synthetic_faces_stand_alone():
    images, about = open_faces("synthetic:3:1")
    assert images.shape == (3, 3, 128, 128) and images.dtype == torch.uint8
    assert about["sources"] == ["synthetic:3:1"] and about["images"] == 3
    with pytest.raises(BadInput, match="one set of another kind alone"):
        open_faces(["synthetic:3:1", "photos.zip"])


def test_validation_faces_are_not_trained_on():
    *_, about = open_training_faces(["synthetic:2:1"], ["synthetic:2:2"])
    assert about["train"]["sources"] == ["synthetic:2:1"] and about["val"]["sources"] == ["synthetic:2:2"]
    with pytest.raises(BadInput, match="2 validation images are also in --faces"):
        open_training_faces(["synthetic:4"], ["synthetic:2"])


def test_the_last_synthetic_face_can_be_drawn():
    assert open_faces("synthetic:1:9223372036853")[1]["images"] == 1


@pytest.mark.parametrize("sources", [[], (), None, 5, {"a.zip": 1}])
def test_no_source_is_refused(sources):
    with pytest.raises(BadInput, match="no faces given"):
        open_faces(sources)


def test_hostile_sources_end_in_one_line(refuses, tmp_path):
    os.mkfifo(tmp_path / "faces.zip")
    for words, source in (("a pipe or a device", "faces.zip"), ("a pipe or a device", "/dev/zero"),
                          ("N from 1 to", "synthetic:\u00b2"), ("name", "x" * 300),
                          ("name", f"celeba:{'x' * 300}:test"), ("no Helen images", "helen:faces.zip:test"),
                          ("no mugshot", "scface:faces.zip:probe")):
        refuses(words, "evaluate", "pocket", "--faces", source)
    refuses("a pipe or a device", "data", "check", "faces.zip")


def test_a_folder_of_small_pictures_is_warned_of(aminet, tmp_path):
    folder(tmp_path / "small", {"a.png": picture(1, (16, 16)), "b.png": picture(2)})
    with pytest.warns(UserWarning, match="1 of 2 faces are smaller than 128 px"):
        assert aminet("evaluate", "pocket", "--faces", "small").returncode == 0
