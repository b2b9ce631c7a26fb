"""Which distribution a file belongs to: asked only for files that are in trouble, so looked up when asked."""

from __future__ import annotations

import os
import re

from sgldoctor.knowledge.releases import normalise
from sgldoctor.probe import rooted
from sgldoctor.probe.record import CHECKED, LIMIT
from sgldoctor.probe.target import Target


class Owners:
    """RECORD files, read at the first question: those of native distributions, or all where that is asked for."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._native: list[tuple[str, str, bytes]] | None = None
        self._other: list[tuple[str, str, bytes]] | None = None
        self._places: dict[str, str] = {}

    def _read(self) -> list[tuple[str, str, bytes]]:
        if self._native is None:
            self._native = self._records(native=True)
        return self._native

    def _records(self, *, native: bool) -> list[tuple[str, str, bytes]]:
        """``(name, site, RECORD)``, the distribution that was installed last first."""
        root = self.target.root
        found = []
        for site in self.target.sites:
            for entry in rooted.names(root, site):
                if not entry.endswith(".dist-info"):
                    continue
                name = normalise(re.split(r"-\d", entry[: -len(".dist-info")], maxsplit=1)[0])
                if bool(CHECKED.fullmatch(name)) is native:
                    path = f"{site}/{entry}"
                    data = rooted.read(root, path + "/RECORD", LIMIT) or b""
                    found.append((-rooted.modified(root, path), name, site, data))
        found.sort(key=lambda item: item[:3])
        return [(name, site, data) for _, name, site, data in found]

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

    def elsewhere(self, library: str) -> str:
        """Where a package that is neither torch nor of NVIDIA installed a library of this name; ``""`` if none did.

        Such a package loads its own library by path when it is imported (``apache-tvm-ffi`` its ``libtvm_ffi.so``), and
        those that stand on it import it first.
        """
        name = os.path.basename(library)
        held = self._places.get(name)
        if held is None:
            held = self._places[name] = self._elsewhere(name)
        return held

    def _elsewhere(self, name: str) -> str:
        if self._other is None:
            self._other = self._records(native=False)
        wanted = b"/" + name.encode() + b","
        for _, site, data in self._other:
            place = data.find(wanted)
            if place >= 0:
                begin = data.rfind(b"\n", 0, place) + 1
                path = f"{site}/{data[begin : place + len(wanted) - 1].decode('utf-8', 'replace')}"
                if rooted.is_file(self.target.root, path):
                    return path
        return ""
