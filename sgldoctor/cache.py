"""What the doctor keeps in the user's cache folder, since working it out again at every start would take longer.

A cache that cannot be read or written is no error: the same is worked out again.
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
        with open(os.path.join(cache_folder(), name), "rb") as stream:
            known, value = marshal.loads(stream.read())  # noqa: S302 - our own cache folder, mode 0700
        return value if known == (sys.version, *key) else None
    except (OSError, EOFError, ValueError, TypeError):
        return None


def keep(name: str, key: tuple[Any, ...], value: Any) -> None:
    """Keep a plain value under ``name``, whole or not at all."""
    path = os.path.join(cache_folder(), name)
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(temporary, "wb") as stream:
            stream.write(marshal.dumps(((sys.version, *key), value)))
        os.replace(temporary, path)
    except OSError:  # a read-only home
        try:
            os.unlink(temporary)
        except OSError:
            pass


def of_path(path: str) -> str:
    """A short part of a name for what belongs to ``path``."""
    from zlib import crc32

    return f"{crc32(path.encode('utf-8', 'surrogateescape')):08x}"
