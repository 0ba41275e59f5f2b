"""Records that are none, of another kind or version, or with odd values: each command skips or names them."""
import json
import os

import pytest

from aminet.errors import BadInput
from aminet.files import read_json, record_name
from aminet.paper.records import read_record, read_records, seal, write_record
from aminet.paper.tables import table
from aminet.paper.verdicts import readings

TARGET = "pocket-synthetic_2-paper.json"
WHOLE = {"kind": "evaluation", "config": {}, "weights": {"sha256": "0"}, "protocol": {"name": "paper"},
         "created": "2030-01-02T00:00:00Z", "faces": {"sources": ["a.zip"], "images": 2, "fingerprint": "f"},
         "measured": [], "describe": "", "versions": {}, "gain": {}, "means": {}, "values": {}}
ODD = {"thin": {"kind": "evaluation"}, "protocol": {**WHOLE, "protocol": None}, "weights": {**WHOLE, "weights": []},
       "strings": {**WHOLE, "means": {"psnr": {"mean": "27"}}}, "escape": {**WHOLE, "created": "\x1b[2J"},
       "nan": {**WHOLE, "weights": {"sha256": "0", "val_psnr": float("inf")}}, "images": {**WHOLE, "faces": {
           "sources": ["a.zip"], "fingerprint": "f", "images": 10**30}}}
BYTES = {"deep": b"[" * 100_000, "latin": b'{"kind": "caf\xe9"}', "empty": b"", "digits": b"9" * 5000,
         "number": b"1e400"}


@pytest.fixture
def folder(tmp_path):
    """One sound record, others of another kind, and everything else."""
    contents = {"whole": WHOLE, "bench": {"kind": "bench"}, "kind": {"kind": []}, TARGET.removesuffix(".json"): {
        "kind": "bench", "weights": 5}, **ODD}
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(seal(content)))
    for name, content in BYTES.items():
        (tmp_path / f"{name}.json").write_bytes(content)
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    return tmp_path


def test_any_name_and_number_is_written_as_json_and_read_again(tmp_path):
    names = ['ends with],', "}, \0 ],\n", "Infinity", ": -Infinity,", "caf\u00e9", '"', "\\u0000Infinity"]
    record = seal({"names": names, "numbers": [float("inf"), float("-inf"), float("nan"), 1e300],
                   "rows": [{name: names} for name in names]})
    path = write_record(record, tmp_path / "record.json")
    assert read_record(path) == record and record["numbers"] == [float("inf"), float("-inf"), None, 1e300]
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == record
    assert path.read_bytes().count(b"\n") == 4  # where lists and groups end, a line ends, too


def test_one_reader_for_all(folder):
    found, problems = read_records(folder)
    assert [record["weights"]["sha256"] for record in found] == ["0"]
    assert len(problems) == len({*ODD, *BYTES, "pipe", "folder"}) and all(line.isprintable() for line in problems)
    for name in (*ODD, *BYTES, "pipe", "folder"):
        assert sum(f"/{name}.json" in line for line in problems) == 1, name
        with pytest.raises(BadInput):
            read_record(folder / f"{name}.json")


def test_a_table_skips_them_with_a_note(folder, aminet):
    notes = table(8, folder).notes
    assert {note.split(".json")[0] for note in notes} >= {*ODD, "deep", "latin", "empty", "digits", "pipe", "folder"}
    done = aminet("table", 8, "--records", folder)
    assert done.returncode == 0 and "deep.json is no whole record and is left out" in done.stdout
    assert readings(folder) == ()


def test_a_run_skips_them_with_a_note(folder, aminet):
    done = aminet("reproduce", "--list", "--scale", "smoke", "--only", "aminet-*", "--records", folder)
    assert done.returncode == 0 and "weights.json is no whole record" in done.stdout


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
@pytest.mark.parametrize("name, words", [(None, "is another kind of record, 'bench'"), ("deep", "is no JSON"),
                                         ("weights", "is no whole record: it.weights is not what it should be")])
def test_a_record_of_another_kind_is_not_replaced(folder, refuses, name, words, more):
    target = folder / TARGET
    if name:
        target.write_bytes((folder / f"{name}.json").read_bytes())
    before = target.read_bytes()
    refuses(words, "evaluate", "pocket", "--faces", "synthetic:2", "--metrics", "psnr", "--records", folder, *more)
    assert target.read_bytes() == before


def test_a_name_fits_into_any_file_system():
    """Short ones stay as they always were."""
    assert record_name("pocket", ["sets/celeba_test.zip", "synthetic:4:1"], "paper") == (
        "pocket-celeba_test+synthetic_4_1-paper.json")
    assert record_name("x" * 240) == "x" * 240 + ".json"
    long = [record_name("pocket", [f"{letter}{i}" for i in range(500)], "paper") for letter in "ab☃"]
    assert len(set(long)) == 3 and all(len(os.fsencode(name)) < 245 for name in long)
    assert long[0].startswith("pocket-a0+a1+") and record_name(os.fsdecode(b"\xff" * 300)).endswith(".json")


def test_json_has_bounds(tmp_path):
    with open(tmp_path / "large.json", "wb") as file:
        file.truncate(10**10)  # of zeros, which take no room
    with pytest.raises(BadInput, match="above 16 MiB"):
        read_json(tmp_path / "large.json")
    assert read_json("name", b"[" * 50 + b"]" * 50)
    with pytest.raises(BadInput, match="nested more than 50 deep"):
        read_json("name", b"[" * 52 + b"]" * 52)
