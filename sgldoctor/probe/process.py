"""A running server: its interpreter, its variables, its command line, and the libraries that it really has mapped."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from sgldoctor.errors import InputError
from sgldoctor.facts import Facts, Row
from sgldoctor.probe import rooted
from sgldoctor.probe.target import Target

LIBRARY = r"\.so(?:\.[0-9][0-9.]*)?$"
FAMILIES = frozenset(
    "libcudnn libnccl libcublas libcublasLt libcudart libnvrtc libcusparseLt libcusparse libcusolver libnvshmem_host "
    "libnvJitLink libcuda libtorch libtorch_cuda libc10".split()
)
"""Libraries of which a process should hold one copy."""


def of_pid(pid: int, environ: Mapping[str, str]) -> Target:
    """The target that a process is: its own root where it has one (a container), its variables, its interpreter.

    Raises:
        InputError: there is no such process, it is another user's, or it runs no Python.
    """
    from sgldoctor.probe.environments import find

    folder = f"/proc/{pid}"
    if not os.path.isdir(folder):
        raise InputError(f"--pid {pid}: no such process")
    try:
        with open(f"{folder}/environ", "rb") as stream:
            variables = _pairs(stream.read(1 << 20))
        program = os.readlink(f"{folder}/exe")
    except PermissionError as error:
        who = "this container lacks the right to trace processes" if os.geteuid() == 0 else "it belongs to another user"
        raise InputError(f"--pid {pid}: {who}: run sgldoctor as root of the host, or as the process's user") from error
    except OSError as error:
        raise InputError(f"--pid {pid}: {error.strerror or error}") from error
    words = command(pid)
    if not re.fullmatch(r"(?:python|pypy)[\d.]*t?(?: \(deleted\))?", os.path.basename(program)):
        raise InputError(f"--pid {pid}: it runs {program}, not Python")
    python = _interpreter(pid, program.removesuffix(" (deleted)"), words, variables)
    other = _other_root(folder)
    # The search for an environment takes variables from /proc/PID/environ where the root is that of a process.
    found = find(python, None, f"{folder}/root" if other else None, environ if other else variables)
    return found._replace(environ=variables, chosen=f"--pid {pid}: {python}", pid=pid, cwd=_started_in(pid, words))


def _started_in(pid: int, words: list[str]) -> str:
    """The folder that ``python -m`` put first on the path of a process, ``""`` where it was started otherwise."""
    if "-m" not in words[1:]:
        return ""
    try:
        return rooted.inner(f"/proc/{pid}/root", os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return ""


def command(pid: int) -> list[str]:
    """The words of a process's command line; none where it cannot be read."""
    data = rooted.read("/", f"/proc/{pid}/cmdline") or b""
    return [word.decode("utf-8", "replace") for word in data.rstrip(b"\0").split(b"\0")] if data else []


def _pairs(data: bytes) -> dict[str, str]:
    pairs = (item.partition(b"=") for item in data.split(b"\0") if b"=" in item)
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, _, value in pairs}


def _other_root(folder: str) -> bool:
    """Whether the process sees another file system than we do."""
    try:
        mine, theirs = os.stat("/"), os.stat(f"{folder}/root/")
    except OSError:
        return False
    return (mine.st_dev, mine.st_ino) != (theirs.st_dev, theirs.st_ino)


def _interpreter(pid: int, program: str, words: list[str], variables: Mapping[str, str]) -> str:
    """The path by which Python was started, which tells its environment; ``/proc/PID/exe`` has its links followed.

    A server renames its processes (``sglang::scheduler``): then the first word is no program, and the first entry of
    VIRTUAL_ENV or of PATH that leads to the same program is taken.
    """
    root = f"/proc/{pid}/root"
    here = rooted.inner(root, rooted.resolve("/", f"/proc/{pid}/cwd"))
    first = words[0] if words else ""
    tried = [os.path.join(here, first)] if "/" in first else []
    folders = [f"{variables['VIRTUAL_ENV']}/bin"] if variables.get("VIRTUAL_ENV") else []
    folders += [folder for folder in variables.get("PATH", "").split(":") if folder.startswith("/")]
    names = dict.fromkeys([first] if first and "/" not in first else [])
    names.update(dict.fromkeys(("python", "python3", os.path.basename(program))))
    tried += [f"{folder}/{name}" for folder in folders for name in names]
    for path in tried:
        if rooted.real(root, path) == rooted.real(root, program):
            return os.path.normpath(path)
    return program


def process(target: Target) -> Facts:
    """The facts ``process``, ``process.libraries`` and ``process.copies`` of the server that the target is."""
    facts = Facts()
    pid = target.pid
    facts.put("process", {"pid": pid, "command": " ".join(command(pid)), "python": target.python}, "probe")
    text = rooted.text("/", f"/proc/{pid}/maps", 16 << 20)
    if not text:
        facts.put_unknown("process.libraries", f"/proc/{pid}/maps cannot be read: another user's, or ended")
        return facts
    mapped: dict[str, bool] = {}
    for line in text.splitlines():
        place = line.find("/")
        if place < 0:
            continue
        path, gone = line[place:], line.endswith(" (deleted)")
        path = path.removesuffix(" (deleted)")
        if re.search(LIBRARY, path):
            mapped[path] = gone
    rows: list[Row] = [
        {
            "path": path,
            "library": os.path.basename(path),
            "replaced": gone,
            "text": f"{path} is mapped and was replaced on disk" if gone else f"{path} is mapped",
        }
        for path, gone in sorted(mapped.items())
    ]
    facts.put("process.libraries", rows, "probe")
    facts.put("process.copies", _copies(list(mapped)), "probe")
    return facts


def _copies(paths: list[str]) -> list[Row]:
    """Libraries of which the process holds two different files."""
    held: dict[str, list[str]] = {}
    for path in paths:
        stem = os.path.basename(path).partition(".so")[0]
        if stem in FAMILIES:
            held.setdefault(stem, []).append(path)
    return [
        {"library": stem, "paths": found, "text": f"{stem} is mapped from {' and from '.join(sorted(found))}"}
        for stem, found in sorted(held.items())
        if len(found) > 1
    ]
