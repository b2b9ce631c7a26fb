"""What the doctor keeps in the user's cache folder, since working it out again at every start would take longer.

A cache that cannot be read or written is no error: the same is worked out again. What others could have written is not
read: rules and patterns come from here, and under sudo, or with a shared folder, this may be somebody else's.
"""

from __future__ import annotations

import marshal
import os
import sys

from sgldoctor.typed import Any


def cache_folder() -> str:
    """The doctor's part of the user's cache folder, which need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "sgldoctor")


def held(name: str, key: tuple[Any, ...]) -> Any:
    """The plain value that was kept under ``name`` by this version of Python for the same ``key``; else None."""
    try:
        known, value = marshal.loads(read(os.path.join(cache_folder(), name)))  # noqa: S302 - our own file
        return value if known == (sys.version, *key) else None
    except (OSError, EOFError, ValueError, TypeError):
        return None


def keep(name: str, key: tuple[Any, ...], value: Any) -> None:
    """Keep a plain value under ``name``, whole or not at all."""
    try:
        write(os.path.join(cache_folder(), name), marshal.dumps(((sys.version, *key), value)))
    except OSError:  # a read-only home, or somebody else's
        pass


def read(path: str) -> bytes:
    """The bytes of a kept file; PermissionError where it is not this user's, or others may write to it."""
    with open(path, "rb") as stream:
        status = os.fstat(stream.fileno())
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            raise PermissionError(f"{path} may have been written by others")
        return stream.read()


def write(path: str, data: bytes) -> None:
    """Write a kept file, whole or not at all, into a folder of this user; through no link that somebody left there."""
    folder = os.path.dirname(path)
    os.stat(os.path.dirname(os.path.dirname(folder)))  # a home that is not there is made by nobody but its owner
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if hasattr(os, "geteuid") and os.stat(folder).st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    from sgldoctor import whole

    whole.replace(path, data, 0o600, sync=False)


def of_path(path: str) -> str:
    """A short part of a name for what belongs to ``path``."""
    from zlib import crc32

    return f"{crc32(path.encode('utf-8', 'surrogateescape')):08x}"
