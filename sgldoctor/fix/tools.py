"""Finding uv."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def find_uv(environ: Mapping[str, str]) -> str:
    """The path of uv on PATH, else beside the doctor's own interpreter; ``""`` where there is none."""
    beside = os.path.dirname(sys.executable) if sys.executable else ""
    for folder in [*environ.get("PATH", os.defpath).split(os.pathsep), beside]:
        path = os.path.join(folder, "uv")
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def word_for_uv(environ: Mapping[str, str]) -> str:
    """What a person types for uv: ``uv`` where it is on PATH, else its path, else ``""``."""
    path = find_uv(environ)
    on_path = os.path.dirname(path) in environ.get("PATH", os.defpath).split(os.pathsep)
    return "uv" if path and on_path else path
