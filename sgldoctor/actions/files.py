"""Files written whole or not at all, and never through a link."""

from __future__ import annotations

import os
import stat

from sgldoctor import whole
from sgldoctor.errors import FixError


def read(path: str) -> str | None:
    """The text of a file, its line ends as they are; None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FixError(f"{path}: {error.strerror}") from error


def followed(path: str) -> str:
    """Where a path that the user named leads. A link is followed only if its owner also owns what it leads to.

    Raises:
        FixError: somebody else has laid a link there.
    """
    try:
        real = os.path.realpath(path)
        link, target = (os.lstat(path), os.stat(path)) if os.path.islink(path) else (None, None)
    except OSError as error:
        raise FixError(f"{path}: {error.strerror}") from error
    if link is not None and target is not None and link.st_uid != target.st_uid:
        raise FixError(f"{path} is a link that belongs to somebody else than {real}: it is not written through")
    return real


def check(path: str) -> str:
    """Why a file at ``path`` must not be written, ``""`` if it may: a link, a foreign owner, no regular file."""
    user = os.geteuid() if hasattr(os, "geteuid") else None
    led = _led_astray(path)
    if led:
        return led
    folder = os.path.dirname(path)
    while folder and not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    if folder and not os.access(folder, os.W_OK):
        return f"{folder} cannot be written"
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is no regular file"
    if user not in (None, 0, found.st_uid):
        return f"{path} belongs to somebody else"
    return ""


def _led_astray(path: str) -> str:
    """Why the folders on the way to ``path`` are not to be trusted: a link whose owner does not own what it leads to.

    Links of root (``/var/run``) are the system's own.
    """
    folder = os.path.dirname(path)
    while folder != os.path.dirname(folder):
        if os.path.islink(folder):
            try:
                link, target = os.lstat(folder), os.stat(folder)
            except OSError:
                return f"{folder} is a link that leads nowhere"
            if link.st_uid not in (0, target.st_uid):
                return f"{folder} is a link that belongs to somebody else than what it leads to"
        folder = os.path.dirname(folder)
    return ""


def write(path: str, text: str, mode: int = 0o600) -> None:
    """Write ``text``: into a new file beside it, synced, then renamed over it. An existing file keeps its mode.

    Raises:
        FixError: see :func:`check`, or the disk is full; the old file is then untouched.
    """
    because = check(path)
    if because:
        raise FixError(because)
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if os.path.exists(path):
            mode = stat.S_IMODE(os.stat(path).st_mode)
        whole.replace(path, text.encode("utf-8", "surrogateescape"), mode)
    except OSError as error:
        raise FixError(f"{path}: {error.strerror}") from error


def remove(path: str) -> None:
    """Remove a file if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FixError(f"{path}: {error.strerror}") from error
