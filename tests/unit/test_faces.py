"""Faces: everything that can be wrong with a folder, a zip or an image."""
from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
import struct
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps
from torch.utils.data import DataLoader

from aminet.errors import BadInput
from aminet.faces import pictures
from aminet.faces.dataset import Faces, same_faces, to_tensor
from aminet.faces.pictures import align, open_image

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
    assert torch.equal(one(tmp_path, image, crop=100), to_tensor(
        image.crop((39, 59, 139, 159)).resize((128, 128), Image.BICUBIC)))
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


def test_open_image_is_rgb_of_any_size_and_names_what_is_bad(tmp_path):
    folder(tmp_path, {"a.png": picture(1, (90, 70)).convert("L"), "b.png": b"text"})
    image = open_image(tmp_path / "a.png")
    assert (image.mode, image.size) == ("RGB", (90, 70))
    for name, line in (("b.png", "b.png: no image that can be read"), ("c.png", "no such file: .*c.png")):
        with pytest.raises(BadInput, match=line):
            open_image(tmp_path / name)


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
        assert line.startswith(f"{path.name}:{name}: ") and reason in line and "\n" not in line
        assert line.endswith(" (--skip-bad leaves it out)")
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
        Faces(bomb).load()
    with pytest.raises(BadInput, match="neither stored nor deflated"):
        Faces(archive(tmp_path / "lzma.zip", {"a.png": picture(1)}, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("a.png", encode(picture(1)))
        file.writestr("a.png", encode(picture(2)))
    with pytest.raises(BadInput, match="a.png is in it twice"):
        Faces(tmp_path / "twice.zip")


def test_the_directory_of_a_zip_is_bounded(tmp_path, monkeypatch):
    path = archive(tmp_path / "set.zip", {f"{i}.png": picture(1) for i in range(9)})
    assert len(Faces(path)) == 9
    monkeypatch.setattr(pictures, "MAX_BYTES", 9 * 50)  # an entry of "0.png" has 51 bytes
    with pytest.raises(BadInput, match="set.zip: neither a folder nor a whole zip .*more than the"):
        Faces(path)


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


# Comparing


def test_same_faces_counts_equal_pixels(tmp_path):
    a = Faces(folder(tmp_path / "a", {f"{i}.png": picture(i) for i in range(5)}))
    b = Faces(folder(tmp_path / "b", {f"{i}.bmp": encode(picture(i), "BMP") for i in range(3, 9)}))
    assert same_faces(a, b) == 2 and same_faces(a.load(), b.load()) == 2
    assert same_faces(a, Faces(tmp_path / "b", names=["7.bmp"])) == 0


# What is no file, and names of any kind


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_pipes_and_devices_are_never_opened(tmp_path, pipe):
    set_ = folder(tmp_path / "set", {"a.png": picture(1)})
    for special in (pipe, Path("/dev/zero")):
        (set_ / "b.png").symlink_to(special)
        with pytest.raises(BadInput, match=r"set:b.png: cannot be read \(a folder, a pipe or a device"):
            Faces(set_).load()
        assert Faces(set_, skip_bad=True).names == ["set:a.png"]
        (tmp_path / "x.zip").symlink_to(special)
        for read in (Faces, open_image):
            with pytest.raises(BadInput, match="x.zip: .*a pipe or a device"):
                read(tmp_path / "x.zip")
        (tmp_path / "x.zip").unlink()
        (set_ / "b.png").unlink()


def test_links_to_pictures_are_followed_and_others_are_bad_files(tmp_path):
    set_ = folder(tmp_path / "set", {"a.png": picture(1), "real/b.png": picture(2)})
    (set_ / "c.png").symlink_to(set_ / "a.png")
    assert Faces(set_).names == ["set:a.png", "set:c.png", "set:real/b.png"]
    for name, target in (("dangling.png", "nowhere"), ("loop.png", "loop.png"), ("sub", "real"), ("d.png", "real"),
                         ("up", "..")):
        (set_ / name).symlink_to(target)
    faces = Faces(set_, skip_bad=True)
    assert faces.names == ["set:a.png", "set:c.png", "set:real/b.png"]
    reasons = dict(faces.skipped)
    assert set(reasons) == {f"set:{name}" for name in ("dangling.png", "loop.png", "sub", "d.png", "up")}
    assert "link to a folder" in reasons["set:sub"] and "No such file" in reasons["set:dangling.png"]
    with pytest.raises(BadInput, match="set:sub: a link to a folder.*give it as a set of its own"):
        Faces(set_)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_bad(tmp_path):
    set_ = folder(tmp_path / "set", {"a.png": picture(1), "b.png": picture(2), "sub/c.png": picture(3)})
    (set_ / "b.png").chmod(0)
    (set_ / "sub").chmod(0)
    faces = Faces(set_, skip_bad=True)
    (set_ / "sub").chmod(0o700)
    assert faces.names == ["set:a.png"] and dict(faces.skipped).keys() == {"set:b.png", "set:sub"}


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".zip", "a\0b", "a/" * 3000])
def test_paths_that_cannot_be(name, tmp_path):
    for read in (Faces, open_image):
        with pytest.raises(BadInput, match="no such f"):
            read(tmp_path / name)
    with pytest.raises(BadInput, match="is not in it"):
        Faces(folder(tmp_path / "set", {"a.png": picture(1)}), names=[name])


