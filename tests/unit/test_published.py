"""The transcription of the paper's tables: sums from a second, independent reading, and every quote elsewhere."""
from __future__ import annotations

import ast
import re
from decimal import Decimal
from pathlib import Path

import pytest

from aminet.ledger import PUBLISHED
from aminet.paper.published import published as rows

ROOT = Path(__file__).parents[2]
# Column: (sum, sum of each value times its row's number). A script read them from the paper's text, not from our files.
SUMS = {
    1: {"psnr": ("110.83", "277.31"), "ssim": ("3.1677", "7.9264"), "vif": ("1.8483", "4.6375"),
        "lpips": ("0.7771", "1.9277"), "speed_ms": ("113", "286"), "params_m": ("40.33", "101.81")},
    2: {"params_m": ("23.94", "36.56"), "psnr": ("55.56", "83.39"), "ssim": ("1.5913", "2.3874"),
        "vif": ("0.9236", "1.3961"), "lpips": ("0.3699", "0.5520")},
    3: {"params_m": ("24.73", "37.35"), "psnr": ("55.55", "83.38"), "ssim": ("1.5892", "2.3853"),
        "vif": ("0.9303", "1.4028"), "lpips": ("0.3743", "0.5564")},
    4: {"psnr": ("166.50", "583.08"), "ssim": ("4.7625", "16.6811"), "vif": ("2.7849", "9.7856"),
        "lpips": ("1.1376", "3.9519")},
    5: {"psnr": ("194.32", "777.80"), "ssim": ("5.5609", "22.2549")},
    6: {"params_m": ("42.0", "103.4"), "psnr": ("111.61", "279.59"), "ssim": ("3.1920", "7.9909")},
    7: {"celeba_psnr": ("466.29", "4243.58"), "celeba_ssim": ("13.3468", "121.5600"),
        "celeba_vif": ("7.4292", "69.5845"), "celeba_lpips": ("3.6651", "30.0071"),
        "helen_psnr": ("442.32", "4040.03"), "helen_ssim": ("13.0388", "119.7065"),
        "helen_vif": ("6.9731", "66.2272"), "helen_lpips": ("4.7932", "39.1335")},
    8: {"psnr": ("128.78", "389.37"), "ssim": ("3.7582", "11.3946"), "vif": ("1.9377", "5.9627"),
        "fid": ("704.00", "2060.74")},
    9: {"cosine_case1": ("8.2533", "45.7630"), "cosine_case2": ("8.2571", "45.8133"),
        "cosine_case3": ("8.2902", "45.9026"), "cosine_case4": ("8.2603", "45.7348")},
    10: {"psnr": ("306.12", "1843.91"), "params_m": ("191.42", "979.92"), "macs_g": ("231.0", "1207.9"),
         "speed_ms": ("698", "3417")},
}
ROWS = {1: 4, 2: 2, 3: 2, 4: 6, 5: 7, 6: 4, 7: 17, 8: 5, 9: 10, 10: 11}
DIGITS = {"psnr": r"\d\d\.\d\d", "ssim": r"0\.\d{4}", "vif": r"0\.\d{4}", "lpips": r"0\.\d{4}", "fid": r"\d{3}\.\d\d",
          "cosine": r"0\.\d{4}", "speed": r"\d+", "params": r"\d+\.\d\d?", "macs": r"\d+\.\d"}


def cell(number: int, row: str, column: str) -> str:
    return next(r for r in rows(number) if r["row"] == row)[column]


@pytest.mark.parametrize("number", SUMS)
def test_every_number_is_the_papers(number):
    table = rows(number)
    assert len(table) == ROWS[number] == len({row["row"] for row in table})
    assert list(table[0]) == ["table", "row", *SUMS[number]] and {row["table"] for row in table} == {str(number)}
    for column, (plain, weighted) in SUMS[number].items():
        values = [Decimal(row[column]) for row in table]
        assert (str(sum(values)), str(sum(i * v for i, v in enumerate(values, 1)))) == (plain, weighted), column
        pattern = DIGITS[column.removeprefix("celeba_").removeprefix("helen_").split("_")[0]]
        assert all(re.fullmatch(pattern, row[column]) for row in table), column  # trailing zeros are kept


