"""uv's cache: filled before anything is removed, and reinstalled from where the copy there is whole.

``uv pip install --reinstall`` asks the index anew and downloads even what is in the cache: gigabytes for a torch. So
the cache is tried first. It can hold the damage itself, though: uv links files out of it, and what truncates one
truncates both. So what has come out of it is compared with its RECORD.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from sgldoctor.errors import FixError
from sgldoctor.fix import install, sharing
from sgldoctor.fix.install import Installer, Move
from sgldoctor.fix.steps import Step, name_of
from sgldoctor.folders import key_of
from sgldoctor.probe.record import Entry, entries
from sgldoctor.probe.run import Ran
from sgldoctor.probe.target import Target


def fetch(installer: Installer, steps: Sequence[Step], moves: Sequence[Move], folder: str, lock: int) -> None:
    """Bring what a repair writes into the cache before it removes anything: a network may fail in the middle.

    Where one step does all, uv itself downloads before it touches a file. The wheels are unpacked below ``folder``, as
    links into the cache, which is all that is wanted of it. pip has no cache that it would use without its index.

    Raises:
        FixError: something cannot be had; nothing was changed.
    """
    texts = [f"{move.name}=={move.then}" for move in moves if move.then]
    if installer.kind != "uv" or len(steps) < 2 or not texts:
        return
    place = os.path.join(folder, "fetched", key_of(installer.prefix))
    shutil.rmtree(place, ignore_errors=True)
    words = [*installer.argv, "install", "--python", installer.python, "--target", place, "--no-deps",
             "--link-mode", "symlink", *installer.sources(texts), *texts]  # fmt: skip
    try:
        ran = install.run(installer, words, install.APPLY_SECONDS, (lock,))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if ran.status != 0:
        raise FixError(f"not everything that is needed can be had\n{install.last_words(ran)}")


def reinstall(installer: Installer, step: Step, target: Target, lock: int) -> Ran | None:
    """Carry out a step of reinstalls from the cache alone; None where that is to be done with the index."""
    names = [name_of(text) for text in step.packages]
    linked = _amiss(target, names, linked=True)
    if linked:
        install.clean_cache(installer, linked)
        return None
    ran = install.run(installer, [*installer.words(step), "--offline"], install.APPLY_SECONDS, (lock,))
    if ran.status != 0:
        return None if ran.status is not None else ran  # interrupted: no second try
    amiss = _amiss(target, names)
    if not amiss:
        return ran
    install.clean_cache(installer, amiss)
    return None


def _amiss(target: Target, names: Sequence[str], *, linked: bool = False) -> list[str]:
    """Distributions of which a file is gone or of another size than their RECORD says, and which is theirs alone.

    Where ``linked``, only files count that are hard links, as those out of the cache are.
    """
    wrong: dict[str, list[str]] = {}
    listed: dict[str, int] = {}
    for folder, name in sharing.dist_infos(target):
        site = os.path.dirname(folder)
        for entry in _listed(folder):
            path = os.path.normpath(os.path.join(site, entry.path))
            listed[path] = listed.get(path, 0) + 1
            if name not in names or entry.size < 0 or path.endswith(".pyc"):
                continue
            try:
                status = os.stat(path)
            except OSError:
                wrong.setdefault(name, []).extend([] if linked else [path])
                continue
            if status.st_size != entry.size and (status.st_nlink > 1 or not linked):
                wrong.setdefault(name, []).append(path)
    return [name for name, paths in wrong.items() if any(listed[path] == 1 for path in paths)]


def _listed(folder: str) -> list[Entry]:
    try:
        with open(os.path.join(folder, "RECORD"), "rb") as stream:
            return entries(stream.read(), everything=True)
    except OSError:
        return []