def test_a_name_that_is_not_utf8_has_a_fingerprint(tmp_path):
    set_ = folder(tmp_path / "set", {"a.png": picture(1)})
    try:
        (set_ / os.fsdecode(b"caf\xe9.png")).write_bytes(encode(picture(2)))
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    (tmp_path / "manifest.csv").write_bytes(
        b"archive,file,split,identity\nset,a.png,test,1\nset,caf\xe9.png,test,2\n")
    faces = Faces(set_)
    assert len(faces) == 2 and len(faces.fingerprint) == 64 and faces.people == ["1", "2"]
    (set_ / os.fsdecode(b"caf\xe9.png")).write_bytes(b"text")
    with pytest.raises(BadInput) as error:
        Faces(set_).load()
    assert str(error.value).startswith(r"set:caf\udce9.png: ")


def test_the_fingerprint_is_made_of_names_and_checksums(tmp_path):
    data = encode(picture(1))
    expected = hashlib.sha256(f"caf\u00e9.png\0{zlib.crc32(data):08x}\n".encode()).hexdigest()
    assert Faces(folder(tmp_path / "set", {"caf\u00e9.png": data})).fingerprint == expected


def test_wrong_types_are_bad_input(tmp_path):
    set_ = folder(tmp_path / "set", {"a.png": picture(1)})
    for path, crop in ((5, None), (None, None), ([set_], None), (set_, "a"), (set_, -1), (set_, 0)):
        with pytest.raises(BadInput):
            Faces(path, crop=crop)


def test_small_faces_are_counted_once_on_loading(tmp_path):
    images = {"a.png": picture(1), "b.png": picture(2, (127, 300)), "c.png": picture(3, (16, 16))}
    with pytest.warns(UserWarning) as noted:
        Faces(folder(tmp_path / "set", images)).load()
    assert [str(note.message)[:41] for note in noted] == ["2 of 3 faces are smaller than 128 px and "]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Faces(tmp_path / "set", names=["a.png"]).load()


MANIFEST = b"archive,file,split,identity\n"


@pytest.mark.parametrize("data, people", [
    (MANIFEST + b"set,a.png,test,p\n", ["p"]), (b"\xef\xbb\xbf" + MANIFEST + b"set,a.png,test,p\r\n", ["p"]),
    (MANIFEST + b"set,a.png,test\nset\n\n,,,\n", None), (MANIFEST + b"set,a\0.png,test,p\n", None),
    (MANIFEST + b"set,a.png,test," + b"p" * 200_000, BadInput), (b"", BadInput), (b"\0\xff", BadInput)])
def test_manifests_of_any_kind(tmp_path, data, people):
    faces = Faces(folder(tmp_path / "set", {"a.png": picture(1), "manifest.csv": data}))
    if people is BadInput:
        with pytest.raises(BadInput, match="manifest.csv: "):
            print(faces.people)
    else:
        assert faces.people == people


def test_a_manifest_that_is_a_pipe_or_leads_nowhere(tmp_path, pipe):
    set_ = folder(tmp_path / "set", {"a.png": picture(1)})
    for target in (pipe, "nowhere"):
        (set_ / "manifest.csv").symlink_to(target)
        with pytest.raises(BadInput, match="manifest.csv: cannot be read"):
            print(Faces(set_).people)
        (set_ / "manifest.csv").unlink()


def test_colons_in_zips_are_names(tmp_path):
    images = {"a:b.png": picture(1), "12:30/c.png": picture(2)}
    assert Faces(archive(tmp_path / "set.zip", images)).names == ["set.zip:12:30/c.png", "set.zip:a:b.png"]
    with pytest.raises(BadInput, match="unsafe name"):
        Faces(archive(tmp_path / "drive.zip", {"C:/a.png": picture(1)}))


