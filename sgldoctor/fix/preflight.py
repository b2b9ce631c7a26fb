"""What must hold before anything is touched, and what a person should know before saying yes."""

from __future__ import annotations

import os
from collections.abc import Iterable

from sgldoctor.errors import FixError
from sgldoctor.facts import Facts
from sgldoctor.fix.install import Installer, Move
from sgldoctor.fix.snapshot import State
from sgldoctor.fix.steps import Step, name_of
from sgldoctor.folders import key_of
from sgldoctor.probe.target import Target


def refuse(target: Target, facts: Facts, installer: Installer, before: State) -> None:
    """Raise FixError where packages of this environment must not, or cannot, be changed."""
    if any(row.get("externally_managed") for row in facts.rows("python")) and not installer.settings.break_system:
        raise FixError(
            f"the Python {target.python} is managed by the operating system (PEP 668): installing into it can "
            "break the system. Use a virtual environment (--venv), or say --break-system-packages"
        )
    if not before.site:
        raise FixError(f"{target.prefix} has no site-packages folder")
    if not os.access(before.site, os.W_OK):
        raise FixError(f"{before.site} cannot be written: run the doctor as its owner")
    # A mount can be read-only while the permission bits say otherwise, and a disk can be full.
    probe = os.path.join(before.site, f".sgldoctor-{os.getpid()}")
    try:
        try:
            with open(probe, "wb") as stream:
                stream.write(b"\0" * 4096)
                stream.flush()
        finally:
            if os.path.exists(probe):
                os.unlink(probe)
    except OSError as error:
        raise FixError(f"{before.site} cannot be written: {error.strerror}") from error


def refuse_moves(moves: Iterable[Move], before: State) -> None:
    """Raise FixError where a distribution would be changed that pip and uv must leave alone."""
    for move in moves:
        held = before.packages.get(move.name)
        if held is None:
            continue
        if held.editable:
            raise FixError(
                f"{move.name} is an editable install of {held.url}: the repair would replace it by a wheel; nothing "
                "was changed. Repair the source tree, or uninstall it first"
            )
        if held.installer == "conda":
            raise FixError(
                f"{move.name} {held.version} was installed by conda: pip or uv would overwrite its files behind "
                "conda's back; nothing was changed. Remove it with conda first"
            )


def refuse_torch(moves: Iterable[Move], steps: Iterable[Step]) -> None:
    """Raise FixError where what the steps need brings another torch along, which nobody has asked for."""
    named = {name_of(text) for step in steps for text in step.packages}
    for move in moves:
        if move.name == "torch" and move.now != move.then and move.name not in named:
            what = f"replace torch {move.now} by {move.then}" if move.now else f"bring torch {move.then}"
            raise FixError(
                f"the repair would {what}, which is unsafe; nothing was changed: say --unsafe to have it done"
            )


def users(target: Target, proc: str = "/proc") -> list[tuple[int, str]]:
    """Processes that run from the environment or have its libraries mapped: PID and the beginning of the command."""
    mine = _ancestors(proc)
    prefix = target.prefix.rstrip("/") + "/"
    found = []
    for entry in sorted(os.listdir(proc) if os.path.isdir(proc) else [], key=lambda name: (len(name), name)):
        if not entry.isdigit() or int(entry) in mine:
            continue
        words = [word.decode("utf-8", "replace") for word in _read(f"{proc}/{entry}/cmdline").split(b"\0") if word]
        if not words:
            continue
        maps = f" {prefix}".encode("utf-8", "surrogateescape")
        if words[0].startswith(prefix) or maps in _read(f"{proc}/{entry}/maps"):
            found.append((int(entry), " ".join(words[:4])[:100]))
    return found


def _ancestors(proc: str) -> set[int]:
    """This process and those that started it: the doctor may run in the very environment that it repairs."""
    found = {os.getpid()}
    pid = os.getppid()
    while pid > 1 and pid not in found:
        found.add(pid)
        fields = _read(f"{proc}/{pid}/stat").rpartition(b")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(1 << 22)
    except OSError:
        return b""  # gone meanwhile, or somebody else's


def lock(folder: str, prefix: str) -> int:
    """Take the lock of an environment; returns its descriptor, to be closed in the end.

    The installer inherits it, so the lock outlives a doctor that is killed. The file stays: if it were removed, two
    doctors could hold two different files.

    Raises:
        FixError: another doctor, or what it started, is at work.
    """
    path = os.path.join(folder, "locks", key_of(prefix) + ".lock")
    try:
        import fcntl

        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except ImportError as error:
        raise FixError("repairs are only possible on Linux and macOS") from error
    except OSError as error:
        raise FixError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise FixError(
            "another doctor, or an installer that it started, is at work on this environment: wait for it to end"
        ) from error
    return descriptor
