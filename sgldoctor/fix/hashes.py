"""Hash-checking mode (``UV_REQUIRE_HASHES``, ``require-hashes`` of uv.toml or of pip): what a repair needs to keep it.

There every requirement has to be pinned and its hash known. Both come from the user's constraint files; uv takes them
from there, pip only from requirement files, which are written for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from sgldoctor.actions import files
from sgldoctor.errors import FixError
from sgldoctor.fix import pipconf, uvconf
from sgldoctor.fix.install import Installer, Move
from sgldoctor.fix.steps import Step, exact, name_of
from sgldoctor.folders import key_of
from sgldoctor.typed import NamedTuple


class Pin(NamedTuple):
    """A version and its hashes as pip writes them (``sha256:...``)."""

    version: str
    hashes: tuple[str, ...]


def required(installer: Installer) -> bool:
    """Whether the user has told this installer to check hashes."""
    if installer.kind == "uv":
        return uvconf.requires_hashes(installer.environ)
    value = pipconf.settings(installer.prefix, installer.environ).get("require-hashes", "")
    return value.lower() in ("1", "true", "yes", "on")


def pinned(installer: Installer, steps: Sequence[Step], folder: str) -> tuple[Installer, tuple[Step, ...]]:
    """The steps with every requirement pinned as the user's constraint files pin it, where hashes are required.

    The installer that comes back knows how to hand them on; files for pip are written below ``folder``.

    Raises:
        FixError: a file does not pin what is needed with a hash, or the files cannot be written.
    """
    if not required(installer):
        return installer, tuple(steps)
    known = _known(installer)
    out = []
    for step in steps:
        if step.verb != "install":
            out.append(step)
            continue
        packages = []
        for text in step.packages:
            pin = known.get(name_of(text))
            if pin is None or (exact(text) and exact(text).partition("+")[0] != pin.version.partition("+")[0]):
                raise FixError(
                    f"hashes are required, and no --constraint file pins {text} with a hash; nothing was changed"
                )
            packages.append(text if exact(text) else f"{name_of(text)}=={pin.version}")
        out.append(step._replace(packages=tuple(packages)))
    return handed_on(installer, out, folder), tuple(out)


def handed_on(installer: Installer, steps: Sequence[Step], folder: str) -> Installer:
    """The installer with a requirement file for each requirement of which a hash is known, where pip needs that."""
    if installer.kind != "pip" or not required(installer):
        return installer
    known = _known(installer)
    where = os.path.join(folder, "constraints", key_of(installer.prefix))
    listed = {}
    for step in steps:
        for text in step.packages if step.verb == "install" else ():
            pin = known.get(name_of(text))
            if pin is not None and exact(text).partition("+")[0] == pin.version.partition("+")[0]:
                path = f"{where}-{name_of(text)}.txt"
                files.write(path, " ".join([text, *(f"--hash={value}" for value in pin.hashes)]) + "\n")
                listed[text] = path
    return installer._replace(listed=listed)


def no_way_back(installer: Installer, moves: Sequence[Move]) -> list[str]:
    """What could not be taken back, in words: versions of now whose hash no file has."""
    if not required(installer):
        return []
    known = _known(installer)
    lost = [
        f"{move.name}=={move.now}"
        for move in moves
        if move.now and not (move.name in known and known[move.name].version == move.now)
    ]
    return [f"no --constraint file has a hash of {', '.join(lost)}: this could not be taken back"] if lost else []


def _known(installer: Installer) -> dict[str, Pin]:
    """Name to pin of every line with a hash in the constraint files of the options and of the installer's settings."""
    from sgldoctor.knowledge.releases import normalise

    name = "UV_CONSTRAINT" if installer.kind == "uv" else "PIP_CONSTRAINT"
    found: dict[str, Pin] = {}
    for path in (*installer.settings.constraints, *installer.environ.get(name, "").split()):
        text = re.sub(r"\\\r?\n", " ", files.read(path) or "")
        for line in text.splitlines():
            match = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*==\s*([\w.!+]+)\s[^#]*--hash=", line)
            if match:
                hashes = tuple(re.findall(r"--hash=(\w+:[0-9a-f]+)", line))
                found[normalise(match[1])] = Pin(match[2], hashes)
    return found