# Pixels that are whole


UNREADABLE = bytes.fromhex("0008000201120003")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
def test_unreadable_exif_is_passed_over(tmp_path, kind):
    image, lossless = picture(1), {"lossless": True} if kind == "WEBP" else {}
    if kind == "TIFF":  # Pillow writes none: an offset that lies outside the file
        data = encode(image, kind, exif=exif_with(0x0131, 8))
        assert b"\x31\x01" in data
        data = data.replace(b"\x31\x01", b"\x69\x87")  # a number that is the offset of no folder of tags
    else:
        data = encode(image, kind, exif=b"Exif\0\0" + UNREADABLE, **lossless)
    assert torch.equal(one(tmp_path, data), one(tmp_path, encode(image, kind, **lossless)))


def exif_with(tag: int, value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[tag] = value
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_orientation_is_pillows(tmp_path, orientation, kind):
    data = encode(picture(1, (40, 60)), kind, exif=exif_with(0x0112, orientation))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    (tmp_path / "a.png").write_bytes(data)
    assert open_image(tmp_path / "a.png").tobytes() == expected.tobytes()


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "pjpeg", "JFIF"])
def test_all_names_of_jpeg_are_pictures(tmp_path, suffix):
    assert len(Faces(folder(tmp_path / "set", {f"a.{suffix}": encode(picture(1), "JPEG")})).load()) == 1


ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])  # to XYZ, D50
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def icc_profile(space: bytes, colours=None, gamma: float = 2.2, table: bytes = b"") -> bytes:
    """A small ICC profile, version 2: grey, or with three colours as columns of XYZ, and one gamma, or by a table."""
    def xyz(values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": xyz((0.9642, 1, 0.8249))}
    tags |= {b"A2B0": table} if table else {b"kTRC": curve} if colours is None else {}
    for i, name in enumerate((b"r", b"g", b"b") if colours is not None else ()):
        tags |= {name + b"XYZ": xyz(colours[:, i]), name + b"TRC": curve}
    index, data, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        index += name + struct.pack(">2I", start + len(data), len(content))
        data += content
    between = b"Lab " if table else b"XYZ "
    header = struct.pack(">I4sI4s4s4s", start + len(data), b"\0" * 4, 0x02400000, b"mntr", space, between)
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 28 + xyz((0.9642, 1, 0.8249))[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + data


def shown(levels: np.ndarray, colours: np.ndarray, gamma: float) -> np.ndarray:
    """What sRGB levels the formulas of a profile give."""
    light = np.clip((levels / 255.0) ** gamma @ (np.linalg.inv(SRGB) @ colours).T, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def chunk(name: bytes, content: bytes, crc: int | None = None) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content) if crc is None else crc)


@pytest.mark.parametrize("metadata", [
    chunk(b"tEXt", b"a\0b", crc=1), chunk(b"eXIf", b"II*\0", crc=1), chunk(b"abCd", b"x", crc=1),
    chunk(b"iCCP", b"a\0\7xx"), chunk(b"iCCP", b""), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**23))),
    chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**23))), chunk(b"pHYs", b"\0"), chunk(b"acTL", b"\0"),
    chunk(b"cHRM", b"\0" * 5), chunk(b"sRGB", b""), chunk(b"tRNS", b"\0"), chunk(b"tRNS", b"\0" * 6, crc=1)])
def test_metadata_that_cannot_be_read_refuses_no_png(tmp_path, metadata):
    turned = Image.Exif()
    turned[0x0112] = 6
    data = encode(picture(1), exif=turned)
    for at in (33, len(data) - 12)[:1 if b"eXIf" in metadata else 2]:  # before the pixels; after them, but for EXIF
        x = one(tmp_path, data[:at] + metadata + data[at:])
        assert torch.equal(x, to_tensor(picture(1).transpose(Image.Transpose.ROTATE_270)))
    with pytest.raises(BadInput, match="no image"):  # of the pixels, every chunk counts
        one(tmp_path, data[:33] + metadata + chunk(b"PLTE", b"1", crc=1) + data[33:])


@pytest.mark.parametrize("marker, content", [
    (0xE0, b"JFIF"), (0xE0, b"JFXX\0\1"), (0xE1, b"Exif\0\0II"), (0xE2, b"ICC_PROFILE\0"), (0xE2, b"MPF\0"),
    (0xE2, b"ICC_PROFILE\0\2\1abc"), (0xED, b"Photoshop 3.0\x008BIM\x04"), (0xEE, b"Adobe"), (0xFE, b"")])
