"""RECORD against the files: what a wheel put there and what is there now, for shared objects only.

``pip check`` and ``uv pip check`` compare metadata and see none of this: two wheels that own one file, a file cut
short, a file deleted. Sizes are compared, not hashes: a ``stat`` of a hundred files instead of reading 5 GB.
"""

from __future__ import annotations

import os

from sgldoctor.facts import Facts, Row
from sgldoctor.lazy import lazy
from sgldoctor.probe import rooted
from sgldoctor.probe.target import Target
from sgldoctor.typed import NamedTuple

CHECKED = lazy(
    r"(?:sgl|sglang|flashinfer|nvidia|nixl|mooncake|deep|flash|nvshmem)(?:-.*)?|torch|torchvision|torchaudio|triton|vllm"
)
"""Distributions whose shared objects are compared with RECORD."""

LIMIT = 64 << 20
LINE = lazy(rb'"?([^",\n]+)"?,[^,\n]*,(\d*)\r?$')
SHARED_OBJECT = lazy(rb"\.so(?:\.[0-9.]+)?$")


class Entry(NamedTuple):
    """One file of a RECORD: its path inside site-packages and its size, -1 where none is written."""

    path: str
    size: int


def entries(data: bytes, *, everything: bool = False) -> list[Entry]:
    """The shared objects of a RECORD, or all its files; lines that cannot be read are skipped."""
    found = []
    if everything:
        for raw in data.split(b"\n"):
            match = LINE.match(raw)
            if match:
                found.append(Entry(match[1].decode("utf-8", "replace"), int(match[2]) if match[2] else -1))
        return found
    # RECORD of torch has 14,000 lines, a few dozen of shared objects: look only at the lines that name one.
    place = data.find(b".so")
    while place >= 0:
        begin = data.rfind(b"\n", 0, place) + 1
        end = data.find(b"\n", place)
        end = len(data) if end < 0 else end
        match = LINE.match(data[begin:end])
        if match and SHARED_OBJECT.search(match[1]):
            found.append(Entry(match[1].decode("utf-8", "replace"), int(match[2]) if match[2] else -1))
        place = data.find(b".so", end)
    return found


def records(target: Target, installed: list[Row]) -> Facts:
    """Raw facts ``record.damaged`` and ``record.shared``.

    Args:
        target: the environment.
        installed: rows of all distributions, duplicates included, with ``_path`` of their dist-info.
    """
    facts = Facts()
    written: dict[str, list[tuple[Row, int]]] = {}
    for row in installed:
        if not CHECKED.fullmatch(row["name"]):
            continue
        data = rooted.read(target.root, row["_path"] + "/RECORD", LIMIT)
        for entry in entries(data) if data else ():
            path = os.path.normpath(os.path.join(row["location"], entry.path))
            written.setdefault(path, []).append((row, entry.size))
    damaged: dict[str, list[Row]] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for path, owners in written.items():
        real = rooted.size(target.root, path)
        names = sorted({row["name"] for row, _ in owners})
        for position, first in enumerate(names):
            for second in names[position + 1 :]:
                shared.setdefault((first, second), []).append(path)
        for row, size in owners:
            if real is None or (size >= 0 and real != size):
                others = [name for name in names if name != row["name"]]
                damaged.setdefault(row["_path"], []).append(
                    {
                        "name": row["name"],
                        "version": row["version"],
                        "file": os.path.relpath(path, row["location"]),
                        "problem": "missing" if real is None else "size",
                        "library": True,
                        "owner": others[0] if others else "",
                        "text": _sentence(row, path, real, size),
                    }
                )
    facts.put("record.damaged", [_one(rows) for rows in damaged.values()], "probe")
    facts.put("record.shared", [_pair(target, installed, *pair, paths) for pair, paths in shared.items()], "probe")
    return facts


def _sentence(row: Row, path: str, real: int | None, size: int) -> str:
    name = os.path.basename(path)
    if real is None:
        return f"{row['name']} {row['version']} installed {name}, which is gone"
    return f"{row['name']} {row['version']} installed {name} with {size} bytes, there are {real}"


def _one(rows: list[Row]) -> Row:
    """One row for each distribution: its most telling file (a missing one first), and how many there are."""
    rows.sort(key=lambda row: (row["problem"] != "missing", row["file"]))
    return {**rows[0], "count": len(rows), "files": [row["file"] for row in rows[:20]]}


def _pair(target: Target, installed: list[Row], first: str, second: str, objects: list[str]) -> Row:
    """Two distributions that write the same shared objects, with the count of all the files that both list."""
    sets = []
    for name in (first, second):
        paths: set[str] = set()
        for row in installed:
            if row["name"] == name:
                data = rooted.read(target.root, row["_path"] + "/RECORD", LIMIT) or b""
                paths.update(
                    os.path.normpath(os.path.join(row["location"], entry.path))
                    for entry in entries(data, everything=True)
                )
        sets.append(paths)
    both = sets[0] & sets[1]
    site = next(row["location"] for row in installed if row["name"] == first)
    return {"first": first, "second": second, "count": len(both), "example": os.path.relpath(min(objects), site)}
