"""Who shares files with whom, by the RECORDs of all distributions of an environment.

An installer that removes or replaces a distribution deletes all files of its RECORD, those of others among them; and
where both have written a file, it is that of the later one. Read when a repair is planned, not in each examination: it
takes half a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from sgldoctor.fix.snapshot import site_of
from sgldoctor.probe import rooted
from sgldoctor.probe.record import LIMIT
from sgldoctor.probe.target import Target


def sharers(target: Target, gone: Iterable[str], replaced: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of a distribution that stays and one that takes files with it.

    Args:
        target: the environment.
        gone: names of what is uninstalled: every file counts that somebody else lists, too, and that is not empty.
        replaced: names of what gives way to another version of itself: only files inside of packages count. What lies
            beside them (a stray ``setup.py``) is nobody's module, and the new version writes it, too.
    """
    going = dict.fromkeys(replaced, False) | dict.fromkeys(gone, True)
    if not going:
        return []
    taken: dict[tuple[str, bytes], str] = {}
    staying: list[tuple[str, str, bytes]] = []
    for folder, name in dist_infos(target):
        data = rooted.read(target.root, folder + "/RECORD", LIMIT)
        if not data:
            continue
        site = rooted.real(target.root, os.path.dirname(folder))
        if name in going:
            for path in _paths(data):
                if going[name] or (b"/" in path and not path.startswith(b"..")):
                    taken.setdefault((site, path), name)
        else:
            staying.append((name, site, data))
    found = []
    for name, site, data in staying:
        mine = {(site, path) for path in _paths(data)}
        found += [(name, other) for other in dict.fromkeys(taken[key] for key in sorted(mine & taken.keys()))]
    return found


def _paths(data: bytes) -> list[bytes]:
    """What a RECORD lists, without empty files (``nvidia/__init__.py`` of a dozen wheels), bytecode and metadata."""
    found = []
    for line in data.splitlines():
        path = line.rsplit(b",", 2)[0]
        if not line.endswith(b",0") and not path.endswith(b".pyc") and b".dist-info/" not in path:
            found.append(path)
    return found


def dist_infos(target: Target) -> list[tuple[str, str]]:
    """Every ``dist-info`` folder of the environment itself, as the target sees it, with the distribution's name."""
    from sgldoctor.knowledge.releases import normalise

    prefix = target.prefix.rstrip("/") + "/"
    found: dict[str, tuple[str, str]] = {}
    for site in filter(None, (site_of(target), *(site for site in target.sites if site.startswith(prefix)))):
        for name in sorted(rooted.names(target.root, site)):
            if name.endswith(".dist-info"):
                stem = normalise(name[: -len(".dist-info")].rpartition("-")[0])
                path = f"{site}/{name}"
                found.setdefault(rooted.real(target.root, path), (path, stem))
    return list(found.values())
