"""Files of the target: a root that is not ``/`` has links of its own, which must not lead out of it.

Every path taken here is as the target sees it. On a live machine (root ``/``) a path goes to the kernel as it is, which
matters at a thousand files. :mod:`sgldoctor.probe.files` asks the same for a whole :class:`Target`.
"""

from __future__ import annotations

import errno
import os
import stat
from _thread import get_ident
from collections.abc import Container

UNREAD: dict[str, str] = {}
"""What is there and could not be read, with the reason: a failing disk, a lack of rights. Not what is absent."""
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}

DONE: dict[int, int] = {}
"""How many questions were answered, by thread: a probe whose number does not grow hangs on one."""

OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""For reading; not to be held by a fifo that somebody put there."""

LINKS = 40
"""How many symbolic links one path may hold (Linux: MAXSYMLINKS)."""


def resolve(root: str, path: str) -> str:
    """Where ``path`` lies for us, every symbolic link followed as the target would follow it.

    The result need not exist. A link loop, as well as ``..`` above the root, ends inside the root. A link that
    cannot be read is noted, and not followed.
    """
    if root == "/":
        try:
            return os.path.realpath(path)
        except (OSError, ValueError) as error:  # ``readlink`` on a failing disk
            _note(path, error)
            return os.path.abspath(path)
    todo = [part for part in path.split("/") if part and part != "."]
    todo.reverse()
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        try:
            link = os.readlink(os.path.join(root, *done, part)) if links < LINKS else ""
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) != errno.EINVAL:  # no link
                _note(path, error)
            link = ""
        if not link:
            done.append(part)
            continue
        links += 1
        if link.startswith("/"):
            done.clear()
        todo.extend(piece for piece in reversed(link.split("/")) if piece and piece != ".")
    return os.path.join(root, *done)


def inner(root: str, host: str) -> str:
    """The target's own name of a path of ours that lies inside ``root``."""
    base = root.rstrip("/")
    return host[len(base) :] or "/" if host == base or host.startswith(base + "/") else host


def real(root: str, path: str) -> str:
    """``path`` with every link followed, still as the target sees it."""
    return inner(root, resolve(root, path))


def read(root: str, path: str, limit: int = 1 << 20) -> bytes | None:
    """At most ``limit`` bytes of a file; None where it is absent or may not be read."""
    count()
    try:
        descriptor = os.open(path if root == "/" else resolve(root, path), OPEN)
    except (OSError, ValueError) as error:
        _note(path, error)
        return None
    try:
        # Not until a short read: files of /proc come a page or a few lines at a time.
        parts: list[bytes] = []
        size = 1 << 16
        while limit > 0 and (data := os.read(descriptor, min(limit, size))):
            parts.append(data)
            limit -= len(data)
            size = 1 << 22 if len(data) == 1 << 16 else size
    except OSError as error:
        _note(path, error)
        return None
    finally:
        os.close(descriptor)
    return b"".join(parts)


def text(root: str, path: str, limit: int = 1 << 20) -> str | None:
    """At most ``limit`` bytes of a file as text; None where it is absent or may not be read."""
    data = read(root, path, limit)
    return None if data is None else data.decode("utf-8", "replace")


def _stat(root: str, path: str) -> os.stat_result | None:
    count()
    try:
        return os.stat(path if root == "/" else resolve(root, path))
    except (OSError, ValueError) as error:
        _note(path, error)
        return None


def size(root: str, path: str) -> int | None:
    """Size of a regular file in bytes; None where there is none."""
    found = _stat(root, path)
    return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else None


def begins(root: str, path: str, count_of: int) -> tuple[int | None, bytes]:
    """Size of a regular file and its first bytes; None where there is none, no bytes where it may not be read."""
    count()
    descriptor = -1
    try:
        descriptor = os.open(path if root == "/" else resolve(root, path), OPEN)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return None, b""
        return found.st_size, os.read(descriptor, count_of)
    except (OSError, ValueError) as error:
        _note(path, error)
        return None, b""
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def mode(root: str, path: str) -> int | None:
    """The permissions of a regular file; None where there is none."""
    found = _stat(root, path)
    return stat.S_IMODE(found.st_mode) if found is not None and stat.S_ISREG(found.st_mode) else None


def modified(root: str, path: str) -> float:
    """When a file or folder was last changed, in seconds since 1970; 0 where there is none."""
    found = _stat(root, path)
    return found.st_mtime if found is not None else 0.0


def is_file(root: str, path: str) -> bool:
    """Whether ``path`` is a regular file (or a link to one) of the target."""
    found = _stat(root, path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_folder(root: str, path: str) -> bool:
    """Whether ``path`` is a folder of the target."""
    found = _stat(root, path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def names(root: str, path: str) -> list[str]:
    """The sorted entries of a folder; none where it is absent or may not be read (then it is in :data:`UNREAD`)."""
    count()
    try:
        return sorted(os.listdir(path if root == "/" else resolve(root, path)))
    except (OSError, ValueError) as error:
        _note(path, error)
        return []


def sizes(root: str, folder: str, asked: Container[str], since: float, changed: set[str]) -> dict[str, int]:
    """The entries of a folder, as :func:`names` has them: those that are ``asked`` for with their size, others with -1.

    One pass over a folder costs half of a question for each file, which matters at thousands.

    Args:
        root: folder that stands for ``/``.
        folder: the folder, as the target sees it.
        asked: names of which the size counts.
        since: seconds since 1970.
        changed: takes the paths of those that were written later than ``since``, or have no block on the disk.
    """
    count()
    found: dict[str, int] = {}
    try:
        with os.scandir(folder if root == "/" else resolve(root, folder)) as entries:
            for entry in entries:
                if entry.name not in asked:
                    found[entry.name] = -1
                elif root != "/" and entry.is_symlink():
                    size_there = size(root, f"{folder}/{entry.name}")
                    found[entry.name] = -1 if size_there is None else size_there
                else:
                    try:
                        status = entry.stat()
                    except OSError:  # a dangling link
                        found[entry.name] = -1
                        continue
                    found[entry.name] = status.st_size
                    if status.st_mtime > since or not getattr(status, "st_blocks", 1):
                        changed.add(f"{folder}/{entry.name}")
    except (OSError, ValueError) as error:
        _note(folder, error)
    return found


def count() -> None:
    """Say that this thread gets on."""
    thread = get_ident()
    DONE[thread] = DONE.get(thread, 0) + 1


def _note(path: str, error: OSError | ValueError) -> None:
    if isinstance(error, OSError) and error.errno not in _ABSENT:
        UNREAD[path] = error.strerror or str(error)
