"""Two processes keep what one keeps, and one goes on where two cannot."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from sgldoctor.log import keeper, search, workers
from sgldoctor.log.blocks import blocks, plain
from tests.log.test_engines import ANCHORS, PLANTED, WITNESSES, needs_hyperscan
from tests.log.test_search import serving

pytestmark = pytest.mark.skipif(not workers.useful(), reason="no fork, or one core")
REQUEST = (
    "[2026-01-29 10:00:00] Receive: obj=GenerateReqInput(rid='{}', text='out of memory, status 7, fired up and ready')"
)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PIECE", 90_001)
    monkeypatch.setattr(search, "LARGE", 1 << 20)
    monkeypatch.setattr(keeper, "REMAINS", 1 << 17)


def made(seed: int, count: int = 40_000) -> list[str]:
    """A log of 3 MB with everything planted everywhere, some of it often, and requests that quote failures."""
    rng = random.Random(seed)
    lines = serving(count)
    for number in range(150):
        times = rng.choice([1, 1, 1, 2, 60])
        at = rng.randrange(count // 4, len(lines))
        text = rng.choice([*PLANTED, REQUEST.format(number)])
        lines[at:at] = [text] * (1 if len(text) > 9000 else times)
    return lines


def both(path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> tuple[search.Selection, int]:
    """What is kept by two processes, and how many bytes they read; it must be what one process keeps."""
    monkeypatch.setenv("SGLDOCTOR_ENGINE", engine)
    read = 0
    alone = workers.shared

    def counted(*given: object) -> Iterable[workers.Found]:
        nonlocal read
        for found in alone(*given):  # type: ignore[arg-type]
            read += found.size
            yield found

    monkeypatch.setattr(workers, "shared", counted)
    file = plain(str(path), 1 << 19)
    assert file is not None
    kept = search.select(file.rest(), ANCHORS, WITNESSES, file=file)
    file.close()
    assert kept == search.select(blocks(str(path)), ANCHORS, WITNESSES)
    return kept, read


@pytest.mark.parametrize("engine", [pytest.param("py"), pytest.param("hs", marks=needs_hyperscan)])
@pytest.mark.parametrize("seed", [1, 2])
def test_two_processes_keep_what_one_keeps(
    tmp_path: Path, engine: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node.log"
    path.write_bytes(b"\xef\xbb\xbf" * (seed % 2) + "\n".join(made(seed)).encode())
    kept, read = both(path, engine, monkeypatch)
    assert read > 1 << 20
    assert any(b"CUDA status 802" in line for _, line in kept.lines)


def test_a_line_of_megabytes_is_left_to_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node.log"
    lines = made(4)
    lines[30_000:30_000] = ["x" * 3_000_000 + " EADDRINUSE " + "y" * 700_000]
    path.write_bytes("\n".join(lines).encode())
    _, read = both(path, "py", monkeypatch)
    assert 0 < read < 2 << 20


def test_a_worker_that_is_killed_is_replaced_by_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node.log"
    path.write_bytes("\n".join(made(5)).encode())
    reader, search_piece = os.getpid(), workers._search

    def dies(descriptor: int, begin: int, end: int, engine: workers.Search) -> object:
        if begin > 2 << 20:
            assert os.getpid() != reader
            os.kill(os.getpid(), signal.SIGKILL)
        return search_piece(descriptor, begin, end, engine)

    monkeypatch.setattr(workers, "_search", dies)
    _, read = both(path, "py", monkeypatch)
    assert 0 < read < 9 << 18
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_file_that_becomes_shorter_is_read_to_its_new_end(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    data = "\n".join(made(6)).encode()
    path.write_bytes(data)
    file = plain(str(path), 1 << 19)
    assert file is not None
    os.truncate(path, 2 << 20)
    kept = search.select(file.rest(), ANCHORS, WITNESSES, file=file)
    file.close()
    assert kept == search.select(blocks(str(path)), ANCHORS, WITNESSES)
    assert kept.size == 2 << 20


def test_a_file_that_grows_is_read_to_its_new_end(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    path.write_bytes("\n".join(made(7)).encode())
    file = plain(str(path), 1 << 19)
    assert file is not None
    with path.open("ab") as stream:
        stream.write("\n".join(made(8, 10_000)).encode())
    kept = search.select(file.rest(), ANCHORS, WITNESSES, file=file)
    file.close()
    assert kept == search.select(blocks(str(path)), ANCHORS, WITNESSES)


@pytest.mark.parametrize("first", [b"\x1f\x8b\x08\x00", b"\xff\xfea\x00", b"\x28\xb5\x2f\xfd"])
def test_packed_and_wide_text_is_read_by_one_process(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "node.log"
    path.write_bytes(first + b"x" * 5000)
    assert plain(str(path), 1000) is None
    assert plain(str(tmp_path), 0) is None
    assert plain("/dev/zero", 0) is None
