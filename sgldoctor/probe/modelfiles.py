"""Whether the files of one model are there and whole: the fact ``model.files``. The hub is not asked.

What a file should hold is read from the files themselves: the index names the shards, and the header of a safetensors
file tells its length. A cache folder is laid out as in :mod:`sgldoctor.probe.hub`.
"""

from __future__ import annotations

import json
import os

from sgldoctor.facts import Facts, Row
from sgldoctor.probe import hub as cache
from sgldoctor.probe.files import locate, names, read
from sgldoctor.probe.target import Target

_INDEX = "model.safetensors.index.json"
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_HEADER = 64 << 20
_SHOWN = 5


def modelfiles(target: Target, name: str, *, revision: str = "main") -> Facts:
    """The fact ``model.files`` for a hub id or a folder; unknown where the name is neither."""
    facts = Facts()
    folder, blobs, kind = _place(target, name, revision)
    if not kind:
        facts.put_unknown("model.files", f"{name[:120]} is neither a folder nor a hub id")
        return facts
    row: Row = {"model": name, "kind": kind, "path": folder, **_nothing()}
    if folder:
        row |= _read(target, folder)
    partial = (
        [f"{blobs}/{entry}" for entry in names(target, blobs) or [] if entry.endswith(".incomplete")] if blobs else []
    )
    row["partial"] = len(partial)
    row["partial_mib"] = sum(_size(target, path) for path in partial) >> 20
    facts.put("model.files", row, "probe")
    return facts


def _nothing() -> Row:
    return {
        "files": 0,
        "weights": 0,
        "config": False,
        "shards": 0,
        "missing": [],
        "damaged": [],
        "have_mib": 0,
        "total_mib": 0,
    }


def _place(target: Target, name: str, revision: str) -> tuple[str, str, str]:
    """The folder with the files (``""``: none), that of the blobs, and what it is: hub, folder, or ``""``."""
    from sgldoctor.probe.model import REPOSITORY

    if os.path.isabs(name) or name.startswith((".", "~")) or os.path.isdir(name):
        path = os.path.abspath(os.path.expanduser(name))
        return (path, "", "folder") if os.path.isdir(locate(target, path)) else ("", "", "folder")
    if not REPOSITORY.match(name):
        return "", "", ""
    home = f"{cache.cache_folder(target)}/models--{name.replace('/', '--')}"
    snapshots = names(target, f"{home}/snapshots") or []
    commit = (read(target, f"{home}/refs/{revision}", 256) or "").strip() if ".." not in revision else ""
    chosen = commit if commit in snapshots else revision if revision in snapshots else ""
    return (f"{home}/snapshots/{chosen}" if chosen else ""), f"{home}/blobs", "hub"


def _read(target: Target, folder: str) -> Row:
    entries = names(target, folder) or []
    there = {entry for entry in entries if os.path.isfile(locate(target, f"{folder}/{entry}"))}
    dangling = [entry for entry in entries if entry not in there and os.path.islink(_own(target, folder, entry))]
    total, shards = _index(target, folder) if _INDEX in there else (0, [])
    missing = sorted({*(shard for shard in shards if shard not in there), *dangling})
    weights = [entry for entry in sorted(there) if entry.endswith(_WEIGHTS)]
    damaged = [entry for entry in weights if entry.endswith(".safetensors") and not _whole(target, f"{folder}/{entry}")]
    have = sum(_size(target, f"{folder}/{entry}") for entry in weights)
    return {
        "files": len(there), "weights": len(weights), "config": "config.json" in there, "shards": len(shards),
        "missing": missing, "damaged": damaged, "have_mib": have >> 20, "total_mib": total >> 20,
    }  # fmt: skip


def _own(target: Target, folder: str, entry: str) -> str:
    return os.path.join(locate(target, folder), entry)


def _index(target: Target, folder: str) -> tuple[int, list[str]]:
    """The size of all tensors and the shards that hold them, as the index says."""
    try:
        table = json.loads(read(target, f"{folder}/{_INDEX}", _HEADER) or "")
        shards = sorted({value for value in table["weight_map"].values() if isinstance(value, str)})
        size = (table.get("metadata") or {}).get("total_size", 0)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return 0, []
    return (size if isinstance(size, int) and 0 < size < 1 << 50 else 0), shards


def _whole(target: Target, path: str) -> bool:
    """Whether a safetensors file is as long as its header says."""
    try:
        with open(locate(target, path), "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= _HEADER:
                return False
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            return os.fstat(stream.fileno()).st_size >= 8 + length + max(ends, default=0)
    except (AttributeError, IndexError, KeyError, OSError, RecursionError, TypeError, ValueError):
        return False


def _size(target: Target, path: str) -> int:
    try:
        return os.path.getsize(locate(target, path))
    except (OSError, ValueError):
        return 0


def some(files: list[str]) -> str:
    """The first few of many names."""
    return ", ".join(files[:_SHOWN]) + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")
