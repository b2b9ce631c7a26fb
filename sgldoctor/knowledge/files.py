"""Reading the knowledge files, also from a zip archive."""

from __future__ import annotations

import json
import os

from sgldoctor import cache
from sgldoctor.typed import Any

LARGE = 100_000
"""Bytes of a JSON file above which what was parsed of it is kept: reading that takes a third of the time."""
_DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


def read_bytes(name: str) -> bytes:
    """The content of a file in ``knowledge/data``; also where the package lies in a zip file (``sgldoctor.pyz``)."""
    path = os.path.join(_DATA, name)
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except NotADirectoryError:
        import pkgutil

        data = pkgutil.get_data(__package__ or "sgldoctor.knowledge", f"data/{name}")
        if data is None:
            raise
        return data


def read_text(name: str) -> str:
    """The text of a file in ``knowledge/data``."""
    return read_bytes(name).decode("utf-8").replace("\r\n", "\n")


def read_json(name: str) -> Any:
    """The parsed content of a JSON file in ``knowledge/data``; that of a large one is kept for later starts."""
    path = os.path.join(_DATA, name)
    try:
        status = os.stat(path)
    except OSError:
        return json.loads(read_text(name))
    if status.st_size < LARGE:
        return json.loads(read_text(name))
    key = (path, status.st_size, status.st_mtime_ns)
    place = f"{name}-{cache.of_path(path)}.marshal"
    value = cache.held(place, key)
    if value is None:
        value = json.loads(read_text(name))
        cache.keep(place, key, value)
    return value
