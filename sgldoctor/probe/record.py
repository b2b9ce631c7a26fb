"""RECORD against the files: what a wheel put there and what is there now, for shared objects and the heads of modules.

``pip check`` and ``uv pip check`` compare metadata and see none of this: two wheels that own one file, a file cut
short, a file deleted. Sizes are compared, not hashes: a ``stat`` of a hundred files instead of reading 5 GB.
"""

from __future__ import annotations

import os

from sgldoctor.facts import Facts, Row
from sgldoctor.lazy import lazy
from sgldoctor.probe import rooted
from sgldoctor.probe.elf import BadElf, Elf
from sgldoctor.probe.sources import ZEROS, lost
from sgldoctor.probe.target import Target
from sgldoctor.typed import NamedTuple

CHECKED = lazy(
    r"(?:sgl|sglang|flashinfer|nvidia|nixl|mooncake|deep|flash|nvshmem)(?:-.*)?|torch|torchvision|torchaudio|triton|vllm"
)
"""Distributions whose shared objects must be those of RECORD, byte for byte as far as sizes tell."""

SMALL = 8192
"""Bytes of the RECORD of a distribution that is one file; in larger ones nobody looks for such a module."""
SINGLE = lazy(rb"\n(\w+\.py),[^,\n]*,[1-9]\d*\r?(?=\n|$)")
HEAD = 20
"""Bytes of an ELF header that tell whether it is one, of which class, and for which machine."""
ELF64 = b"\x7fELF\2\1"
MACHINES = {"x86_64": b"\x3e\0", "aarch64": b"\xb7\0"}
LIMIT = 64 << 20
PLATFORM = lazy(r"(linux|manylinux|musllinux)(?:\d+|_\d+_\d+)?_(\w+)")
"""Of a wheel's tag: the system, and the machine."""
TAG = lazy(r"\.cpython-(\d)(\d{1,2})-")
"""A compiled module for one minor release of Python alone; ``abi3`` ones carry no such tag."""
LINE = lazy(rb'"?([^",\n]+)"?,[^,\n]*,(\d*)\r?$')
PROGRAM = b"/bin/"
"""Programs inside a package: the assembler that Triton starts, NVIDIA's compiler."""
OBJECT = lazy(rb"\.so(?:\.[0-9.]+)?\"?,")
SHARED_OBJECT = lazy(rb"\.so(?:\.[0-9.]+)?$")


class Entry(NamedTuple):
    """One file of a RECORD: its path inside site-packages and its size, -1 where none is written."""

    path: str
    size: int


def entries(data: bytes, *, everything: bool = False) -> list[Entry]:
    """The shared objects of a RECORD, or all its files; lines that cannot be read are skipped."""
    found = []
    if everything:
        for raw in data.split(b"\n"):
            match = LINE.match(raw)
            if match:
                found.append(Entry(match[1].decode("utf-8", "replace"), int(match[2]) if match[2] else -1))
        return found
    # RECORD of torch has 14,000 lines, a few dozen of shared objects: look only at the lines that name one.
    for named in OBJECT.finditer(data):
        begin, end = data.rfind(b"\n", 0, named.start()) + 1, data.find(b"\n", named.start())
        match = LINE.match(data[begin : end if end >= 0 else len(data)])
        if match and SHARED_OBJECT.search(match[1]):
            found.append(Entry(match[1].decode("utf-8", "replace"), int(match[2]) if match[2] else -1))
    return found


