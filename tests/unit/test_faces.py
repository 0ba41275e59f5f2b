"""Faces: everything that can be wrong with a folder, a zip or an image; the official layouts; the check."""

from __future__ import annotations

import io
import pickle
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from aminet.errors import BadInput
from aminet.faces import Faces, align, celeba, check, format_check, helen, same_faces, scface, to_tensor

# Our own limit is tested here; pytest switches Pillow's warning on again.
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")


def picture(seed: int, size=(128, 128)) -> Image.Image:
    """A smooth random picture, different for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.BICUBIC)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def folder(path, images: dict):
    for name, image in images.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(image if isinstance(image, bytes) else encode(image))
    return path


def archive(path, images: dict, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, image in images.items():
            file.writestr(name, image if isinstance(image, bytes) else encode(image))
    return path


def one(tmp_path, image, name="a.png", **options) -> torch.Tensor:
    return Faces(folder(tmp_path / "one", {name: image}), **options)[0]


# Reading


def test_folder_and_zip_give_the_same_pixels_in_order_of_names(tmp_path):
    images = {"b.png": picture(1), "a.png": picture(2), "sub/c.png": picture(3)}
    a = Faces(folder(tmp_path / "set", images))
    b = Faces(archive(tmp_path / "set.zip", images))
    c = Faces(archive(tmp_path / "deflated.zip", images, zipfile.ZIP_DEFLATED))
    assert a.names == ["set:a.png", "set:b.png", "set:sub/c.png"]
    assert b.names == ["set.zip:a.png", "set.zip:b.png", "set.zip:sub/c.png"]
    x = a.load(progress=False)
    assert x.dtype == torch.uint8 and x.shape == (3, 3, 128, 128)
    assert torch.equal(x[0], to_tensor(picture(2)))  # 128 x 128 is not touched
    assert torch.equal(x, b.load()) and torch.equal(x, c.load()) and torch.equal(x[1], a[1])


def test_several_paths_of_one_name_keep_unique_names(tmp_path):
    paths = [folder(tmp_path / part / "set", {"a.png": picture(i)}) for i, part in enumerate("xyz")]
    assert Faces(*paths).names == ["set:a.png", "set#2:a.png", "set#3:a.png"]


def test_names_select_in_their_order_and_must_exist(tmp_path):
    for path in (folder(tmp_path / "set", {f"{i}.png": picture(i) for i in range(4)}),
                 archive(tmp_path / "set.zip", {f"{i}.png": picture(i) for i in range(4)})):
        faces = Faces(path, names=["3.png", "1.png"])
        assert torch.equal(faces.load(), torch.stack([to_tensor(picture(3)), to_tensor(picture(1))]))
        with pytest.raises(BadInput, match="7.png is not in it"):
            Faces(path, names=["1.png", "7.png"])
    (tmp_path / "outside.png").write_bytes(encode(picture(5)))
    with pytest.raises(BadInput, match="outside"):
        Faces(tmp_path / "set", names=["../outside.png"])


def test_data_loader_with_workers_and_pickle(tmp_path):
    images = {f"{i:02}.png": picture(i) for i in range(12)}
    faces = Faces(archive(tmp_path / "set.zip", images), folder(tmp_path / "set", images))
    whole = faces.load()  # opens handles in this process before the workers are forked
    batches = list(DataLoader(faces, batch_size=5, num_workers=2))
    assert torch.equal(torch.cat(batches), whole)
    assert torch.equal(pickle.loads(pickle.dumps(faces))[20], whole[20])


def test_fingerprint_is_of_content_not_of_place(tmp_path):
    images = {"a.png": picture(1), "sub/b.png": picture(2)}
    first = Faces(folder(tmp_path / "set", images)).fingerprint
    shutil.move(tmp_path / "set", tmp_path / "elsewhere")
    assert Faces(tmp_path / "elsewhere").fingerprint == first
    assert Faces(archive(tmp_path / "z.zip", images, zipfile.ZIP_DEFLATED)).fingerprint == first
    assert Faces(folder(tmp_path / "named", {"a.png": picture(1), "b.png": picture(2)})).fingerprint != first
    (tmp_path / "elsewhere/a.png").write_bytes(encode(picture(3)))
    assert Faces(tmp_path / "elsewhere").fingerprint != first


# Modes and sizes


def test_crop_and_resize_are_pillows(tmp_path):
    image = picture(1, (178, 218))
    assert torch.equal(one(tmp_path, image), to_tensor(
        image.crop((0, 20, 178, 198)).resize((128, 128), Image.BICUBIC)))
    assert torch.equal(one(tmp_path, image, crop=100, size=64), to_tensor(
        image.crop((39, 59, 139, 159)).resize((64, 64), Image.BICUBIC)))
    with pytest.raises(BadInput, match="one:a.png: 178x218 is smaller than the 200 px crop"):
        one(tmp_path, image, crop=200)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: turn it clockwise
    stored = picture(1).rotate(90)
    assert torch.equal(one(tmp_path, encode(stored, exif=exif)), to_tensor(picture(1)))


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    grey = np.linspace(0, 65535, 128 * 128).reshape(128, 128).astype(np.uint16)
    x = one(tmp_path, Image.fromarray(grey))
    assert torch.equal(x[0], torch.from_numpy(np.rint(grey / 257).astype(np.uint8)))
    assert x[0].float().std() > 70 and torch.equal(x[0], x[2])


def test_palette_grey_cmyk_and_transparency(tmp_path):
    image = picture(1)
    palette = image.quantize(64)
    assert torch.equal(one(tmp_path, palette), to_tensor(palette.convert("RGB")))
    assert torch.equal(one(tmp_path, image.convert("L")), to_tensor(image.convert("L").convert("RGB")))
    folder(tmp_path / "one", {"c.jpg": encode(image.convert("CMYK"), "JPEG", quality=98)})
    cmyk = Faces(tmp_path / "one", names=["c.jpg"])[0]
    assert (cmyk.float() - to_tensor(image).float()).abs().mean() < 4
    alpha = image.copy()
    alpha.putalpha(Image.new("L", image.size, 0))
    assert (one(tmp_path, alpha) == 255).all()  # laid over white
    alpha.putalpha(255)
    assert torch.equal(one(tmp_path, alpha), to_tensor(image))


def test_floating_point_pixels_are_refused(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).random((128, 128), dtype=np.float32))
    with pytest.raises(BadInput, match="F pixels have no known range"):
        one(tmp_path, encode(image, "TIFF"), "a.tif")


# Bad input


def huge_png(side: int) -> bytes:
    """A whole 1-bit PNG of side x side, a few kB."""
    row = b"\0" * (1 + (side + 7) // 8)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(row * side)) + chunk(b"IEND", b""))


BAD = {
    "text.png": (b"this is no image", "no image that can be read"),
    "tiny.png": (Image.new("RGB", (1, 1)), "1x1, the minimum is 16x16"),
    "huge.png": (huge_png(10_000), "10000x10000, more than the 64 megapixels allowed"),
    "bomb.png": (huge_png(20_000), "more than the 64 megapixels allowed"),
    "cut.jpg": (encode(picture(1), "JPEG")[:-900], "damaged image"),
    "empty.webp": (b"", "no image that can be read"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "no image"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "no image that can be read"),
    "notes.txt": (b"some notes", "no image"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_named_and_refused_in_one_line(tmp_path, name):
    data, reason = BAD[name]
    for path in (folder(tmp_path / "set", {"good.png": picture(1), name: data}),
                 archive(tmp_path / "set.zip", {"good.png": picture(1), name: data})):
        with pytest.raises(BadInput) as error:
            Faces(path).load()
        line = str(error.value)
        assert f"{path.name}:{name}: " in line and reason in line and "\n" not in line
        if name not in ("notes.txt", "script.eps"):  # refused by content, so by the item too
            with pytest.raises(BadInput, match=name):
                faces = Faces(path)
                faces[faces.names.index(f"{path.name}:{name}")]


def test_skip_bad_counts_and_keeps_the_rest(tmp_path):
    bad = {name: data for name, (data, _) in BAD.items()}
    images = {"good1.png": picture(1), "good2.png": picture(2), **bad}
    faces = Faces(folder(tmp_path / "set", images), skip_bad=True)
    assert faces.names == ["set:good1.png", "set:good2.png"] and faces.load().shape[0] == len(faces) == 2
    assert {name.split(":")[1] for name, _ in faces.skipped} == set(BAD)
    assert all(BAD[name.split(":")[1]][1] in reason for name, reason in faces.skipped)


def test_companions_of_images_are_passed_over(tmp_path):
    beside = dict.fromkeys(("manifest.csv", "dataset.json", "README.md", "LICENSE", ".DS_Store",
                            "__MACOSX/._a.png"), b"x")
    assert len(Faces(folder(tmp_path / "set", {"a.png": picture(1), **beside}))) == 1


def test_missing_and_empty(tmp_path):
    with pytest.raises(BadInput, match="no such folder or zip"):
        Faces(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no image in it"):
        Faces(tmp_path / "empty")
    with pytest.raises(BadInput, match="no image in it"):
        Faces(archive(tmp_path / "empty.zip", {}))
    with pytest.raises(BadInput, match="no image in it that can be read"):
        Faces(folder(tmp_path / "bad", {"a.png": b"x"}), skip_bad=True)
    with pytest.raises(BadInput, match="no folder and no zip"):
        Faces()


def test_damaged_zips(tmp_path):
    data = archive(tmp_path / "a.zip", {f"{i}.png": picture(i) for i in range(3)}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"cut\.zip: neither a folder nor a whole zip"):
        Faces(tmp_path / "cut.zip")
    (tmp_path / "flip.zip").write_bytes(data[:200] + bytes([data[200] ^ 255]) + data[201:])
    with pytest.raises(BadInput, match=r"flip\.zip:0\.png: cannot be read"):
        Faces(tmp_path / "flip.zip").load()
    (tmp_path / "face.png").write_bytes(encode(picture(1)))
    with pytest.raises(BadInput, match="neither a folder nor a whole zip"):
        Faces(tmp_path / "face.png")


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "a/../../x.png", "..\\x.png", "C:\\x.png"])
def test_unsafe_zip_names_are_refused(tmp_path, name):
    path = archive(tmp_path / "set.zip", {"a.png": picture(1), name: picture(2)})
    for skip_bad in (False, True):
        with pytest.raises(BadInput, match="unsafe name"):
            Faces(path, skip_bad=skip_bad)


def test_encrypted_zip_is_refused(tmp_path):
    path = archive(tmp_path / "set.zip", {"a.png": picture(1)})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the local header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    path.write_bytes(data)
    with pytest.raises(BadInput, match="encrypted"):
        Faces(path)


def test_zip_bomb_and_odd_zips_are_refused(tmp_path):
    bomb = archive(tmp_path / "bomb.zip", {"a.png": bytes(65 * 2**20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(BadInput, match="bomb.zip:a.png: 65 MiB, more than the 64 MiB allowed"):
        Faces(bomb)
    with pytest.raises(BadInput, match="neither stored nor deflated"):
        Faces(archive(tmp_path / "lzma.zip", {"a.png": picture(1)}, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("a.png", encode(picture(1)))
        file.writestr("a.png", encode(picture(2)))
    with pytest.raises(BadInput, match="a.png is in it twice"):
        Faces(tmp_path / "twice.zip")


# Alignment


@pytest.mark.parametrize(
    "left, right", [((300, 400), (500, 440)), ((30, 42), (60, 40)), ((900, 1000), (1300, 850))])
def test_align_puts_the_eyes_in_place(left, right):
    height, width = (120, 120) if right[0] < 100 else (1600, 1900)
    y, x = np.mgrid[:height, :width] + 0.5
    spread = np.hypot(right[0] - left[0], right[1] - left[1]) / 15
    blobs = [np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * spread**2)) for u, v in (left, right)]
    image = Image.fromarray(np.stack([255 * blobs[0], 255 * blobs[1], 0 * x], -1).round().astype(np.uint8))
    face = np.asarray(align(image, left, right)).astype(float)
    assert face.shape == (128, 128, 3)
    v, u = np.mgrid[:128, :128] + 0.5
    for channel, at in ((0, 45), (1, 83)):
        weight = face[..., channel]
        assert abs((weight * u).sum() / weight.sum() - at) < 0.1
        assert abs((weight * v).sum() / weight.sum() - 52) < 0.1


def test_align_mirrors_what_lies_outside():
    face = np.asarray(align(picture(1), (10, 20), (110, 20)))
    assert (face.reshape(-1, 3).max(1) > 0).all()  # no black corners
    with pytest.raises(BadInput, match="no face to align"):
        align(picture(1), (10, 20), (11, 20))


# Official layouts


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
    assert len(groups) == 1 + 3 + 15 + 3 + 6
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
    with pytest.raises(BadInput, match="no landmarks of mugshot_frontal_cropped_all:002_frontal.JPG"):
        scface(scface_root, landmarks=table)


def test_scface_missing_parts(scface_root):
    shutil.rmtree(scface_root / "surveillance_cameras_distance_3/cam_5")
    with pytest.raises(BadInput, match="no surveillance_cameras_distance_3/cam_5/.*www.scface.org"):
        scface(scface_root)
    shutil.rmtree(scface_root / "mugshot_frontal_cropped_all")
    with pytest.raises(BadInput, match="no mugshot_frontal_cropped_all/"):
        scface(scface_root)


# The check


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
    assert "exact copies: 1" in text and "people: 1" in text


def test_check_near_duplicates_inside_one_path(tmp_path):
    images = {"a.png": picture(1), "b.jpg": encode(picture(1), "JPEG", quality=80), "c.png": picture(2)}
    (row,) = check([folder(tmp_path / "set", images)])["paths"]
    assert row["near"] == [("set:a.png", "set:b.jpg")]


def test_check_clean(tmp_path):
    paths = [folder(tmp_path / str(k), {f"{i}.png": picture(10 * k + i) for i in range(5)}) for k in range(3)]
    report = check([paths[:2], paths[2]])
    assert report["clean"] and report["paths"][0]["count"] == 10
    assert format_check(report).endswith("nothing shared between the paths")
    (tmp_path / "manifest.csv").write_text("file,person\n0.png,p\n")
    with pytest.raises(BadInput, match="manifest.csv: expected the columns"):
        check(paths)


def test_same_faces_counts_equal_pixels(tmp_path):
    a = Faces(folder(tmp_path / "a", {f"{i}.png": picture(i) for i in range(5)}))
    b = Faces(folder(tmp_path / "b", {f"{i}.bmp": encode(picture(i), "BMP") for i in range(3, 9)}))
    assert same_faces(a, b) == 2 and same_faces(a.load(), b.load()) == 2
    assert same_faces(a, Faces(tmp_path / "b", names=["7.bmp"])) == 0