def test_the_same_network_has_the_same_numbers():
    """The full network opens or closes several tables; the methods of Table VII come back in VI and X."""
    full = {column: cell(1, "LGFI", column) for column in ("psnr", "ssim", "vif", "lpips")}
    for number, row in ((2, "LGFI"), (3, "RDFE"), (4, "RDFE"), (5, "5x5 7x7 avg max")):
        own = next(r for r in rows(number) if r["row"] == row)
        assert {column: value for column, value in own.items() if column in full}.items() <= full.items()
    for number in (6, 10):
        for row in rows(number):
            if row["row"] in {r["row"] for r in rows(7)}:
                assert row["psnr"] == cell(7, row["row"], "celeba_psnr"), row["row"]
    assert [cell(10, row, "psnr") for row in ("AMINet", "SCTANet", "CTCNet")] == ["28.26", "28.26", "28.37"]
    assert (cell(1, "LGFI", "speed_ms"), cell(10, "AMINet", "speed_ms")) == ("34", "35")


def test_the_ledger_quotes_the_tables():
    places = {"aminet": (10, "AMINet"), "aminet-s": (10, "AMINet-S"), "w/o SA": (1, "LGFI w/o SA"),
              "w/o RDFE": (1, "LGFI w/o RDFE"), "w/o SKAF": (1, "LGFI w/o SKAF"),
              "LGFI->Transformer": (2, "Transformer"), "RDFE->FFN": (3, "FFN")}
    for name, (params, macs) in PUBLISHED.items():
        if name in ("aminet-8c", "aminet-c32"):  # other readings of the first row
            continue
        number, row = places[name]
        assert params == cell(number, row, "params_m") + "M", name
        assert macs is None or macs == cell(number, row, "macs_g") + "G", name


def literal(notebook: str, name: str):
    """What a notebook assigns to a name."""
    tree = ast.parse((ROOT / "notebooks" / f"{notebook}.py").read_text())
    return next(ast.literal_eval(node.value) for node in ast.walk(tree)
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name)


def test_the_notebooks_quote_the_tables():
    for row, value in literal("06_lgfi", "TABLE_I").items():
        assert f"{value:.2f}" == cell(1, row if row == "LGFI" else f"LGFI {row}", "psnr")
    pairs = [(f"{psnr:.2f}", f"{ssim:.4f}") for psnr, ssim in literal("05_skaf", "PUBLISHED").values()]
    assert pairs == [(row["psnr"], row["ssim"]) for row in rows(5)]
    printed = {(row["psnr"], row["lpips"]) for number in (1, 3, 4) for row in rows(number)}
    quoted = literal("04_rdfe", "published")
    assert {(f"{psnr:.2f}", f"{lpips:.4f}") for *_, psnr, lpips in quoted.values()} <= printed and len(quoted) == 8
    first = (ROOT / "notebooks" / "00_a_first_face.py").read_text()
    assert (f"bicubic {cell(7, 'Bicubic', 'celeba_psnr')} dB / {cell(7, 'Bicubic', 'celeba_ssim')}, "
            f"AMINet {cell(7, 'AMINet', 'celeba_psnr')} dB / {cell(7, 'AMINet', 'celeba_ssim')}") in first


def test_the_list_of_slips_quotes_the_tables():
    slips = (ROOT / "data" / "published" / "README.md").read_text()
    values = {value for number in ROWS for row in rows(number) for value in row.values()}
    quoted = re.findall(r"(\d+\.\d+) dB", slips) + re.findall(r"(\d+\.\d+) M\b", slips) + re.findall(r"(\d+) ms", slips)
    assert len(quoted) > 10 and set(quoted) - values == {"12.36"}  # 12.36 M is ours: the least that w/o SA can have
