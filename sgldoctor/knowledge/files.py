"""Reading the knowledge files, also from a zip archive."""

from __future__ import annotations

import json
import os

from sgldoctor.typed import Any

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
    """The parsed content of a JSON file in ``knowledge/data``."""
    return json.loads(read_text(name))
