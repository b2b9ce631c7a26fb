"""Whether the files of a distribution are those of before: an installer that failed may not have come to touch them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from sgldoctor.fix.sharing import dist_infos
from sgldoctor.probe import rooted
from sgldoctor.probe.record import LIMIT
from sgldoctor.probe.target import Target


def marks(target: Target, names: Iterable[str]) -> dict[str, str]:
    """A digest for each of the distributions that is installed: of number, size and time of each file of its RECORD.

    Files that are moved away and back keep all three, those that are written anew have another number. 10,000 files
    (torch) take a twentieth of a second. Without a RECORD there is no mark: nothing is known then.
    """
    wanted = set(names)
    found: dict[str, str] = {}
    for folder, name in dist_infos(target) if wanted else ():
        data = rooted.read(target.root, folder + "/RECORD", LIMIT) if name in wanted else b""
        if not data:
            continue
        site = rooted.real(target.root, os.path.dirname(folder))
        digest = hashlib.sha256()
        for line in data.splitlines():
            path = os.path.join(os.fsencode(site), line.rsplit(b",", 2)[0].strip(b'"'))
            try:
                told = os.lstat(path)
                digest.update(b"%d %d %d\n" % (told.st_ino, told.st_size, told.st_mtime_ns))
            except (OSError, ValueError):
                digest.update(b"-\n")
        found[name] = digest.hexdigest()[:32]
    return found
