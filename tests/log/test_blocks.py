from __future__ import annotations

import gzip
import importlib.util
import io
import pathlib

import pytest

from sgldoctor.errors import InputError
from sgldoctor.log import read
from sgldoctor.log.blocks import blocks
from tests.log.texts import exceptions, plain_traceback, reading

TEXT = plain_traceback()


def write(folder: pathlib.Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("name", ["log.gz", "log.txt"])
def test_gzip_is_known_by_its_bytes(tmp_path: pathlib.Path, name: str) -> None:
    packed = gzip.compress(TEXT.encode()[:40]) + gzip.compress(TEXT.encode()[40:])
    path = write(tmp_path, name, packed)
    for size in (1, 7, 256 << 10):
        assert b"".join(blocks(path, size=size)) == TEXT.encode()


def test_a_small_gzip_file_of_a_large_log_comes_in_small_blocks(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, "x.gz", gzip.compress(b"a" * (8 << 20)))
    sizes = [len(block) for block in blocks(path, size=64 << 10)]
    assert sum(sizes) == 8 << 20
    assert max(sizes) <= 64 << 10


def test_damaged_gzip_is_an_input_error(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, "x.gz", gzip.compress(TEXT.encode() * 50)[:-8] + b"\xff" * 8)
    with pytest.raises(InputError, match="damaged gzip"):
        list(blocks(path))


def test_zstd_is_read_or_explained(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, "x.zst", b"\x28\xb5\x2f\xfd" + b"\x04\x00\x01\x00\x00")
    if importlib.util.find_spec("zstandard") is None:
        with pytest.raises(InputError, match="zstd -dc"):
            list(blocks(path))
    else:
        assert b"".join(blocks(path)) == b""


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_utf16_and_byte_order_marks(encoding: str) -> None:
    text = "ValueError: große Zahl 数\n"
    data = text.encode(encoding)
    if encoding.endswith("le"):
        data = b"\xff\xfe" + data
    if encoding.endswith("be"):
        data = b"\xfe\xff" + data
    for size in (1, 3, 1 << 10):
        assert b"".join(blocks("-", stdin=io.BytesIO(data), size=size)).decode() == text
    (event,) = exceptions(data)
    assert event.text == text.strip()


def test_bad_bytes_are_kept_and_shown_escaped() -> None:
    (event,) = exceptions(b"ValueError: device mlx5_3\xff\xfe\x00 is bad\n")
    assert event.text == r"ValueError: device mlx5_3\xff\xfe is bad"


def test_what_cannot_be_read_is_one_clear_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        read([str(tmp_path)], [])
    with pytest.raises(InputError, match=r"cannot read .*gone\.log: No such file"):
        read([str(tmp_path / "gone.log")], [])
    with pytest.raises(InputError, match="cannot read"):
        read(["nul\0byte"], [])


def test_an_empty_input_is_fine() -> None:
    result = reading(b"")
    assert result.events == []
    assert result.facts.rows("log") == ({"name": "-", "lines": 0, "bytes": 0, "truncated": False},)


def test_several_files_keep_their_order_and_names(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path, "a.log", b"ValueError: a\n")
    second = write(tmp_path, "b.log", b"x\nValueError: b\n")
    result = read([second, first], [])
    assert [(e.source, e.line, e.order, e.text) for e in result.events] == [
        (second, 1, 0, "x"),
        (second, 2, 1, "ValueError: b"),
        (first, 1, 2, "ValueError: a"),
    ]
    assert [row["lines"] for row in result.facts.rows("log")] == [2, 1]


def test_the_last_line_needs_no_newline() -> None:
    assert reading("a\nb").facts.one("log")["lines"] == 2
    assert reading("a\nb\n").facts.one("log")["lines"] == 2
