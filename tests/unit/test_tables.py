"""The paper's tables beside ours: what a record may fill, what it may not, and how the result reads."""
from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from aminet.errors import BadInput
from aminet.files import DATA
from aminet.metrics.statistics import paired_difference, student_interval, summary
from aminet.paper import comparison as C
from aminet.paper import published as P
from aminet.paper import runs as run_list
from aminet.paper import tables as T
from aminet.paper import text as F
from aminet.paper.records import seal, write_record
from aminet.paper.runs import find_run, runs
from aminet.protocol import PROTOCOLS

SPECS = {spec.name: spec for spec in runs()}
PEOPLE = [i // 2 for i in range(40)]
LATER = {"chosen": "2030-01-03T00:00:00Z", "created": "2030-01-04T00:00:00Z"}  # than a record is by itself


def values(seed: int, mean: float = 27.0) -> list[float]:
    return np.random.default_rng(seed).normal(mean, 1, 40).round(5).tolist()


def record(run: str, source: str = "celeba_test.zip", protocol: str = "paper", faces: str = "f",
           learnt: str = "train.zip", chosen: str = "2030-01-01T00:00:00Z", created: str = "2030-01-02T00:00:00Z",
           **metrics) -> dict:
    """What `evaluate` writes for a run, with the given values per image."""
    spec = SPECS[run]
    means = {name: summary(v, people=PEOPLE) for name, v in metrics.items()}
    return seal({
        "kind": "evaluation", "config": spec.config.to_dict(), "protocol": {"name": protocol},
        "weights": {"sha256": run, "images": spec.recipe.images, "chosen": chosen, "recipe": asdict(spec.recipe),
                    "trials": [{"lr": lr, "images": spec.trial, "val_psnr": 24.0} for lr in spec.lrs],
                    "data": {"train": {"sources": [learnt], "images": 100}}},
        "faces": {"sources": [source], "images": 40, "fingerprint": faces, "people": PEOPLE},
        "created": created, "measured": [], "describe": "", "versions": {}, "gain": {}, "means": means,
        "values": metrics})


@pytest.fixture
def folder(tmp_path):
    """Write records into a folder; `folder(a, b)` returns it."""
    def write(*records):
        for i, content in enumerate(records, len(list(tmp_path.iterdir()))):
            write_record(content, tmp_path / f"r{i}.json")
        return tmp_path
    return write


@pytest.fixture(autouse=True)
def one_training_is_enough(monkeypatch):
    """Here; what a table asks for is tested by itself."""
    needed = dict(P.SEEDS)
    monkeypatch.setattr(P, "SEEDS", dict.fromkeys(P.SEEDS, 1))
    return needed


def cells(number: int, records, protocol: str = "paper") -> dict[tuple[str, str], T.Cell]:
    return {(cell.row, cell.column): cell for cell in T.table(number, records, protocol).cells}


def test_without_records_only_counts_are_ours(folder):
    for number in range(1, 10):
        table = T.table(number, folder())
        assert [cell.published for cell in table.cells if cell.published] == [
            value for row in P.published(number) for value in list(row.values())[2:]]
        assert not table.sources and not table.notes
        for cell in table.cells:
            exact = cell.metric == "params_m" and cell.row not in P.PREFIX
            assert cell.status == ("counted" if exact else "pending") and (cell.ours is not None) == exact


def test_counts_are_exact_and_at_the_papers_size(folder):
    bill = cells(10, folder(record("aminet-pocket-0", psnr=values(0))))  # a pocket network changes no count
    assert bill["AMINet", "params_m"].ours == 12.623547 and bill["AMINet-S", "params_m"].ours == 8.210899
    assert bill["AMINet", "macs_g"].ours == pytest.approx(15.566394368) and bill["AMINet", "speed_ms"].ours is None
    assert bill["AMINet-S", "macs_g"].difference == pytest.approx(9.21 - 15.566, abs=0.01)
    assert bill["AMINet", "params_m"].minus_published == pytest.approx(0.003547)
    assert bill["SFMNet", "params_m"].ours == 8.799622 and bill["SPARNet", "params_m"].ours == 10.518867
    assert bill["SCTANet", "params_m"].ours == 27.937482 and bill["ELSFace", "params_m"].ours == 6.685653
    assert (bill["CTCNet", "params_m"].status, bill["AMINet", "psnr"].status) == ("counted", "measured")


def test_a_cell_is_the_mean_with_its_interval_and_paired_difference(folder):
    full, without = values(0), values(1)
    found = cells(1, folder(record("aminet-pocket-0", psnr=full), record("without-sa-pocket-0", psnr=without)))
    cell, own = found["LGFI w/o SA", "psnr"], found["LGFI", "psnr"]
    expected = summary(without, people=PEOPLE)
    assert (cell.ours, cell.low, cell.high) == (expected["mean"], expected["low"], expected["high"])
    assert cell.minus_published == pytest.approx(expected["mean"] - 27.75)
    gap = paired_difference(without, full, people=PEOPLE)
    assert (cell.difference, cell.difference_low, cell.difference_high) == (gap["mean"], gap["low"], gap["high"])
    assert (cell.reference, cell.published_difference) == ("LGFI", -0.08)
    assert (own.reference, own.published_difference, own.difference) == ("", None, None)
    assert (cell.status, cell.scale, cell.on, cell.seeds, cell.records) == (
        "measured", "pocket", "CelebA faces", (0,), ("r1.json",))


def test_seeds_are_averaged_image_by_image(folder):
    first, second = values(0), values(1)
    found = cells(7, folder(record("aminet-short-1", psnr=second), record("aminet-short-0", psnr=first)))
    cell, expected = found["AMINet", "celeba_psnr"], summary([first, second], people=PEOPLE)
    assert (cell.ours, cell.low, cell.high) == (expected["mean"], expected["low"], expected["high"])
    assert cell.seeds == (0, 1) and cell.records == ("r1.json", "r0.json")
    one = summary(np.mean([first, second], axis=0), people=PEOPLE)  # as if there were no other trainings
    assert cell.ours == pytest.approx(one["mean"]) and cell.high - cell.low > one["high"] - one["low"]
    text = F.format_table(T.table(7, folder()))
    assert "seen, seeds 0, 1." in " ".join(text.split()) and "[95 %, paired]  seeds" not in text
    text = F.format_table(T.table(7, folder(record("sparnet-short-0", psnr=first))))  # rows differ in their seeds
    assert "[95 %, paired]" in text and re.search(r"^PSNR, dB  AMINet .*  0 1$", text, re.MULTILINE)
    assert re.search(r"^PSNR, dB  SPARNet .*  0$", text, re.MULTILINE)
    assert "seen, seed 0 (of some rows more)." in " ".join(text.split())


def test_an_ablation_needs_several_trainings(folder, monkeypatch, one_training_is_enough):
    monkeypatch.setattr(P, "SEEDS", one_training_is_enough)
    for seed in (0, 1):
        records = folder(record(f"aminet-mini-{seed}", psnr=values(seed)),
                         record(f"without-sa-mini-{seed}", psnr=values(seed + 5)))
    few = T.table(1, records)
    assert {cell.status for cell in few.cells if cell.faces} == {"pending"}
    assert "LGFI w/o SA is pending: 2 of 3 trainings at scale mini." in few.notes
    assert few.runs == ["without-sa-mini-2", *(f"{name}-mini-{seed}" for name in ("without-rdfe", "aminet-s")
                                               for seed in (0, 1, 2)), "aminet-mini-2"]  # not what is there
    assert cells(7, records)["AMINet", "celeba_psnr"].status == "measured"  # no ablation
    folder(record("aminet-mini-2", psnr=values(2)), record("without-sa-mini-2", psnr=values(7)))
    cell = cells(1, records)["LGFI w/o SA", "psnr"]
    gaps = [np.mean(np.subtract(values(seed + 5), values(seed))) for seed in (0, 1, 2)]  # of equal seeds
    expected = student_interval(gaps)
    assert (cell.status, cell.scale, cell.seeds) == ("measured", "mini", (0, 1, 2))
    assert (cell.difference, cell.difference_low, cell.difference_high) == pytest.approx(tuple(expected.values()))
    alone = student_interval([np.mean(values(seed + 5)) for seed in (0, 1, 2)])
    assert (cell.ours, cell.low, cell.high) == pytest.approx(tuple(alone.values())) and P.SEEDS["short"] == 2


def test_the_second_block_stands_beside_the_first(folder):
    """It is compared with its own AMINet, and a row that it lacks is pending there alone."""
    one, two = values(0), values(1)
    records = folder(
        record("aminet-mini-0", psnr=one), record("swinir-mini-0", psnr=two),
        record("aminet-from-bicubic-mini-0", psnr=two), record("swinir-from-bicubic-mini-0", psnr=one))
    table = T.table(7, records)
    second = {(cell.row, cell.column): cell for cell in table.from_bicubic}
    first = {(cell.row, cell.column): cell for cell in table.cells}
    key = "SwinIR", "celeba_psnr"
    assert (first[key].records, second[key].records) == (("r1.json",), ("r3.json",))
    assert first[key].difference == pytest.approx(-second[key].difference) and first[key].difference
    assert (first[key].block, second[key].block) == ("", "from_bicubic")
    assert second["RCAN", "celeba_psnr"].status == "pending" and "rcan-from-bicubic-mini-0" in table.runs
    text = F.format_table(table)
    assert re.search(rf"^SwinIR +27.88 +{np.mean(two):.2f} +{np.mean(one):.2f} ", text, re.MULTILINE)
    steps = "from bicubic, each with the best on validation of the step sizes 0.0002, 0.0005, 0.001"
    assert steps in " ".join(text.split())
    assert "Ours, from bicubic, on CelebA faces, in detail:" in text
    assert "from bicubic" in F.markdown_table(table) and ",from_bicubic\n" in F.csv_table(table)
    assert not T.table(1, records).from_bicubic and "from bicubic" not in F.format_table(T.table(1, records))


def test_the_scale_with_the_most_rows_is_shown(folder):
    """One row at a larger scale does not hide many at a smaller one; of equals the larger is shown."""
    def scales(records):
        return {cell.row: cell.scale for (row, column), cell in cells(7, records).items()
                if column == "celeba_psnr" and cell.scale and row != "Bicubic"}

    small = [record(f"{name}-mini-0", psnr=values(i)) for i, name in enumerate(("aminet", "sparnet", "rcan"))]
    large = [record(f"{name}-pocket-0", psnr=values(i)) for i, name in enumerate(("aminet", "rcan", "sparnet"))]
    assert scales(folder(*small, *large[:2])) == dict.fromkeys(("AMINet", "SPARNet", "RCAN"), "mini")
    assert scales(folder(large[2])) == dict.fromkeys(("AMINet", "SPARNet", "RCAN"), "pocket")


def test_speed_is_of_one_sitting(folder, tmp_path):
    content = seal({"kind": "speeds", "preset": "aminet", "device": "cpu", "created": "2030", "rows": [
        {"network": name, "config": SPECS[f"{name}-paper-0"].config.to_dict(), "seconds": seconds}
        for name, seconds in (("aminet", 0.2), ("without-sa", 0.15))],
        "machine": {"cpu": "some processor", "threads": 2}})
    write_record(content, tmp_path / "speeds-aminet-cpu.json")
    cell = cells(1, folder())["LGFI w/o SA", "speed_ms"]
    assert (cell.ours, cell.on, cell.records) == (150.0, "some processor, 2 threads", ("speeds-aminet-cpu.json",))
    assert cell.difference == -50 and cell.minus_published is None and cell.status == "measured"
    assert cells(1, folder())["LGFI w/o RDFE", "speed_ms"].status == "pending"
    write_record(content | {"preset": "aminet", "created": "2031"}, tmp_path / "speeds-aminet-cpu.json")  # edited
    assert cells(1, folder())["LGFI w/o SA", "speed_ms"].status == "pending"


def test_scales_are_never_mixed(folder):
    records = folder(record("aminet-pocket-0", psnr=values(0)), record("without-sa-pocket-0", psnr=values(1)))
    assert cells(1, records)["LGFI", "psnr"].scale == "pocket"
    folder(record("aminet-short-0", psnr=values(2)))  # larger, but nothing to compare it with
    assert {cell.scale for cell in cells(1, records).values() if cell.status == "measured"} == {"pocket"}
    assert cells(7, records)["AMINet", "celeba_psnr"].scale == "short"  # there the largest
    folder(record("without-rdfe-short-0", psnr=values(3)))
    found = cells(1, records)
    assert {cell.scale for cell in found.values() if cell.status == "measured"} == {"short"}
    assert found["LGFI w/o SA", "psnr"].status == "pending" and found["LGFI w/o RDFE", "psnr"].difference is not None


@pytest.mark.parametrize("other", [{"faces": "g"}, {"learnt": "more.zip"}, {"source": "celeba:test", "faces": "g"}])
def test_only_the_same_faces_are_compared(folder, other):
    found = cells(1, folder(
        record("aminet-pocket-0", psnr=values(0)), record("without-sa-pocket-0", psnr=values(1)),
        record("without-rdfe-pocket-0", psnr=values(2), **other)))
    assert found["LGFI w/o RDFE", "psnr"].status == "pending" and found["LGFI w/o SA", "psnr"].status == "measured"


def test_smoke_and_unlisted_networks_fill_nothing(folder):
    unlisted = record("aminet-pocket-0", psnr=values(1))
    unlisted["weights"]["recipe"]["lr"] = 1.0
    longer = record("aminet-pocket-0", psnr=values(2))
    longer["weights"]["images"] += 1
    of_london = record("aminet-pocket-0", source="london.zip", psnr=values(0))
    records = folder(record("aminet-smoke-0", psnr=values(0)), seal(unlisted), seal(longer), of_london)
    assert {cell.status for cell in cells(1, records).values()} == {"pending", "counted"}


@pytest.mark.parametrize("damage", [
    lambda found: found["values"]["psnr"].pop(), lambda found: found.pop("means"),
    lambda found: found.update(means=27.0), lambda found: found["means"].update(psnr=27.0)])
def test_an_edited_record_still_tells_of_the_first_look(folder, damage):
    """However much of it was removed: weights that were chosen later must not take its place."""
    first = record("aminet-pocket-0", psnr=values(0))
    damage(first)
    cell = cells(1, folder(first, record("aminet-pocket-0", psnr=values(0, 40), **LATER)))["LGFI", "psnr"]
    assert cell.ours is None and cell.status in ("edited", "unproven")


@pytest.mark.parametrize("change", [
    lambda found: found.pop("means"), lambda found: found["means"].update(psnr=27.0),
    lambda found: found["means"]["psnr"].update(mean=30.0), lambda found: found["values"].update(psnr=["a"] * 40),
    lambda found: found["faces"].update(people=PEOPLE[:-1])], ids=["means", "number", "mean", "words", "people"])
def test_a_sealed_record_that_contradicts_itself_is_left_out(folder, change):
    odd = record("aminet-pocket-0", psnr=values(0))
    change(odd)
    table = T.table(1, folder(seal(odd), record("aminet-pocket-1", psnr=values(1))))
    assert any("r0.json is no whole record" in note for note in table.notes)
    assert {cell.status for cell in table.cells if cell.metric == "psnr"} <= {"measured", "pending"}


def test_protocols_are_never_mixed(folder):
    records = folder(record("aminet-pocket-0", psnr=values(0)),
                     record("aminet-pocket-0", protocol="dic", psnr=values(1)))
    for protocol, seed in (("paper", 0), ("dic", 1)):
        assert cells(1, records, protocol)["LGFI", "psnr"].ours == summary(values(seed))["mean"]
    assert cells(1, records, "rgb")["LGFI", "psnr"].status == "pending"


def test_an_edited_record_costs_its_own_cells(folder):
    edited = record("without-sa-pocket-0", psnr=values(1), ssim=values(2))
    edited["values"]["psnr"][0] += 1
    records = folder(record("aminet-pocket-0", psnr=values(0)), edited)
    (records / "cut.json").write_text('{"kind": "evaluation", "val')
    (records / "list.json").write_text("[]")
    (records / "thin.json").write_text(json.dumps(seal({"kind": "evaluation"})))
    few = record("without-rdfe-pocket-0", psnr=values(1))
    few["values"]["psnr"].pop()
    write_record(seal(few), records / "few.json")
    table = T.table(1, records)
    found = {(cell.row, cell.column): cell for cell in table.cells}
    assert found["LGFI w/o SA", "psnr"].status == found["LGFI w/o SA", "ssim"].status == "edited"
    assert found["LGFI w/o SA", "psnr"].ours is None and found["LGFI w/o SA", "vif"].status == "pending"
    assert found["LGFI", "psnr"].status == "measured" and found["LGFI w/o RDFE", "psnr"].status == "pending"
    for name in ("r1.json was edited", "cut.json is no whole record", "thin.json", "few.json"):
        assert sum(name in note for note in table.notes) == 1, name
    assert not any("list.json" in note for note in table.notes)
    text = F.format_table(table)
    assert "edited: its record was changed by hand" in text and "r1.json was edited" in text
    assert not [note for note in T.table(8, records).notes if "r1.json" in note]  # Table VIII has no such row


def test_weights_chosen_after_the_first_look_are_unproven(folder):
    table = T.table(1, folder(record("aminet-pocket-0", psnr=values(0), chosen="2030-01-03T00:00:00Z")))
    assert [cell.status for cell in table.cells if (cell.row, cell.column) == ("LGFI", "psnr")] == ["unproven"]
    assert "unproven: the weights were chosen after" in F.format_table(table)
    assert any("r0.json" in note and "2030-01-03" in note for note in table.notes)
    unknown = folder(record("without-sa-pocket-0", psnr=values(0), chosen=""))
    assert cells(1, unknown)["LGFI w/o SA", "psnr"].status == "unproven"


def test_the_first_look_counts_under_every_protocol(folder):
    """Looked at on day 2, trained on, chosen on day 3, measured again on day 4: the second number is no test."""
    first = record("aminet-pocket-0", psnr=values(0), vif=values(3))
    second = record("aminet-pocket-0", psnr=values(1), lpips=values(2), **LATER)
    found = cells(1, folder(second, first))
    assert found["LGFI", "psnr"].ours == summary(values(0))["mean"] and found["LGFI", "vif"].status == "measured"
    assert found["LGFI", "lpips"].status == "unproven"
    records = folder(record("aminet-short-0", protocol="dic", psnr=values(0)),
                     record("aminet-short-0", source="london.zip", faces="l", psnr=values(0)),
                     record("aminet-short-0", source="helen:test", faces="h", psnr=values(1), **LATER),
                     record("aminet-short-0", psnr=values(1), **LATER))
    found = cells(7, records)
    assert found["AMINet", "helen_psnr"].status == "measured"  # these faces had not been met before
    assert found["AMINet", "celeba_psnr"].scale == "pocket"  # the larger one is unproven


def test_the_first_of_two_looks_with_the_same_weights_counts(folder):
    again = record("aminet-pocket-0", psnr=values(1), lpips=values(2), created="2030-01-04T00:00:00Z")
    found = cells(1, folder(again, record("aminet-pocket-0", psnr=values(0))))
    assert found["LGFI", "psnr"].records == ("r1.json",) and found["LGFI", "lpips"].records == ("r0.json",)
    assert found["LGFI", "psnr"].ours == summary(values(0))["mean"]


def test_a_stand_in_is_never_called_helen(folder):
    records = folder(record("aminet-pocket-0", source="flickr_test.zip", psnr=values(0), bicubic_psnr=values(1)))
    table = T.table(7, records)
    found = {(cell.row, cell.column): cell for cell in table.cells}
    cell, bicubic = found["AMINet", "helen_psnr"], found["Bicubic", "helen_psnr"]
    assert cell.on == "Flickr portraits, not Helen" and cell.minus_published is None
    assert bicubic.difference == pytest.approx(np.mean(values(1)) - np.mean(values(0)))
    assert found["AMINet", "celeba_psnr"].status == "pending"
    text = " ".join(F.format_table(table).split())
    assert "Ours on Flickr portraits, not Helen" in text and "Paper: Helen. Ours: Flickr portraits, not Helen." in text
    assert "Ours on Helen" not in text and "flickr_test.zip, 40 Flickr portraits, not Helen" in text
    folder(record("aminet-pocket-0", source="helen:test", faces="h", psnr=values(2)))
    cell = cells(7, records)["AMINet", "helen_psnr"]
    assert (cell.on, cell.ours) == ("Helen faces", summary(values(2))["mean"]) and cell.minus_published is not None


def test_bicubic_is_in_every_record(folder):
    unlisted = record("aminet-pocket-0", psnr=values(1), bicubic_psnr=values(2, 24), bicubic_fid=[1.0] * 40)
    unlisted["weights"] = {"sha256": "0", "images": 3}
    found = cells(7, folder(seal(unlisted)))
    assert found["Bicubic", "celeba_psnr"].ours == summary(values(2, 24))["mean"]
    assert (found["AMINet", "celeba_psnr"].status, found["Bicubic", "celeba_vif"].status) == ("pending", "pending")
    folder(record("aminet-short-0", psnr=values(1), bicubic_psnr=values(2, 24), created="2030-02-01T00:00:00Z"))
    assert cells(7, folder())["Bicubic", "celeba_psnr"].records == ("r0.json",)  # one is enough
    folder().joinpath("r1.json").unlink()
    edited = seal(unlisted) | {"sha256": "0"}
    (records := folder()).joinpath("r0.json").write_text(json.dumps(edited))
    table = T.table(7, records)
    assert not table.sources and "r0.json was edited" in table.notes[0]


def with_fid(run: str, fid: float, draws: list[float]) -> dict:
    """A record with a metric of the whole set: no values per image, but bootstrap draws."""
    content = record(run, source="helen:test", psnr=values(0))
    content["means"]["fid"] = {"mean": fid}
    return seal(content | {"draws": {"fid": draws}})


def test_fid_is_paired_by_its_draws(folder):
    draws = np.random.default_rng(0).normal(100, 5, (2, 500)).tolist()
    single = cells(8, folder(with_fid("amigan-short-0", 100, draws[0])))["AMIGAN (Ours)", "fid"]
    assert (single.ours, single.low, single.high) == (100, None, None)  # the draws are biased: no interval of their own
    both = cells(8, folder(with_fid("amigan-short-1", 104, draws[1])))["AMIGAN (Ours)", "fid"]
    assert (both.ours, both.seeds) == (102, (0, 1))
    a, b = (C.Sample(mean, draws=np.array(d)) for mean, d in zip((100, 104), draws))
    gap = C.gap_of(a, b)
    assert (gap.mean, gap.low, gap.high) == (-4, *np.quantile(np.subtract(*draws), (0.025, 0.975)))
    assert C.gap_of(C.average([a, b]), b).low == np.quantile(np.subtract(np.mean(draws, 0), draws[1]), 0.025)
    assert C.gap_of(C.Sample(100), C.Sample(104)) == C.Sample(-4)  # no draws: no interval
    assert C.average([C.Sample(100), C.Sample(104)]) == C.Sample(102)


def test_images_without_a_value_do_not_count(folder):
    """VIF of a flat face is undefined; a record holds null there."""
    some, none = [*values(0)[:-1], None], [None] * 40
    content = record("aminet-pocket-0", psnr=values(0))
    content["values"] |= {"vif": some, "lpips": none}
    content["means"] |= {"vif": summary(np.array(some, float)), "lpips": dict.fromkeys(("mean", "low", "high"))}
    other = record("without-sa-pocket-0", psnr=values(0), vif=values(1))
    found = cells(1, folder(seal(content), other))
    assert found["LGFI", "vif"].ours == pytest.approx(np.mean(some[:-1])) and found["LGFI", "lpips"].status == "pending"
    gap = np.mean(values(1)[:-1]) - np.mean(some[:-1])
    assert found["LGFI w/o SA", "vif"].difference == pytest.approx(gap)


def test_a_failed_training_is_named(folder):
    faces, noise = np.array(values(0)), np.array(values(1, 0.0))
    gains = {"sisn": -0.7 + noise, "sctanet": 0.12, "aminet": 1.0, "rcan": 0.5 + noise}
    records = folder(*(record(f"{name}-mini-0", psnr=(faces + gain).tolist(), bicubic_psnr=faces.tolist())
                       for name, gain in gains.items()))
    (note,) = [note for note in T.table(7, records).notes if "failed" in note]
    assert note.startswith("Worse than bicubic in PSNR on these CelebA faces, or better by less than 0.2 dB")
    assert note.endswith(f"says nothing of the method: SISN {-0.7 + noise.mean():+.2f}.")
    assert any("SCTANet +0.12." in note for note in T.table(10, records).notes)
    assert "trained once" in F.format_table(T.table(7, folder(record("aminet-mini-1", psnr=values(2)))))

    def portraits(name, mean):
        return record(name, source="flickr_test.zip", psnr=values(2, mean), bicubic_psnr=values(2))

    games = folder(*(portraits(f"{name}-mini-0", mean) for name, mean in (
        ("amigan", 26.0), ("aminet", 28.0), ("fsrgan", 26.0), ("fsrnet", 27.1))))
    (note,) = [note for note in T.table(8, games).notes if "failed" in note]  # a game pays PSNR
    assert note.endswith("method: the generator of FSRGAN +0.10.")


def test_a_network_that_was_changed_after_a_first_look_is_named(folder, tmp_path):
    first, again = record("rcan-mini-0", psnr=values(0, 25.0)), record("rcan-mini-0", psnr=values(0))
    (tmp_path / "gone").mkdir()
    write_record(first, tmp_path / "gone" / "rcan-mini-0.json")
    records = folder(again, record("aminet-mini-0", psnr=values(1)))
    assert not any("Second looks" in note for note in T.table(7, records).notes)
    (tmp_path / "gone").rename(tmp_path / "withdrawn")
    (note,) = [note for note in T.table(7, records).notes if "Second looks" in note]
    assert note.endswith(f"at the first one RCAN {np.mean(values(0, 25.0)):.2f} dB.")
    assert [note.split(":")[0] for note in T.table(10, records).notes] == ["FSRNet", "DICNet", "ELSFace"]


def test_pictures_seen_are_those_of_the_training(folder):
    content = record("aminet-mini-0", psnr=values(0))
    content["weights"]["images"] = 1600  # validation chose earlier ones
    (training,) = T.table(7, folder(seal(content))).trainings.values()
    assert "3,200 pictures of 100 faces (train.zip) seen (weights chosen after 1,600), seed 0" in training


def test_what_is_missing_is_named(folder):
    table = T.table(1, folder(record("aminet-pocket-0", psnr=values(0), ssim=values(1))))
    assert "r0.json has no vif, lpips: its own command with --metrics vif lpips adds it." in table.notes
    assert table.runs == ["without-sa-pocket-0", "without-rdfe-pocket-0", "aminet-s-pocket-0"]
    assert set(table.runs) <= set(SPECS)
    text = F.format_table(table)
    assert "python -m aminet reproduce --scale pocket --only without-sa-pocket-0" in text
    table = T.table(6, folder())
    assert table.runs == [
        f"{name}-mini-0" for name in ("sparnet", "sparnet-edff", "sfmnet", "sfmnet-edff")]


def test_every_row_has_one_run_and_a_printed_reference():
    printed = [(number, row["row"]) for number in P.TABLES for row in P.published(number)]
    served = [row for spec in runs("paper") for row in spec.rows]
    assert len(list((DATA / "published").glob("table_*.csv"))) == len(P.TABLES)
    assert len(printed) == 68 and sorted(served) == sorted(row for row in printed if row != (7, "Bicubic"))
    assert {row for spec in SPECS.values() for row in spec.rows} == set(served)
    second = [row for spec in runs("mini") if spec.block and spec.seed == 0 for row in spec.rows]
    assert sorted(second) == sorted(row for row in served if row[0] in run_list.COMPARISONS)
    assert all(len(dict(spec.rows)) == len(spec.rows) for spec in SPECS.values())
    assert all((number, P.reference(number, row) or row) in printed for number, row in printed)


@pytest.mark.parametrize("number", P.TABLES)
def test_the_text_fits_and_holds_every_digit(number):
    table = T.table(number)
    lines = F.format_table(table).splitlines()
    assert max(map(len, lines)) <= 120 and lines[0].startswith(f"Table {P.ROMAN[number]}. ")
    for row in P.published(number):
        printed = [value for column, value in row.items() if column not in ("table", "row")]
        words = " ".join(line.split("   ", 1)[1] for line in lines if line.startswith(row["row"] + " ")).split()
        assert [word for word in words if word in printed][:1] == printed[:1] and set(printed) <= set(words), row


@pytest.mark.parametrize("number", (1, 7))
def test_markdown_has_the_content_of_the_text(number):
    table = T.table(number)
    text, markdown = F.format_table(table), F.markdown_table(table)
    piped = [line for line in markdown.splitlines() if line.startswith("|")]
    tables = re.findall(r"(?:^\|.*\|\n?)+", markdown, re.MULTILINE)
    assert len(tables) == len(F.blocks(table.cells)) + len(F.details(table)) >= (4 if table.from_bicubic else 2)
    for lines in (one.splitlines() for one in tables):
        assert re.fullmatch(r"[|:-]+", lines[1]) and len({line.count("|") for line in lines}) == 1
    cut = re.compile(r"[\s|*`-]+")  # spaces and what draws the table
    assert set(cut.split(text)) - {""} <= set(cut.split(markdown)) | {"paper"}
    for row in P.published(number):
        printed = [value for column, value in row.items() if column not in ("table", "row")]
        words = [word.strip() for line in piped if line.startswith(f"| {row['row']} ") for word in line.split("|")]
        assert [word for word in words if word in printed] and set(printed) <= set(words), row


def test_command_line(aminet, refuses, folder):
    def run(*arguments) -> str:
        done = aminet("table", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    refuses("no Table 11: choose 1 to 10", "table", 11)
    refuses("no Table XI: choose 1 to 10", "table", "XI")
    refuses("no folder", "table", 1, "--records", "nowhere")
    with pytest.raises(BadInput, match="unknown protocol 'mine'"):  # not to be had from the command line
        T.table(1, protocol="mine")
    records = folder(record("aminet-pocket-0", psnr=values(0)))
    assert json.loads(run(5, "--records", records, "--json")) == json.loads(json.dumps(asdict(T.table(5, records))))
    rows = list(csv.DictReader(io.StringIO(run(5, "--records", records, "--csv"))))
    assert len(rows) == 14 and rows[-2]["published"] == "27.83" and rows[-2]["table"] == "5"
    assert float(rows[-2]["ours"]) == summary(values(0))["mean"] and rows[-2]["records"] == "r0.json"
    assert run(5, "--records", records, "--markdown") == F.markdown_table(T.table(5, records)) + "\n"
    refuses("not allowed with argument", "table", 5, "--csv", "--markdown")
    assert run(5, "--protocol", "dic", "--records", records).startswith("Table V. ")
    assert run("v", "--records", records) == run(5, "--records", records)
    assert run(5) == F.format_table(T.table(5, DATA / "records")) + "\n"  # they are found from any folder


def test_a_table_without_counts_needs_no_torch():
    code = ("import sys; sys.argv = ['aminet', 'table', '7']; from aminet.__main__ import main; main(); "
            "assert 'torch' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("Table VII. "), done.stderr


def test_the_noted_configurations_and_recipes_are_those_of_the_classes():
    """Else records would be taken for those of other runs."""
    noted = json.loads(run_list.DEFAULTS.read_text())
    current = json.loads(json.dumps(run_list.class_defaults()))
    assert noted["recipes"] == current["recipes"], "run: python -m aminet.paper.runs"
    assert noted["configs"].items() <= current["configs"].items(), "run: python -m aminet.paper.runs"
    for spec in runs("mini"):
        trials = [{"lr": lr, "images": spec.trial, "val_psnr": 24.0} for lr in spec.lrs]
        assert find_run({"config": spec.config.to_dict(), "recipe": asdict(spec.recipe), "trials": trials}) == spec
    assert tuple(PROTOCOLS) == P.PROTOCOL_NAMES
