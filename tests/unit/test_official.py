"""The official layouts of CelebA, Helen and SCface, rebuilt small."""
from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from test_faces import archive, encode, folder, picture

from aminet.errors import BadInput
from aminet.faces.dataset import Faces, to_tensor
from aminet.faces.official import celeba, celeba_attributes, helen, scface
from aminet.faces.pictures import align


@pytest.fixture
def celeba_root(tmp_path):
    root = tmp_path / "celeba"
    names = [f"{i:06}.jpg" for i in range(1, 61)]
    images = {name: encode(picture(i, (178, 218)), "JPEG") for i, name in enumerate(names)}
    folder(root / "img_align_celeba", images)
    person = [i // 3 for i in range(60)]
    code = [0] * 36 + [1] * 12 + [2] * 12
    person[0] = person[59]  # one person of the train partition is also in the test partition
    (root / "identity_CelebA.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(names, person)))
    (root / "list_eval_partition.txt").write_text("".join(f"{n} {c}\n" for n, c in zip(names, code)))
    return root, dict(zip(names, person)), dict(zip(names, code))


def files(faces: Faces) -> set[str]:
    return {name.rsplit("/", 1)[1] for name in faces.names}


def test_celeba_random_split(celeba_root):
    root, _, _ = celeba_root
    parts = celeba(root, seed=1, train=30, test=10, val=5)
    sets = {part: files(parts[part]) for part in parts}
    assert {part: len(names) for part, names in sets.items()} == {"train": 30, "val": 5, "test": 10}
    assert len(set().union(*sets.values())) == 45  # no image is in two
    again, other = (celeba(root, seed=s, train=30, test=10, val=5) for s in (1, 2))
    assert again["test"].names == parts["test"].names and files(other["test"]) != sets["test"]
    first = parts["test"].names[0].rsplit("/", 1)[1]
    with Image.open(root / "img_align_celeba" / first) as image:
        expected = image.crop((0, 20, 178, 198)).resize((128, 128), Image.BICUBIC)
    assert torch.equal(parts["test"][0], to_tensor(expected))


def test_celeba_attributes_follow_the_faces(celeba_root):
    root, person, _ = celeba_root
    part = celeba(root, train=30, test=10, val=5)["train"]
    with pytest.raises(BadInput, match="no list_attr_celeba.txt"):
        celeba_attributes(root, part)
    rows = {name: [1 if (i + 7 * j) % 3 == 0 else -1 for j in range(40)] for i, name in enumerate(person)}
    lines = [f"{name}  {'  '.join(map(str, values))}\n" for name, values in rows.items()]
    path = root / "list_attr_celeba.txt"
    path.write_text("60\n" + " ".join(f"Attribute_{j}" for j in range(40)) + "\n" + "".join(lines))
    found = celeba_attributes(root, part)
    names = [name.rsplit("/", 1)[1] for name in part.names]
    assert found.shape == (30, 40) and found.tolist() == [[max(v, 0) for v in rows[name]] for name in names]
    path.write_text("60\nnames\n" + "".join(lines).replace("-1", "2", 1))
    with pytest.raises(BadInput, match="40 times 1 or -1"):
        celeba_attributes(root, celeba(root, train=45, test=10, val=5)["train"])


def test_celeba_identity_split_shares_no_person(celeba_root):
    root, person, code = celeba_root
    parts = celeba(root, "identity", train=33, test=12, val=12)
    people = {part: {person[name] for name in files(parts[part])} for part in parts}
    assert not people["train"] & people["test"] and not people["train"] & people["val"]
    assert not people["val"] & people["test"]
    assert {code[name] for name in files(parts["val"])} == {1} and "000001.jpg" not in files(parts["train"])
    with pytest.raises(BadInput, match="only 35 images for train, 36 asked"):
        celeba(root, "identity", train=36, test=12, val=12)


def test_celeba_zip_is_the_same_set(celeba_root):
    root, _, _ = celeba_root
    before = celeba(root, train=30, test=10, val=5)["train"]
    fingerprint, pixels = before.fingerprint, before.load()
    images = {f"img_align_celeba/{p.name}": p.read_bytes() for p in (root / "img_align_celeba").iterdir()}
    archive(root / "img_align_celeba.zip", images)
    shutil.rmtree(root / "img_align_celeba")
    after = celeba(root, train=30, test=10, val=5)["train"]
    assert after.fingerprint == fingerprint and torch.equal(after.load(), pixels)


def test_celeba_missing_parts(celeba_root, tmp_path):
    root, _, _ = celeba_root
    with pytest.raises(BadInput, match="choose random or identity"):
        celeba(root, "alphabetic")
    for name in ("identity_CelebA.txt", "list_eval_partition.txt", "img_align_celeba"):
        (root / name).rename(tmp_path / name)
        with pytest.raises(BadInput, match=f"no {name}.*mmlab.ie.cuhk.edu.hk"):
            celeba(root, "identity", train=3, test=1, val=1)
        (tmp_path / name).rename(root / name)
    (root / "img_align_celeba/000007.jpg").unlink()
    with pytest.raises(BadInput, match="000007.jpg is not in it"):
        celeba(root, train=40, test=10, val=10)


def helen_points(left, right) -> str:
    points = np.zeros((194, 2))
    points[114:134], points[134:154] = right, left  # the subject's right eye comes first or not: either works
    return "".join(f"{x} , {y}\n" for x, y in points)


@pytest.fixture
def helen_root(tmp_path):
    root = tmp_path / "helen"
    for i in range(6):
        image = picture(i, (300, 400))
        for x, y in ((100, 150), (180, 150)):
            image.paste((255, 0, 0), (x - 8, y - 8, x + 8, y + 8))
        folder(root / f"helen_{1 + i % 2}", {f"{i}00_1.jpg": encode(image, "JPEG", quality=98)})
        (root / "annotation").mkdir(exist_ok=True)
        (root / f"annotation/{i + 1}.txt").write_text(f"{i}00_1\n{helen_points((100, 150), (180, 150))}")
    (root / "testnames.txt").write_text("400_1\n500_1\n")
    return root


def test_helen_splits_and_aligns(helen_root):
    parts = helen(helen_root)
    assert parts["test"].names == ["helen:helen_1/400_1.jpg", "helen:helen_2/500_1.jpg"]
    assert len(parts["train"]) == 4
    red = parts["test"][0].float()
    for x in (45, 83):
        assert red[0, 50:54, x - 2:x + 2].mean() > 230 and red[1, 50:54, x - 2:x + 2].mean() < 30


def test_helen_test_folder_alone(helen_root):
    (helen_root / "testnames.txt").unlink()
    with pytest.raises(BadInput, match="nothing says which images are for testing.*ifp.illinois.edu"):
        helen(helen_root)
    (helen_root / "helen_1").rename(helen_root / "test")
    shutil.rmtree(helen_root / "helen_2")
    assert set(helen(helen_root)) == {"test"} and len(helen(helen_root)["test"]) == 3


def test_helen_bad_parts(helen_root, tmp_path):
    (helen_root / "testnames.txt").write_text("999_1\n")
    with pytest.raises(BadInput, match="no image 999_1.jpg"):
        helen(helen_root)
    (helen_root / "testnames.txt").write_text("000_1\n")
    (helen_root / "annotation/1.txt").write_text("000_1\n1 , 2\n")
    with pytest.raises(BadInput, match="1.txt: expected the image name and 194 lines"):
        helen(helen_root)
    (helen_root / "annotation/1.txt").write_text(f"000_1\n{helen_points((-900, 150), (180, 150))}")
    with pytest.raises(BadInput, match="000_1.jpg: the eyes of its annotation lie outside"):
        helen(helen_root)["test"].load()
    (helen_root / "annotation/1.txt").unlink()
    with pytest.raises(BadInput, match="no annotation of 000_1.jpg"):
        helen(helen_root)
    with pytest.raises(BadInput, match="no Helen images.*ifp.illinois.edu"):
        helen(tmp_path / "nowhere")


@pytest.mark.parametrize("annotation", [
    "", "000_1\n", "000_1\n" + "1e308 , 1e308\n" * 194, "000_1\n" + "nan , 1\n" * 194, "000_1\n" + "1 , 2 , 3\n" * 194,
    "000_1\n" + "1\n" * 194, "000_1\n" + "1 , 2\n" * 193 + "1 , 2 , 3\n", "\0" * 500])
def test_odd_annotations_are_refused(helen_root, annotation):
    (helen_root / "annotation/1.txt").write_text(annotation)
    with pytest.raises(BadInput, match="1.txt: expected the image name and 194 lines"):
        helen(helen_root)


def test_lists_of_any_bytes(celeba_root):
    root, person, code = celeba_root
    path = root / "list_eval_partition.txt"
    for data in (b"", b"\0\xff\n", b"a b c\n", b"name\n"):
        path.write_bytes(data)
        with pytest.raises(BadInput, match="list_eval_partition.txt: expected lines of an image name and a number"):
            celeba(root, train=1, test=1, val=1)
    path.write_bytes(b"caf\xe9.jpg 0\n../a.jpg 1\n\0.jpg 2\n")
    with pytest.raises(BadInput, match="is not in it"):
        celeba(root, train=1, test=1, val=1)
    with pytest.raises(BadInput, match="-1 asked"):
        celeba(root, train=-1, test=1, val=1)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BadInput, match="list_eval_partition.txt: cannot be read"):
        celeba(root, train=1, test=1, val=1)


@pytest.fixture
def scface_root(tmp_path):
    root = tmp_path / "scface"
    for s in (1, 2):
        mugshot = {f"mugshot_frontal_cropped_all/{s:03}_frontal.JPG": encode(picture(s, (120, 160)), "JPEG")}
        folder(root, mugshot)
        for d in (1, 2, 3):
            for c in range(1, 8):
                name = f"surveillance_cameras_distance_{d}/cam_{c}/{s:03}_cam{c}_{d}.jpg"
                folder(root, {name: encode(picture(100 * d + 10 * c + s, (75, 100)), "JPEG")})
    return root


def test_scface_groups(scface_root):
    groups = scface(scface_root)
    assert len(groups) == 1 + 3 + 1 + 15 + 3 + 6
    assert groups["gallery"].names[1] == "mugshot_frontal_cropped_all:002_frontal.JPG"
    assert [len(groups[f"distance{d}"]) for d in (1, 2, 3)] == [10, 10, 10]
    assert groups["cam3_distance2"].names == ["cam_3:001_cam3_2.jpg", "cam_3:002_cam3_2.jpg"]
    assert len(groups["ir_distance1"]) == 4 and groups["distance1"].load().shape == (10, 3, 128, 128)
    shutil.rmtree(scface_root / "surveillance_cameras_distance_2/cam_6")
    assert "cam6_distance2" not in scface(scface_root)


def test_scface_landmarks(scface_root, tmp_path):
    stems = [p.stem for p in scface_root.rglob("*") if p.is_file()]
    table = tmp_path / "all.txt"
    table.write_text("name leX leY reX reY\n" + "".join(f"{s} 25 40 50 40 37 55 37 70\n" for s in stems))
    aligned = scface(scface_root, landmarks=table)["cam1_distance1"][0]
    with Image.open(scface_root / "surveillance_cameras_distance_1/cam_1/001_cam1_1.jpg") as image:
        assert torch.equal(aligned, to_tensor(align(image, (25, 40), (50, 40))))
    table.write_text("001_frontal 25 40 50 40\n")
    with pytest.raises(BadInput, match="002_frontal.JPG: no annotation of its eyes"):
        scface(scface_root, landmarks=table)


def test_scface_missing_parts(scface_root):
    shutil.rmtree(scface_root / "surveillance_cameras_distance_3/cam_5")
    with pytest.raises(BadInput, match="no surveillance_cameras_distance_3/cam_5/.*www.scface.org"):
        scface(scface_root)
    shutil.rmtree(scface_root / "mugshot_frontal_cropped_all")
    with pytest.raises(BadInput, match="no mugshot_frontal_cropped_all/"):
        scface(scface_root)


def test_a_part_as_a_command_line_source(celeba_root, monkeypatch):
    from aminet.faces import official as datasets
    from aminet.faces.sources import open_faces

    root, _, _ = celeba_root
    monkeypatch.setattr(datasets, "celeba", lambda where, **split: celeba(where, train=30, test=10, val=5, **split))
    images, about = open_faces(f"celeba-identity:{root}:test", progress=False)
    assert images.shape == (10, 3, 128, 128) and about["images"] == 10 and str(root) not in str(about)
    with pytest.raises(BadInput, match="has the parts train, val, test"):
        open_faces(f"celeba:{root}:exam")
    with pytest.raises(BadInput, match="ROOT:PART"):
        open_faces("celeba:test")
