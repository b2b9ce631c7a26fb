"""How large the wheels are that a plan would fetch. A courtesy: what cannot be found out is not said."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from sgldoctor.actions import files
from sgldoctor.errors import FixError
from sgldoctor.fix import install
from sgldoctor.fix.install import Installer, Move
from sgldoctor.folders import key_of
from sgldoctor.typed import Any

SECONDS = 60.0


def sized(installer: Installer, moves: Sequence[Move], folder: str) -> tuple[Move, ...]:
    """The moves with the sizes of their wheels, from folders of wheels and, where the installer is uv, the index.

    uv tells them in a lock file (``uv pip compile --format pylock.toml``, PEP 751); pip has no way of asking.
    ``folder`` is where the question may be written down.
    """
    fetched = [move for move in moves if move.then]
    known = {move.name: _local(installer.settings.find_links, move) for move in fetched}
    open_ones = [move for move in fetched if not known[move.name]]
    if open_ones and installer.kind == "uv":
        known.update(_of_index(installer, open_ones, folder))
    return tuple(move._replace(size=known.get(move.name, 0)) for move in moves)


def _local(places: Sequence[str], move: Move) -> int:
    name = "[-_.]+".join(map(re.escape, move.name.split("-")))
    stem = re.compile(rf"{name}-{re.escape(move.then)}-[^/]*\.whl", re.IGNORECASE)
    for place in places:
        if os.path.isdir(place):
            for name in os.listdir(place):
                if stem.fullmatch(name):
                    return os.stat(os.path.join(place, name)).st_size
    return 0


def _of_index(installer: Installer, moves: Sequence[Move], folder: str) -> dict[str, int]:
    path = os.path.join(folder, "sizes", key_of(installer.prefix) + ".in")
    wanted = [f"{move.name}=={move.then}" for move in moves]
    try:
        files.write(path, "".join(f"{text}\n" for text in wanted))
        words = [*installer.argv, "compile", "--python", installer.python, "--no-deps", *installer.sources(wanted),
                 "--format", "pylock.toml", "--no-header", "-q", path]  # fmt: skip
        ran = install.run(installer, words, SECONDS)
    except FixError:
        return {}
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return _read(ran.stdout) if ran.status == 0 else {}


def _read(text: str) -> dict[str, int]:
    """Name to size of the one wheel that a lock file names for it."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        packages: list[dict[str, Any]] = tomllib.loads(text).get("packages", [])
    except tomllib.TOMLDecodeError:
        return {}
    found: dict[str, int] = {}
    for package in packages:
        wheels = package.get("wheels", [])
        if len(wheels) == 1 and isinstance(wheels[0].get("size"), int):
            found[str(package.get("name"))] = wheels[0]["size"]
    return found


def shown(size: int) -> str:
    """Bytes as people read them: ``707 MB``, ``""`` for none."""
    if size < 1_000_000:
        return f"{max(1, round(size / 1000))} kB" if size else ""
    return f"{size / 1_000_000:.0f} MB" if size < 10_000_000_000 else f"{size / 1_000_000_000:.1f} GB"
