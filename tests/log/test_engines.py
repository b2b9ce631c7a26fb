"""Both engines keep the same lines, however the bytes arrive."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgldoctor.log import keeper, search
from sgldoctor.log.engine_hs import hyperscan
from sgldoctor.log.engine_py import ENOUGH, Engine, templates
from tests.log.test_search import serving

ANCHORS = (b"Failed to register memory", b"out of memory", b"EADDRINUSE", b"CUDA status 802", b"fade 12", b"dec0de")
WITNESSES = (b"Decode batch", b"fired up and ready", b"status 7")
PLANTED = [
    "W0129 10:06:27.604085   3472 rdma.cpp:166] RdmaTransport: Failed to register memory: addr 0x7f",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "zmq.error.ZMQError: EADDRINUSE (addr='tcp://127.0.0.1:30000') EADDRINUSE",
    "CUDA status 802 of a device",
    "CUDA status 702 of a device",
    "The server is fired up and ready to roll!",
    "fade 12 and dec0de",
    "dec0de",
    "\r 10%|#| 1/9\r 20%|##| 2/9 out of memory\r",
    "",
    "x" * 9000 + " EADDRINUSE " + "y" * 9000,
    "Traceback (most recent call last):",
    '  File "/srv/app.py", line 3, in main',
    "Receive: obj=GenerateReqInput(rid='1', text='EADDRINUSE, status 7, fired up and ready, fired up and ready')",
]

needs_hyperscan = pytest.mark.skipif(not importlib.util.find_spec("hyperscan"), reason="the extra `fast` is absent")


def made(planted: Sequence[tuple[int, int, int]], count: int = 9000) -> bytes:
    """A log of 650 KB: planted lines (which, where, how many times) among those of a server at work."""
    lines = serving(count)
    for which, at, times in planted:
        lines[at:at] = [PLANTED[which]] * times
    return "\n".join(lines).encode() + b"\n"


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def fast() -> Engine:
    """The engine of hyperscan alone: blocks it leaves to the other one fail."""
    wanted = dict.fromkeys(WITNESSES, ENOUGH)
    return hyperscan((*search.STRUCTURE, *ANCHORS), wanted, templates((*search.STRUCTURE, *ANCHORS), wanted))


def slow() -> Engine:
    return templates((*search.STRUCTURE, *ANCHORS), dict.fromkeys(WITNESSES, ENOUGH))


def kept(data: bytes, size: int, engine: Engine) -> search.Selection:
    return search.select(cut(data, size), ANCHORS, engine=engine)


places = st.lists(
    st.tuples(st.integers(0, len(PLANTED) - 1), st.integers(0, 9000), st.sampled_from([1, 2, 30, 400])), max_size=12
)


@needs_hyperscan
@settings(max_examples=25, deadline=None)
@given(places, st.sampled_from([1 << 10, 3 << 10, 7 << 10, 65_537]))
def test_both_engines_keep_the_same_at_any_size_of_blocks(planted: list[tuple[int, int, int]], size: int) -> None:
    data = made(planted)
    expected = kept(data, 256 << 10, slow())
    assert not expected.whole
    assert kept(data, size, slow()) == expected
    assert kept(data, size, fast()) == expected
    assert kept(data, 256 << 10, fast()) == expected


@needs_hyperscan
def test_the_fast_engine_searches_itself() -> None:
    def other(_block: bytes) -> list[int]:
        raise AssertionError("asked for a block that is not full of hits")

    wanted = dict.fromkeys(WITNESSES, ENOUGH)
    find = hyperscan(ANCHORS, wanted, other)
    block = b"a\nDecode batch 1\nDecode batch Decode batch\nEADDRINUSE\nDecode batch 3\nDecode batch 4\n"
    lines = [block[: at + 1].count(b"\n") for at in sorted(find(block))]
    assert lines == [1, 2, 3, 4]
    assert wanted == {b"Decode batch": 0, b"fired up and ready": ENOUGH, b"status 7": ENOUGH}
    assert list(find(b"Decode batch 5\n")) == []


@needs_hyperscan
def test_a_block_full_of_hits_is_left_to_the_other_engine() -> None:
    asked = []

    def other(block: bytes) -> list[int]:
        asked.append(len(block))
        return [0]

    find = hyperscan(ANCHORS, {}, other)
    flood = b"EADDRINUSE\n" * 10_000
    assert list(find(flood)) == [0]
    assert asked == [len(flood)]
    assert list(find(b"no\nEADDRINUSE\n")) == [12]  # and the next block is searched again


@needs_hyperscan
def test_a_compiled_database_is_kept_and_a_damaged_one_is_compiled_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    block = b"no\nEADDRINUSE\n"

    def found(*texts: bytes) -> list[int]:
        return list(hyperscan(texts, {}, slow())(block))

    assert found(b"EADDRINUSE") == [12]
    (kept,) = (tmp_path / "sgldoctor").iterdir()
    stamp = kept.stat().st_ino
    assert found(b"EADDRINUSE") == [12]
    assert kept.stat().st_ino == stamp
    data = kept.read_bytes()
    for damaged in (b"", data[:100], data[:50] + b"x" + data[51:]):
        kept.write_bytes(damaged)
        assert found(b"EADDRINUSE") == [12]
        assert kept.read_bytes() == data
    for number in range(20):
        assert found(b"EADDRINUSE", b"other %d" % number) == [12]
    assert len(list((tmp_path / "sgldoctor").iterdir())) == 8
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept))  # no folder can be made there
    assert found(b"EADDRINUSE") == [12]


def test_literals_that_cannot_be_compiled_leave_the_other_engine() -> None:
    other = slow()
    assert hyperscan((b"",), {}, other) is other


def test_a_witness_is_kept_a_few_times_only() -> None:
    lines = serving(12_000)
    for at in range(4_000, 8_000, 50):
        lines[at] = f"The server is fired up and ready to roll! {random.Random(at).choice('ghijklmn') * (at % 29)}"
    data = "\n".join(lines).encode()
    found = search.select(cut(data, 1 << 16), ANCHORS, WITNESSES)
    assert sum(b"fired up" in line for _, line in found.lines) == ENOUGH


FLOODS = [
    lambda i: f"E0129 10:06:27.{i:06}   3472 rdma.cpp:166] Failed to register memory: addr 0x{i:x}",
    lambda i: f"{chr(103 + i % 20) * (i % 250)} EADDRINUSE",
    lambda i: f"CUDA status 7{i % 100:02} of a device",
    lambda i: f"dec0de {i} fade 12",
]


@pytest.mark.parametrize("engine", [pytest.param("py"), pytest.param("hs", marks=needs_hyperscan)])
@pytest.mark.parametrize("flood", FLOODS, ids=["one", "many-shapes", "near", "hex"])
def test_floods_stay_within_bounds(engine: str, flood: Callable[[int], str]) -> None:
    data = "\n".join(map(flood, range(60_000))).encode() + b"\n"
    found = kept(data, 256 << 10, fast() if engine == "hs" else slow())
    assert sum(len(line) for _, line in found.lines) < 3 * keeper.KEPT
    assert found.total == 60_000


def run(path: Path, engine: str, *, stdin: bool) -> dict[str, object]:
    """The report without what is different in every run: times, and the name of the log."""
    environ = {**os.environ, "SGLDOCTOR_ENGINE": engine}
    command = [sys.executable, "-m", "sgldoctor", "explain", "--format", "json", "-" if stdin else str(path)]
    text = path.read_bytes() if stdin else b""
    done = subprocess.run(command, input=text, env=environ, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout.replace(str(path).encode(), b"-"))
    return {name: report[name] for name in ("status", "findings", "failures")}


@pytest.mark.parametrize("engine", [pytest.param("py"), pytest.param("hs", marks=needs_hyperscan), "auto"])
def test_the_verdict_is_the_same_from_a_file_and_from_standard_input(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "node.log"
    path.write_bytes(made([(11, 3000, 1), (12, 3001, 1), (1, 3002, 1), (0, 4000, 50)]))
    report = run(path, engine, stdin=False)
    assert run(path, "py", stdin=True) == report
    assert run(path, engine, stdin=True) == report
    assert "of memory" in json.dumps(report) or "memory became full" in json.dumps(report)


def test_a_large_log_changes_engine_on_the_way() -> None:
    chunk = made([(1, 100, 2), (3, 2000, 1)])
    count = search.LARGE // len(chunk) + 2
    stream = io.BytesIO(chunk * count)
    blocks = iter(lambda: stream.read(1 << 18), b"")
    found = search.select(blocks, ANCHORS, WITNESSES)
    assert found.total == chunk.count(b"\n") * count
    assert found == search.select(cut(chunk * count, 1 << 18), ANCHORS, WITNESSES, slow())
