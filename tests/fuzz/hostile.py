"""Hostile inputs for readers: good files with changes, and values where others are expected."""
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from aminet.errors import BadInput

ODD = [0, 1, -1, 2**31, 2**63, -2**63, 10**30, 1e308, float("inf"), float("nan"), True, None, "", "0", "é", "\x1b[2J",
       "\n", "\0", "\ud800", "x" * 300, [], {}, [[]], {"a": None}]


def rewrite(path: Path, data: bytes) -> None:
    """Write bytes to a new file: emptying an old one takes milliseconds on some disks."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def survives(read: Callable, *arguments: Any) -> Any:
    """Return what a reader returns, or the BadInput that it raises, which is one line without control characters."""
    try:
        return read(*arguments)
    except BadInput as error:
        line = str(error)
        assert 0 < len(line) < 2000 and line.isprintable(), line
        return error


@st.composite
def mutated(draw, seeds: list[bytes]) -> bytes:
    """Bytes: one of some good files with up to four changes, or any few bytes."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        at, length = draw(st.integers(0, max(len(data) - 1, 0))), draw(st.integers(1, 8))
        kind = draw(st.sampled_from(("replace", "insert", "drop", "repeat", "cut", "bit")))
        if kind == "replace":
            data[at:at + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "insert":
            data[at:at] = draw(st.sampled_from((b"\0" * 8, b"\xff" * 8, b"\x80\0\0\0", b"9" * 20, b"[" * 20)))
        elif kind == "drop":
            del data[at:at + length]
        elif kind == "repeat":
            data[at:at] = data[at:at + 16 * length]
        elif kind == "cut":
            del data[at:]
        elif data:
            data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


@st.composite
def replaced(draw, content: Any) -> Any:
    """JSON content, with one to three of its values, at any depth, replaced by odd ones or left out."""
    for _ in range(draw(st.integers(1, 3))):
        content = _replaced(draw, content)
    return content


def _replaced(draw, content: Any) -> Any:
    keys = list(content) if isinstance(content, dict) else []
    if isinstance(content, list):
        keys = list(range(len(content)))
    if not keys or draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(ODD))
    key, copy = draw(st.sampled_from(keys)), content.copy()
    if draw(st.integers(0, 3)) == 0:
        del copy[key]
    else:
        copy[key] = _replaced(draw, content[key])
    return copy