def records(target: Target, installed: list[Row], machine: str = "") -> Facts:
    """Raw facts ``record.damaged``, ``record.shared``, ``packages.foreign``; without RECORD: ``packages.leftovers``.

    Of what SGLang stands on every shared object is compared with its size in RECORD. Of all other distributions a size
    tells little (images strip their libraries), so there only a file that is gone or that no loader would take counts.
    Of Python's own files the ``__init__.py`` of each top-level module is asked for, without which an import finds an
    empty namespace or nothing, and what :mod:`sgldoctor.probe.sources` asks of SGLang and its nearest.

    Args:
        target: the environment.
        installed: rows of all distributions, duplicates included, with ``_path`` of their dist-info.
        machine: ``x86_64`` or ``aarch64``, which compiled wheels have to be for.
    """
    facts = Facts()
    written: dict[str, list[tuple[Row, int]]] = {}
    damaged: dict[str, list[Row]] = {}
    unlisted: list[Row] = []
    foreign: list[Row] = []
    elsewhere: list[Row] = []
    stopped: list[Row] = []
    libc = libc_of(target)
    # What is left of an earlier release in the same folder (``pip install --target --upgrade``) owns nothing there.
    owner = {(row["name"], row["location"]): row for row in sorted(installed, key=lambda row: row["_installed"])}
    minor = ".".join(target.version.split(".")[:2])
    for row in installed:
        core = CHECKED.fullmatch(row["name"]) is not None
        data = rooted.read(target.root, row["_path"] + "/RECORD", LIMIT)
        if not data:
            unread = row["_path"] + "/RECORD" in rooted.UNREAD
            if row["_path"].endswith(".dist-info") and row["installer"] in ("pip", "uv") and not unread:
                unlisted.append(_unlisted(row, data))
            continue
        listed = entries(data)
        tags = {f"{match[1]}.{match[2]}" for entry in listed if (match := TAG.search(entry.path))}
        if minor and tags and minor not in tags and not _for_any(target, row):
            foreign.append(_foreign(row, min(tags), minor))
        if (listed or b".pyd," in data) and (other := _other_platform(target, row, machine, libc)):
            elsewhere.append(_of_platform(row, other))
        for entry in listed:
            path = f"{row['location']}/{entry.path}"
            if entry.path.startswith((".", "/")) or "/." in entry.path:
                path = os.path.normpath(os.path.join(row["location"], entry.path))
            if "/tests/" in entry.path or "/test/" in entry.path:
                continue  # images leave tests out, and nothing but tests loads what is compiled for them
            if core:
                written.setdefault(path, []).append((row, entry.size))
            else:
                _look(target, row, path, entry.size, damaged, machine)
        for file in _modules(data) if row is owner[row["name"], row["location"]] else ():
            path = f"{row['location']}/{file}"
            size, head = rooted.begins(target.root, path, 1)
            if size is None and file.endswith(".py") and rooted.is_file(target.root, f"{path}c"):
                continue  # its compiled form is there instead, on purpose
            if not size or head == b"\0":
                _gone(row, path, size, damaged)
        for one in (
            lost(target, row["name"], row["location"], data, rooted.modified(target.root, row["_path"] + "/RECORD"))
            if row is owner[row["name"], row["location"]]
            else ()
        ):
            damaged.setdefault(row["_path"], []).append(_damage(row, one.path, one.problem, library=False))
        if core and PROGRAM in data:
            _programs(target, row, data, damaged, stopped)
    shared: dict[tuple[str, str], list[str]] = {}
    for path, owners in written.items():
        real = rooted.size(target.root, path)
        names = sorted({row["name"] for row, _ in owners})
        for position, first in enumerate(names):
            for second in names[position + 1 :]:
                shared.setdefault((first, second), []).append(path)
        for row, size in owners:
            if (real is None and path not in rooted.UNREAD) or (real is not None and size >= 0 and real != size):
                others = [name for name in names if name != row["name"]]
                found = _damage(row, path, "missing" if real is None else "size", real, size, library=True)
                damaged.setdefault(row["_path"], []).append({**found, "owner": others[0] if others else ""})
    facts.put("record.damaged", [_one(rows) for rows in damaged.values()], "probe")
    facts.put("record.shared", [_pair(target, installed, *pair, paths) for pair, paths in shared.items()], "probe")
    facts.put("packages.foreign", foreign, "probe")
    facts.put("packages.platform", elsewhere, "probe")
    facts.put("packages.stopped", stopped, "probe")
    if unlisted:
        facts.put("packages.leftovers", unlisted, "probe")
    return facts