def test_metadata_that_cannot_be_read_refuses_no_jpeg(tmp_path, marker, content):
    turned = Image.Exif()
    turned[0x0112] = 6
    others = {"exif": turned, "icc_profile": icc_profile(b"RGB ", ADOBE)}
    data = encode(picture(1), "JPEG", **({} if content[:4] in (b"Exif", b"ICC_") else others))
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content
    for at in (2, data.index(b"\xff\xdb")):  # before the other metadata, and after it
        x = one(tmp_path, data[:at] + segment + data[at:], "a.jpg")
        assert torch.equal(x, one(tmp_path, data, "a.jpg"))


@pytest.mark.parametrize("content", [bytes(257), bytes(1000)])
def test_more_transparency_than_a_palette_can_have_is_passed_over(tmp_path, content):
    data = encode(picture(1).convert("P"))
    at = data.index(b"IDAT") - 4
    assert torch.equal(one(tmp_path, data[:at] + chunk(b"tRNS", content) + data[at:]), one(tmp_path, data))


def test_wide_colours_become_srgb(tmp_path):
    image, levels = picture(1), np.asarray(picture(1))
    expected = shown(levels, ADOBE, 2.2)
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        x = one(tmp_path, encode(image, kind, icc_profile=icc_profile(b"RGB ", ADOBE), **options))
        difference = abs(x.permute(1, 2, 0).numpy() - expected)
        assert difference.max() < 3 and abs(levels - expected).max() > 30
    half = image.copy()
    half.putalpha(128)
    x = one(tmp_path, encode(half, "PNG", icc_profile=icc_profile(b"RGB ", ADOBE)))
    assert abs(x.permute(1, 2, 0).numpy() - (expected * 128 + 255 * 127) / 255).max() < 3


def test_grey_profiles_and_others_that_do_not_fit(tmp_path):
    grey = picture(1).convert("L")
    x = one(tmp_path, encode(grey, "PNG", icc_profile=icc_profile(b"GRAY", gamma=1.0)))
    light = np.asarray(grey) / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert abs(x[0].numpy() - expected).max() < 3 and torch.equal(x[0], x[2])
    wide = one(tmp_path, encode(grey.convert("RGB"), "PNG", icc_profile=icc_profile(b"RGB ", ADOBE)))
    assert torch.equal(one(tmp_path, encode(grey, "PNG", icc_profile=icc_profile(b"RGB ", ADOBE))), wide)
    plain = to_tensor(picture(1))
    for profile in (icc_profile(b"GRAY"), icc_profile(b"CMYK"), b"no profile", icc_profile(b"RGB ", ADOBE)[:200],
                    ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
                    ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()):
        assert torch.equal(one(tmp_path, encode(picture(1), icc_profile=profile)), plain)


def test_cmyk_profiles_are_used(tmp_path):
    straight, soft = bytes(range(256)), bytes(level**2 // 255 for level in range(256))
    table = b"mft1\0\0\0\0\4\3\2\0" + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table += 3 * straight + soft + 8 * bytes((255, 128, 128, 0, 128, 128)) + 3 * straight  # lightness by black alone
    grey = Image.new("CMYK", (32, 32), (0, 0, 0, 128))
    x = one(tmp_path, encode(grey, "TIFF", icc_profile=icc_profile(b"CMYK", table=table)), "a.tif")
    light = ((100 * (1 - soft[128] / 255) + 16) / 116) ** 3
    assert abs(x.float() - 255 * (1.055 * light ** (1 / 2.4) - 0.055)).max() < 3
    assert abs(one(tmp_path, encode(grey, "TIFF"), "a.tif").float() - 127).max() < 3


def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    images = {f"{i}.png": huge_png(1500) for i in range(3)} | {f"small{i}.png": picture(i) for i in range(3)}
    running, most, to_rgb = [], [], pictures.to_rgb

    def slowly(data):
        running.append(width := pictures.open_header(data).width)
        most.append(running.count(1500))
        time.sleep(0.02)
        running.remove(width)
        return to_rgb(data)

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(pictures, "to_rgb", slowly)
    Faces(folder(tmp_path / "set", images)).load()
    assert len(most) == 6 and max(most) == 1


def test_conversion_in_strips_is_that_of_the_whole(tmp_path):
    image = picture(1, (1300, 1700))
    image.putalpha(picture(2, (1300, 1700)).convert("L"))
    (tmp_path / "a.png").write_bytes(encode(image))
    expected = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    assert open_image(tmp_path / "a.png").tobytes() == expected.tobytes()
