"""The check: bad files, duplicates inside and across paths, shared identities."""
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from test_faces import archive, encode, folder, picture

from aminet.errors import BadInput
from aminet.faces.check import check, format_check


def test_check_finds_duplicates_leaks_and_bad_files(tmp_path):
    again = encode(picture(3), "JPEG", quality=85)
    train = folder(tmp_path / "train", {
        "a.png": picture(1), "b.png": picture(1), "c.png": picture(2), "d.png": picture(3, (96, 96)),
        "bad.png": b"text", "grey.png": picture(9).convert("L")})
    test = archive(tmp_path / "test.zip", {"x.png": picture(2), "y.jpg": again, "z.png": picture(4)})
    (tmp_path / "manifest.csv").write_text(
        "archive,file,split,identity\ntrain,a.png,train,p1\ntrain,c.png,train,p2\ntest.zip,z.png,test,p1\n")
    report = check([train, test])
    a, b = report["paths"]
    assert (a["count"], b["count"]) == (5, 3) and not report["clean"]
    assert a["sizes"] == {"128x128": 4, "96x96": 1} and a["modes"] == {"RGB": 4, "L": 1}
    assert a["bad"] == [("train:bad.png", "no image that can be read")]
    assert a["exact"] == [["train:a.png", "train:b.png"]] and a["near"] == [] and b["exact"] == []
    (between,) = report["between"]
    assert between["exact"] == [("train:c.png", "test.zip:x.png")]
    assert between["near"] == [("train:d.png", "test.zip:y.jpg")]
    assert between["identities"] == ["p1"]
    text = format_check(report)
    assert "train:bad.png  no image that can be read" in text
    assert "exact copies: 1" in text and "people in both (no leak if one is a gallery): 1\n    p1" in text
    assert text.endswith("not clean: bad files 1, images in two paths 2")
    json.dumps(report)


def test_check_near_duplicates_inside_one_path(tmp_path):
    images = {"a.png": picture(1), "b.jpg": encode(picture(1), "JPEG", quality=80), "c.png": picture(2)}
    report = check([folder(tmp_path / "set", images)])
    assert report["paths"][0]["near"] == [("set:a.png", "set:b.jpg")] and report["clean"]


def test_check_clean(tmp_path):
    paths = [folder(tmp_path / str(k), {f"{i}.png": picture(10 * k + i) for i in range(5)}) for k in range(3)]
    report = check([paths[:2], paths[2]])
    assert report["clean"] and report["paths"][0]["count"] == 10
    assert format_check(report).endswith("clean: every file can be read and no image is in two paths")
    (tmp_path / "manifest.csv").write_text("file,person\n0.png,p\n")
    with pytest.raises(BadInput, match="manifest.csv: expected the columns"):
        check(paths)


def test_shared_people_alone_are_no_leak(tmp_path):
    paths = [folder(tmp_path / part, {"a.png": picture(i)}) for i, part in enumerate(("probe", "gallery"))]
    (tmp_path / "manifest.csv").write_text(
        "archive,file,split,identity\nprobe,a.png,probe,p1\ngallery,a.png,gallery,p1\n")
    report = check(paths)
    assert report["clean"] and report["between"][0]["identities"] == ["p1"]
    text = format_check(report)
    assert "people in both (no leak if one is a gallery): 1" in text and "\nclean: " in text


def test_check_reports_a_path_of_bad_files_only(tmp_path):
    report = check([folder(tmp_path / "set", {"a.png": b"text", "notes.txt": b"text"})])
    assert not report["clean"] and report["paths"][0]["count"] == 0 and len(report["paths"][0]["bad"]) == 2
    assert "sizes: none" in format_check(report)


def test_check_counts_small_pictures_and_prints_any_name_in_one_line(tmp_path):
    odd = f"{chr(27)}[2J{chr(10)}.png"
    images = {"a.png": picture(1, (127, 200)), "b.png": picture(2, (16, 16)), "c.png": picture(3), odd: b"text"}
    report = check([folder(tmp_path / "set", images)])
    assert report["paths"][0]["small"] == 2 and report["paths"][0]["count"] == 3
    text = format_check(report)
    assert "  smaller than 128 px, which lack the detail of a full face: 2\n" in text
    assert r"    set:\x1b[2J\n.png  no image that can be read" in text.splitlines()
    assert all(line.isprintable() for line in text.splitlines())


def test_check_lists_links_that_lead_nowhere_and_pipes(tmp_path, aminet):
    set_ = folder(tmp_path / "set", {"a.png": picture(1), "sub/b.png": picture(2)})
    (set_ / "dangling.png").symlink_to("nowhere")
    (set_ / "loop.png").symlink_to("loop.png")
    (set_ / "linked").symlink_to("sub")
    os.mkfifo(set_ / "pipe.png")
    done = aminet("data", "check", "set")
    assert done.returncode == 1 and "bad files: 4" in done.stdout and "set: 2 images" in done.stdout
    for name in ("dangling.png  cannot be read (No such", "loop.png  cannot be read (Too", "linked  a link to a folder",
                 "pipe.png  cannot be read (a folder, a pipe"):
        assert f"set:{name}" in done.stdout


@pytest.mark.skipif("AMINET_FACES" not in os.environ, reason="AMINET_FACES names no folder of real faces")
def test_real_probe_and_gallery_share_people_and_no_image():
    root = Path(os.environ["AMINET_FACES"])
    report = check([root / "video_probe.zip", root / "video_gallery.zip"])
    assert report["clean"] and [row["count"] for row in report["paths"]] == [215, 67]
    (row,) = report["between"]
    assert len(row["identities"]) == 67 and not row["exact"] and not row["near"]