def _for_any(target: Target, row: Row) -> bool:
    """Whether a wheel claims to fit any Python: then what it holds for a single one is an extra that nobody misses."""
    wheel = rooted.text(target.root, row["_path"] + "/WHEEL", 4096) or ""
    return not any(line.startswith("Tag: cp3") and "-cp3" in line for line in wheel.splitlines())


def _other_platform(target: Target, row: Row, machine: str, libc: str) -> str:
    """The platform that all tags of a wheel name, where it is none that this machine could load."""
    wheel = rooted.text(target.root, row["_path"] + "/WHEEL", 4096) or ""
    platforms = {line.strip().rpartition("-")[2] for line in wheel.splitlines() if line.startswith("Tag: ")}
    platforms = {part for platform in platforms for part in platform.split(".")}
    if not platforms or "any" in platforms:
        return ""
    ours = [one for one in platforms if (match := PLATFORM.fullmatch(one))
            and (not machine or match[2] == machine) and (not libc or match[1] in ("linux", libc))]  # fmt: skip
    return "" if ours else min(platforms)


def libc_of(target: Target) -> str:
    """``manylinux`` where glibc is there, ``musllinux`` where only musl is, ``""`` where neither is."""
    for folder in ("/lib64", "/lib", "/usr/lib64", "/usr/lib"):
        if any(name.startswith("ld-linux-") for name in rooted.names(target.root, folder)):
            return "manylinux"
    return "musllinux" if musl(target) else ""


def musl(target: Target) -> str:
    """The loader of musl, with which Alpine and the like come; ``""`` where there is none."""
    found = (f"/lib/{name}" for name in rooted.names(target.root, "/lib") if name.startswith("ld-musl-"))
    return next(found, "")


def _of_platform(row: Row, platform: str) -> Row:
    text = f"the wheel of {row['name']} {row['version']} is for {platform}, which this machine cannot load"
    return {"name": row["name"], "version": row["version"], "built": platform, "text": text}


def _programs(target: Target, row: Row, data: bytes, damaged: dict[str, list[Row]], stopped: list[Row]) -> None:
    """Note programs of a package that are gone, and those that nobody may start."""
    place = data.find(PROGRAM)
    while place >= 0:
        begin, end = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place)
        match = LINE.match(data[begin : end if end >= 0 else len(data)])
        place = data.find(PROGRAM, max(end, place + 1)) if end >= 0 else -1
        if match is None or match[1].startswith((b".", b"/")):
            continue
        file = match[1].decode("utf-8", "replace")
        path = f"{row['location']}/{file}"
        mode = rooted.mode(target.root, path)
        if mode is None and path not in rooted.UNREAD:
            damaged.setdefault(row["_path"], []).append(_damage(row, path, "missing", library=False))
        elif mode is not None and not mode & 0o111 and "." not in os.path.basename(file):
            text = f"{row['name']} {row['version']} starts {file}, which is not marked as a program"
            stopped.append({"name": row["name"], "version": row["version"], "file": file, "path": path, "text": text})


def _foreign(row: Row, built: str, minor: str) -> Row:
    text = f"the compiled modules of {row['name']} {row['version']} are for Python {built}, this is Python {minor}"
    return {"name": row["name"], "version": row["version"], "built": built, "python": minor, "text": text}


def _unlisted(row: Row, data: bytes | None) -> Row:
    state = "is gone" if data is None else "is empty"
    problem = f"its RECORD {state}, so pip and uv can neither remove nor upgrade it"
    return {"name": row["name"], "path": row["_path"], "problem": problem}


def _look(target: Target, row: Row, path: str, size: int, damaged: dict[str, list[Row]], machine: str) -> None:
    """Note a shared object of an ordinary distribution that is gone or unusable.

    One that is as long as it should be is doubted only where it begins with zeros, as a lost power supply leaves it, or
    is a module for another machine.
    """
    real, head = rooted.begins(target.root, path, HEAD)
    if real is None:
        if path not in rooted.UNREAD:
            damaged.setdefault(row["_path"], []).append(_damage(row, path, "missing", library=True))
    elif (size >= 0 and real != size) or (head and not head.strip(b"\0")) or _of_other_machine(path, head, machine):
        try:
            Elf(rooted.resolve(target.root, path), machine)
        except BadElf as error:
            damaged.setdefault(row["_path"], []).append(_damage(row, path, str(error), real, size, library=True))
        except OSError:  # unreadable is not damaged
            pass


