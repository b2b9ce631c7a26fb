"""Where the lines of SGLang's sources stand in each release, for tracebacks.

``data/sources.bin``, made by ``scripts/sources.py`` from every wheel: one byte for each line of a file. Read only
when a log holds a traceback and names no release; a file costs about 10 ms.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

from sgldoctor.events import Frame
from sgldoctor.typed import NamedTuple

ROOT = "sglang/srt/"
COMPARED = 24
"""How many places of a log are compared at most; the files that tracebacks pass through are few."""
ENOUGH = 3
"""Places that must agree: one line in 255 has the right checksum by accident."""


class Place(NamedTuple):
    """A line of a file below ``sglang/srt``, counted from 1, and its text."""

    file: str
    line: int
    code: str


def place(frame: Frame) -> Place | None:
    """The place of a frame in SGLang's sources; None for another program's, or where the log has no source line."""
    file = frame.file.replace("\\", "/")
    at = file.rfind(ROOT)
    # Long statements are cut by some loggers, and a bare name stands on too many lines to tell anything.
    if at < 0 or not frame.line or len(frame.code.strip()) < 6:
        return None
    return Place(file[at + len(ROOT) :], frame.line, frame.code.strip())


def fitting(places: Iterable[Place]) -> tuple[list[str], list[Place]]:
    """The releases in which every one of these lines stands where it was seen, and the places that were compared.

    No release where fewer than :data:`ENOUGH` places are known, or where no release has them all: a checkout, a
    nightly, or files that somebody has changed.
    """
    wanted = dict.fromkeys(places)
    compared: list[Place] = []
    if len(wanted) < ENOUGH:
        return [], compared
    known = _releases()
    possible = set(range(len(known)))
    for seen in wanted:
        if len(compared) == COMPARED or not possible:
            break
        versions = _versions(seen.file)
        if not versions:
            continue
        compared.append(seen)
        checksum = _sum(seen.code)
        possible &= {
            index
            for first, last, lines in versions
            if seen.line <= len(lines) and lines[seen.line - 1] == checksum
            for index in range(first, last + 1)
        }
    if len(compared) < ENOUGH:
        return [], compared
    return [known[index] for index in sorted(possible)], compared


def function(file: str, name: str) -> tuple[tuple[str, str], ...]:
    """The spans of first and last release in which a file below ``sglang/srt`` defines a function; empty if never."""
    folder = file.partition("/")[0]
    spans = _functions(folder).get(file, {}).get(name, ())
    known = _releases()
    return tuple((known[first], known[last]) for first, last in spans)


def newest() -> str:
    """The newest release that was read."""
    return _releases()[-1]


def _sum(line: str) -> int:
    """As ``line_sum`` of scripts/sources.py."""
    return zlib.crc32(line.encode("utf-8", "replace")) % 255 + 1


@lru_cache(maxsize=1)
def _stored() -> tuple[bytes, dict[str, list[int]]]:
    """The compressed parts, and where each begins and how long it is."""
    from sgldoctor.knowledge.files import read_bytes

    head, _, body = read_bytes("sources.bin").partition(b"\n")
    return body, json.loads(head)


def _part(name: str) -> bytes | None:
    body, index = _stored()
    if name not in index:
        return None
    at, size = index[name]
    return zlib.decompress(body[at : at + size])


@lru_cache(maxsize=1)
def _releases() -> tuple[str, ...]:
    return tuple(json.loads(_part("") or b"[]"))


@lru_cache(maxsize=64)
def _versions(file: str) -> Sequence[tuple[int, int, bytes]]:
    """First and last release (as indices) and line sums of each version of a file; empty for one not known."""
    data = _part(file)
    if data is None:
        return ()
    head, _, body = data.partition(b"\n")
    found = []
    at = 0
    for first, last, size in json.loads(head):
        found.append((first, last, body[at : at + size]))
        at += size
    return found


@lru_cache(maxsize=8)
def _functions(folder: str) -> dict[str, dict[str, list[list[int]]]]:
    found: dict[str, dict[str, list[list[int]]]] = json.loads(_part(f"{folder}:functions") or b"{}")
    return found
