"""Reading small files of the target, as the target names them; every failure is None, never an exception."""

from __future__ import annotations

import os

from sgldoctor.probe import rooted
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target


def locate(target: Target, path: str) -> str:
    """Where ``path`` (absolute, as the target sees it) lies for us, all links followed inside the root."""
    return rooted.resolve(target.root, path)


def read(target: Target, path: str, limit: int = 1 << 20) -> str | None:
    """The text of a file, at most ``limit`` bytes; None where it cannot be read."""
    return rooted.text(target.root, path, limit)


def exists(target: Target, path: str) -> bool:
    """Whether ``path`` exists in the target, links followed."""
    try:
        return os.path.exists(locate(target, path))
    except ValueError:
        return False


def names(target: Target, path: str) -> list[str] | None:
    """The sorted entries of a folder; None where it cannot be listed, which :func:`rooted.names` does not tell."""
    try:
        return sorted(os.listdir(locate(target, path)))
    except (OSError, ValueError):
        return None


def which(target: Target, program: str) -> str:
    """The program that the target's ``PATH`` finds, as the target sees it; ``""`` if none."""
    search = target.environ.get("PATH") or "/usr/local/bin:/usr/bin:/bin"
    folders = [""] if "/" in program else search.split(":")
    for folder in folders:
        path = f"{folder}/{program}" if folder else program
        if path.startswith("/") and "\0" not in path:
            ours = locate(target, path)
            if os.path.isfile(ours) and os.access(ours, os.X_OK):
                return path
    return ""


def numa(target: Target, device: str) -> int | None:
    """The NUMA node of a device folder below /sys; None where it has none or does not say (the kernel writes -1)."""
    text = (read(target, f"{device}/numa_node", 64) or "").strip()
    return int(text) if text.isdigit() else None