def _of_other_machine(path: str, head: bytes, machine: str) -> bool:
    """Whether a module that this Python would import is for another machine; other files may be for several."""
    ours = path.endswith(".abi3.so") or (".cpython-" in path and machine in path.rpartition("/")[2])
    return ours and head[:6] == ELF64 and head[18:] != MACHINES.get(machine, head[18:])


def _gone(row: Row, path: str, size: int | None, damaged: dict[str, list[Row]]) -> None:
    if path in rooted.UNREAD or os.path.dirname(path) in rooted.UNREAD:
        return  # nobody knows
    problem = "missing" if size is None else ZEROS if size else "empty"
    damaged.setdefault(row["_path"], []).append(_damage(row, path, problem, library=False))


def _modules(data: bytes) -> list[str]:
    """What an import begins with, of what a RECORD lists and is not empty: the ``__init__.py`` of top-level modules.

    Also modules of a single file, and the ``.pth`` file that leads to a folder which is no module itself.
    """
    found = []
    place = data.find(b"/__init__.py,")
    while place >= 0:
        begin = data.rfind(b"\n", 0, place) + 1
        name = data[begin:place]
        end = data.find(b"\n", place)
        line = data[begin : end if end >= 0 else len(data)].rstrip()
        if b"/" not in name and not line.endswith((b",0", b",")):
            found.append(name.decode("utf-8", "replace") + "/__init__.py")
        place = data.find(b"/__init__.py,", place + 1)
    if len(data) < SMALL:
        found += [match[1].decode("utf-8", "replace") for match in SINGLE.finditer(b"\n" + data)]
    place = data.find(b".pth,")
    while place >= 0:
        begin = data.rfind(b"\n", 0, place) + 1
        stem = data[begin:place]
        if b"/" not in stem and b"\n" + stem + b"/" in data and b"\n" + stem + b"/__init__.py," not in data:
            found.append(stem.decode("utf-8", "replace") + ".pth")
        place = data.find(b".pth,", place + 1)
    return found


def _damage(row: Row, path: str, problem: str, real: int | None = None, size: int = -1, *, library: bool) -> Row:
    name = os.path.basename(path) if library else os.path.relpath(path, row["location"])
    what = f"{row['name']} {row['version']} installed {name}"
    if problem == "size":
        text = f"{what} with {size} bytes, there are {real}"
    else:
        text = f"{what}, which is {'gone' if problem == 'missing' else problem}"
    return {
        "name": row["name"],
        "version": row["version"],
        "file": os.path.relpath(path, row["location"]),
        "problem": problem,
        "library": library,
        "owner": "",
        "text": text,
    }


def _one(rows: list[Row]) -> Row:
    """One row for each distribution: its most telling file (a missing library first), and how many there are."""
    rows.sort(key=lambda row: (not row["library"], row["problem"] != "missing", row["file"].count("/"), row["file"]))
    return {**rows[0], "count": len(rows), "files": [row["file"] for row in rows[:20]]}


def _pair(target: Target, installed: list[Row], first: str, second: str, objects: list[str]) -> Row:
    """Two distributions that write the same shared objects, with the count of all the files that both list."""
    sets = []
    for name in (first, second):
        paths: set[str] = set()
        for row in installed:
            if row["name"] == name:
                data = rooted.read(target.root, row["_path"] + "/RECORD", LIMIT) or b""
                paths.update(
                    os.path.normpath(os.path.join(row["location"], entry.path))
                    for entry in entries(data, everything=True)
                )
        sets.append(paths)
    both = sets[0] & sets[1]
    site = next(row["location"] for row in installed if row["name"] == first)
    return {"first": first, "second": second, "count": len(both), "example": os.path.relpath(min(objects), site)}
