"""The dynamic loader, simulated: which file each DT_NEEDED becomes in an imagined process (``man ld.so``, glibc 2.36).

It is the order of loading that decides, not the files: a library that is already loaded under the wanted name is taken,
wherever it came from, and DT_RPATH counts for everything that a library brings in. All paths are as the target sees
them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from sgldoctor.probe import rooted
from sgldoctor.probe.elf import BadElf, Elf, OtherKind

TRIPLETS = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
CACHE_FLAGS = {"x86_64": 0x0303, "aarch64": 0x0A03}
"""Flags of 64-bit entries of ld.so.cache (glibc, sysdeps/generic/ldconfig.h)."""
UNREADABLE = "cannot be read"
IN_PROCESS = frozenset({"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "linux-vdso.so.1"})


class Node:
    """A loaded library: who brought it in and by which way it was found."""

    __slots__ = ("checked", "elf", "name", "parent", "path", "via")

    def __init__(self, elf: Elf, path: str, name: str, parent: Node | None, via: str) -> None:
        self.elf, self.path, self.name, self.parent, self.via = elf, path, name, parent, via
        self.checked = False


def read_cache(root: str, machine: str) -> dict[str, list[str]]:
    """``/etc/ld.so.cache`` of the target: SONAME to files, best first; empty where it is absent or damaged."""
    data = rooted.read(root, "/etc/ld.so.cache", 16 << 20) or b""
    base = data.find(b"glibc-ld.so.cache1.1")
    found: dict[str, list[str]] = {}
    if base < 0:
        return found
    try:
        (count,) = struct.unpack_from("<I", data, base + 20)
        for index in range(min(count, (len(data) - base - 48) // 24)):
            flags, key, value = struct.unpack_from("<iII", data, base + 48 + 24 * index)
            if flags == CACHE_FLAGS.get(machine):
                name = data[base + key : data.index(b"\0", base + key)]
                path = data[base + value : data.index(b"\0", base + value)]
                found.setdefault(name.decode("utf-8", "replace"), []).append(path.decode("utf-8", "replace"))
    except (struct.error, ValueError):
        return found
    return found


class Process:
    """The libraries of one imagined process, and what went wrong while they were loaded."""

    def __init__(self, root: str, machine: str, library_path: str = "") -> None:
        self.root, self.machine = root, machine
        self.triplet = TRIPLETS.get(machine, f"{machine}-linux-gnu")
        self.library_path = [folder for folder in library_path.replace(";", ":").split(":") if folder.startswith("/")]
        self.cache = read_cache(root, machine)
        self.defaults = [
            f"/lib/{self.triplet}", f"/usr/lib/{self.triplet}", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
        ]  # fmt: skip
        self.files: dict[str, Elf | BadElf] = {}
        self.folders: dict[str, frozenset[str]] = {}
        self.hosts: dict[str, str] = {}
        self.exporters: dict[bytes, Elf] = {}
        self.loaded: dict[str, Node] = {}
        self.program: Node | None = None
        self.missing: list[tuple[str, str]] = []
        self.corrupt: dict[str, tuple[str, str]] = {}
        self.versions: list[tuple[str, Node, str]] = []

    def elf(self, path: str) -> Elf | BadElf:
        """The file at ``path``, read once whatever its names."""
        host = self._host(path)
        found = self.files.get(host)
        if found is None:
            try:
                found = Elf(host, self.machine)
            except BadElf as error:
                found = error
            except OSError as error:
                found = BadElf(f"{UNREADABLE}: {error.strerror or error}")
            self.files[host] = found
        return found

    def _host(self, path: str) -> str:
        """Where ``path`` lies for us; of a folder with a hundred libraries each part is asked for links only once."""
        folder, _, name = path.rpartition("/")
        host = self.hosts.get(folder)
        if host is None:
            host = self.hosts[folder] = rooted.resolve(self.root, folder or "/").rstrip("/")
        found = f"{host}/{name}"
        return rooted.resolve(self.root, path) if name in ("", ".", "..") or os.path.islink(found) else found

    def has(self, folder: str, name: str) -> bool:
        """Whether ``folder`` holds ``name``; each folder is listed once. A dangling link is no file."""
        names = self.folders.get(folder)
        if names is None:
            names = self.folders[folder] = frozenset(rooted.names(self.root, folder))
        listed = name in names or folder in rooted.UNREAD
        return listed and rooted.size(self.root, f"{folder}/{name}") is not None

    def expand(self, node: Node, entries: tuple[str, ...] | None) -> list[str]:
        """RPATH or RUNPATH with ``$ORIGIN`` and ``$LIB`` filled in.

        ``$ORIGIN`` is the folder in which the file was found, links not followed: so an environment works whose files
        are links into a cache.
        """
        if not entries:
            return []
        here = os.path.dirname(node.path)
        folders = []
        for entry in entries:
            for name, value in (("ORIGIN", here), ("LIB", f"lib/{self.triplet}"), ("PLATFORM", self.machine)):
                entry = entry.replace(f"${{{name}}}", value).replace(f"${name}", value)
            folders.append(os.path.normpath(entry))
        return folders

    def search(self, name: str, node: Node) -> tuple[str, str] | None:
        """``(path, way)`` of the file that the loader would open for ``name`` wanted by ``node``, if it finds one.

        A file for another kind of machine is passed over (glibc, elf/dl-load.c: open_verify); where nothing else is
        found, it is what the message will be about.
        """
        passed: tuple[str, str] | None = None
        for found in self._places(name, node):
            if not isinstance(self.elf(found[0]), OtherKind):
                return found
            passed = passed or found
        return passed

    def _places(self, name: str, node: Node) -> Iterator[tuple[str, str]]:
        """Where ``name`` is found, in the order of the search."""
        if "/" in name:
            if rooted.is_file(self.root, name):
                yield name, "path"
            return
        ways: list[tuple[str, list[str]]] = []
        if node.elf.runpath is None:
            chain: list[str] = []
            at: Node | None = node
            while at is not None:
                if at.elf.runpath is None:
                    chain += self.expand(at, at.elf.rpath)
                at = at.parent
            if self.program is not None and self.program.elf.runpath is None:
                chain += self.expand(self.program, self.program.elf.rpath)
            ways.append(("RPATH", chain))
        ways.append(("LD_LIBRARY_PATH", self.library_path))
        ways.append(("RUNPATH", self.expand(node, node.elf.runpath)))
        for way, folders in ways:
            for folder in folders:
                if self.has(folder, name):
                    yield f"{folder}/{name}", way
        for path in self.cache.get(name, ()):
            if rooted.is_file(self.root, path):
                yield path, "ld.so.cache"
        for folder in self.defaults:
            if self.has(folder, name):
                yield f"{folder}/{name}", "default"

    def start(self, program: str) -> None:
        """Begin with the interpreter: its own libraries, and its DT_RPATH, which counts for everything (conda)."""
        if not program or isinstance(self.elf(program), BadElf):
            return
        scope = self.load(program, "program")
        self.program = scope[0] if scope else None
        self.forget()

    def load(self, path: str, via: str = "path") -> list[Node]:
        """Load a file and, breadth first, what it needs; its scope, or nothing where the file itself is unusable."""
        elf = self.elf(path)
        if isinstance(elf, BadElf):
            self.corrupt.setdefault(path, (str(elf), ""))
            return []
        root = Node(elf, path, os.path.basename(path), None, via)
        scope = [root]
        try:
            self.loaded.setdefault(elf.soname or root.name, root)
        except BadElf as error:
            self.corrupt.setdefault(path, (str(error), ""))
            return []
        self.loaded.setdefault(root.name, root)
        for step in (self._load_needed, self._check_versions):
            for node in scope:
                try:
                    step(node, scope)
                except BadElf as error:
                    self.corrupt.setdefault(node.path, (str(error), node.parent.path if node.parent else ""))
        return scope

    def _load_needed(self, node: Node, scope: list[Node]) -> None:
        for name in node.elf.needed:
            if name in IN_PROCESS:
                continue
            there = self.loaded.get(name)
            if there is None:
                found = self.search(name, node)
                if found is None:
                    self.missing.append((name, node.path))
                    continue
                elf = self.elf(found[0])
                if isinstance(elf, BadElf):
                    self.corrupt.setdefault(found[0], (str(elf), node.path))
                    continue
                there = Node(elf, found[0], name, node, found[1])
                self.loaded[name] = there
                self.loaded.setdefault(elf.soname or name, there)
            if there not in scope:
                scope.append(there)

    def _check_versions(self, node: Node, _: list[Node]) -> None:
        if node.checked:
            return
        node.checked = True
        for need in node.elf.version_needs:
            there = self.loaded.get(need.library)
            if there is None or need.weak:
                continue
            offers = there.elf.version_offers
            if offers and need.version not in offers:
                self.versions.append((need.version, there, node.path))

    def forget(self) -> None:
        """Drop the troubles noted so far; what is loaded stays."""
        self.missing, self.corrupt, self.versions = [], {}, []
