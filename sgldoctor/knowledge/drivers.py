"""Which NVIDIA driver a CUDA release needs (``data/drivers.json``, from NVIDIA's own tables)."""

from __future__ import annotations

from functools import cache

from sgldoctor.knowledge.files import read_json
from sgldoctor.typed import Any


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = read_json("drivers.json")
    return data


def parts(version: str) -> tuple[int, ...]:
    """``580.65.06`` -> ``(580, 65, 6)``; empty for anything else."""
    pieces = version.split(".")
    return tuple(int(piece) for piece in pieces) if all(piece.isdecimal() for piece in pieces) else ()


def minimum(cuda: str) -> str:
    """The oldest driver on which programs built with ``cuda`` (``"12.8"``) run, by minor-version compatibility.

    ``""`` where the table does not have that CUDA major.
    """
    return str(_data()["minimum"].get(cuda.partition(".")[0], ""))


def shipped(cuda: str) -> str:
    """The driver that came with the first release of ``cuda``: from it on every feature works; ``""`` if not known."""
    return str(_data()["toolkit"].get(".".join(cuda.split(".")[:2]), ""))


def newest_major(driver: str) -> str:
    """The newest CUDA major that ``driver`` runs, ``"12"``; ``""`` if it is older than all."""
    have = parts(driver)
    fitting = [int(major) for major, needed in _data()["minimum"].items() if have and parts(needed) <= have]
    return str(max(fitting)) if fitting else ""
