"""Which distribution a file belongs to: asked only for files that are in trouble, so looked up when asked."""

from __future__ import annotations

import os
import re

from sgldoctor.probe import tree
from sgldoctor.probe.packages import normalise
from sgldoctor.probe.record import CHECKED, LIMIT
from sgldoctor.probe.target import Target


class Owners:
    """RECORD files of the native distributions, read at the first question."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._records: list[tuple[str, str, bytes]] | None = None

    def _read(self) -> list[tuple[str, str, bytes]]:
        """``(name, site, RECORD)``, the distribution that was installed last first."""
        if self._records is None:
            root = self.target.root
            found = []
            for site in self.target.sites:
                for entry in tree.names(root, site):
                    if not entry.endswith(".dist-info"):
                        continue
                    name = normalise(re.split(r"-\d", entry[: -len(".dist-info")], maxsplit=1)[0])
                    if CHECKED.fullmatch(name):
                        path = f"{site}/{entry}"
                        data = tree.read(root, path + "/RECORD", LIMIT) or b""
                        found.append((-tree.modified(root, path), name, site, data))
            found.sort(key=lambda item: item[:3])
            self._records = [(name, site, data) for _, name, site, data in found]
        return self._records

    def of(self, path: str) -> str:
        """The distribution that installed ``path`` (as the target sees it), ``""`` if none did."""
        for name, site, data in self._read():
            if path.startswith(site + "/"):
                wanted = path[len(site) + 1 :].encode()
                if data.startswith(wanted + b",") or b"\n" + wanted + b"," in data:
                    return name
        return ""

    def recording(self, library: str) -> str:
        """The distribution whose RECORD lists a library of this base name, ``""`` if none does."""
        wanted = b"/" + os.path.basename(library).encode() + b","
        return next((name for name, _, data in self._read() if wanted in data), "")
