"""Files written whole or not at all: into a new file beside them, which then takes their place."""

from __future__ import annotations

import os

from sgldoctor.errors import InputError


def replace(path: str, data: bytes, mode: int = 0o666, *, sync: bool = True) -> None:
    """Write ``data`` to ``path``, which must be no link; with ``sync``, it has reached the disk when this returns.

    Raises:
        OSError: it cannot be written; what stood there before is untouched, and nothing is left beside it.
    """
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name[:100]}.{os.getpid()}.{os.urandom(4).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(beside, flags, mode)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:  # an interruption, too, must leave nothing behind
        os.unlink(beside)
        raise


def save(path: str, data: bytes, mode: int = 0o666) -> None:
    """Write what the user asked for to where they want it; a pipe or a device gets it as it is.

    Raises:
        InputError: it is a folder, or cannot be written.
    """
    try:
        path = os.path.realpath(path)
        if os.path.isdir(path):
            raise InputError(f"cannot write {path}: it is a folder; name a file in it")
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as stream:
                stream.write(data)
        else:
            replace(path, data, mode)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
