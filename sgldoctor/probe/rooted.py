"""Files of the target: a root that is not ``/`` has links of its own, which must not lead out of it.

Every path taken here is as the target sees it. On a live machine (root ``/``) this adds nothing to the plain calls.
"""

from __future__ import annotations

import os

LINKS = 40
"""How many symbolic links one path may hold (Linux: MAXSYMLINKS)."""


def resolve(root: str, path: str) -> str:
    """Where ``path`` lies for us, every symbolic link followed as the target would follow it.

    The result need not exist. A link loop, as well as ``..`` above the root, ends inside the root.
    """
    if root == "/":
        return os.path.realpath(path)
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
        except OSError:
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
    if root == "/":
        return host
    base = root.rstrip("/")
    return host[len(base) :] or "/" if host == base or host.startswith(base + "/") else host


def read(root: str, path: str, limit: int = 1 << 20) -> bytes | None:
    """At most ``limit`` bytes of a file; None where it is absent or may not be read."""
    try:
        descriptor = os.open(path if root == "/" else resolve(root, path), os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        data = os.read(descriptor, limit)
        while data and len(data) < limit:
            more = os.read(descriptor, limit - len(data))
            if not more:
                break
            data += more
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data


def text(root: str, path: str, limit: int = 1 << 20) -> str | None:
    """At most ``limit`` bytes of a file as text; None where it is absent or may not be read."""
    data = read(root, path, limit)
    return None if data is None else data.decode("utf-8", "replace")


def size(root: str, path: str) -> int | None:
    """Size of a regular file in bytes; None where there is none."""
    import stat

    try:
        found = os.stat(path if root == "/" else resolve(root, path))
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def is_file(root: str, path: str) -> bool:
    """Whether ``path`` is a regular file (or a link to one) of the target."""
    return os.path.isfile(path if root == "/" else resolve(root, path))


def is_folder(root: str, path: str) -> bool:
    """Whether ``path`` is a folder of the target."""
    return os.path.isdir(path if root == "/" else resolve(root, path))


def names(root: str, path: str) -> list[str]:
    """The sorted entries of a folder; none where it is absent or may not be read."""
    try:
        return sorted(os.listdir(path if root == "/" else resolve(root, path)))
    except OSError:
        return []
