"""Faces from anywhere: zips and manifests of any bytes, folders of any names, sources of any text, annotations."""
import io
import os
import warnings
import zipfile

import pytest
from hostile import mutated, rewrite, survives
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from aminet.faces import official
from aminet.faces.check import check, format_check
from aminet.faces.dataset import Faces, manifest
from aminet.faces.sources import DATA_SETS, Source

buffer = io.BytesIO()
Image.linear_gradient("L").resize((16, 16)).save(buffer, "PNG")
PICTURE = buffer.getvalue()
ROWS = b"archive,file,split,identity\nset,a.png,test,somebody\nset,sub/b.png,test,\"some,\nbody\"\n"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small faces
        yield tmp_path_factory.mktemp("work")


def zips() -> list[bytes]:
    """Small zips, stored and deflated, with and without a comment."""
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(file := io.BytesIO(), "w", method) as archive:
            archive.writestr("a.png", PICTURE)
            archive.writestr("sub/caf\xe9.png", PICTURE)
            archive.comment = b"faces" * (method == zipfile.ZIP_STORED)
        found.append(file.getvalue())
    return found


@given(data=mutated(zips()))
def test_zips(work, data):
    rewrite(work / "set.zip", data)

    def read():
        faces = Faces(work / "set.zip")
        return faces.fingerprint, faces.people, [faces[i] for i in range(min(len(faces), 3))]

    survives(read)


NAMES = st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=3)


@given(names=NAMES, suffix=st.sampled_from([b"", b".png"]))
def test_folders_of_any_names(work, names, suffix):
    folder, picture = work / "set", work / "picture.png"
    folder.mkdir(exist_ok=True)
    picture.exists() or picture.write_bytes(PICTURE)
    try:
        for name in names:
            name = name.translate(None, b"/\0") + suffix
            assume(name not in (b"", b".", b".."))
            try:
                os.link(picture, os.path.join(os.fsencode(folder), name))
            except OSError:  # the disk takes no such name, or has it
                assume(False)
        faces = survives(Faces, folder)
        if isinstance(faces, Faces):
            assert len(faces.fingerprint) == 64 and faces[0].shape == (3, 128, 128)
        report = survives(lambda: format_check(check([folder])))
        assert all(line.isprintable() for line in str(report).split("\n"))
    finally:
        for path in folder.iterdir():
            path.unlink()


@pytest.fixture(scope="module")
def listed(work):
    (work / "listed/set/sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        (work / "listed/set" / name).write_bytes(PICTURE)
    return Faces(work / "listed/set")


@given(data=mutated([ROWS, b"\xef\xbb\xbf" + ROWS.replace(b"\n", b"\r\n")]))
def test_manifests(listed, work, data):
    rewrite(work / "listed/manifest.csv", data)
    rows = survives(manifest, listed.files)
    assert isinstance(rows, Exception) or len(rows) == 2


@given(st.text(max_size=60), st.sampled_from(["", "synthetic:", "synthetic:8:", *(f"{name}:" for name in DATA_SETS)]))
def test_sources(text, kind):
    source = survives(Source.parse, kind + text)
    if isinstance(source, Source) and source.kind == "synthetic":
        assert 0 < source.n <= 10**6 and 0 <= source.seed and Source.parse(str(source)) == source


@pytest.fixture(scope="module")
def celeba_root(work):
    (work / "celeba/img_align_celeba").mkdir(parents=True)
    for name in "123":
        (work / f"celeba/img_align_celeba/{name}.png").write_bytes(PICTURE)
    return work / "celeba"


PARTITION, IDENTITY = b"1.png 0\n2.png 1\n3.png 2\n", b"1.png 7\n2.png 8\n3.png 9\n"
ATTRIBUTES = b"3\nnames\n" + b"".join(b"%d.png" % i + b"  1 -1" * 20 + b"\n" for i in (1, 2, 3))


@given(partition=mutated([PARTITION]), identity=mutated([IDENTITY]), attributes=mutated([ATTRIBUTES]))
def test_celeba_lists(celeba_root, partition, identity, attributes):
    rewrite(celeba_root / "list_eval_partition.txt", partition)
    rewrite(celeba_root / "identity_CelebA.txt", identity)
    rewrite(celeba_root / "list_attr_celeba.txt", attributes)
    parts = survives(lambda: official.celeba(celeba_root, "identity", train=1, test=1, val=1))
    if isinstance(parts, dict):
        survives(official.celeba_attributes, celeba_root, parts["train"])


POINTS = b"1\n" + b"".join(b"%d.5 , %d\n" % (i % 16, i % 7) for i in range(194))


@given(annotation=mutated([POINTS, POINTS.replace(b"\n", b"\r\n")]), tests=mutated([b"1\n"]))
def test_helen_annotations(work, annotation, tests):
    root = work / "helen"
    if not root.exists():
        (root / "annotation").mkdir(parents=True)
        (root / "helen_1").mkdir()
        (root / "helen_1/1.jpg").write_bytes(PICTURE)
    rewrite(root / "annotation/1.txt", annotation)
    rewrite(root / "testnames.txt", tests)
    survives(lambda: official.helen(root)["test"][0])


@given(data=mutated([b"name leX leY reX reY\n001_frontal 2 4 9 4 8 8 8 9\n"]))
def test_scface_landmarks(work, data):
    folders = ["mugshot_frontal_cropped_all", *(
        f"surveillance_cameras_distance_{d}/cam_{c}" for d in (1, 2, 3) for c in range(1, 6))]
    for folder in folders if not (work / "scface").exists() else ():
        (work / "scface" / folder).mkdir(parents=True)
        (work / "scface" / folder / "001_frontal.jpg").write_bytes(PICTURE)
    rewrite(work / "eyes.txt", data)
    survives(lambda: official.scface(work / "scface", work / "eyes.txt")["gallery"][0])
