"""Finding uv and the folders of the user."""

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


def state_folder(environ: Mapping[str, str]) -> str:
    """Where the journal lies: ``$XDG_STATE_HOME/sgldoctor``, by default ``~/.local/state/sgldoctor``."""
    return _folder(environ, "XDG_STATE_HOME", ".local/state")


def config_folder(environ: Mapping[str, str]) -> str:
    """Where the files of variables lie: ``$XDG_CONFIG_HOME/sgldoctor``, by default ``~/.config/sgldoctor``."""
    return _folder(environ, "XDG_CONFIG_HOME", ".config")


def _folder(environ: Mapping[str, str], variable: str, default: str) -> str:
    base = environ.get(variable, "")
    if not os.path.isabs(base):  # the XDG specification: relative paths are to be ignored
        base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), default)
    return os.path.join(base, "sgldoctor")


def key_of(prefix: str) -> str:
    """A file name for an environment: its folder's name and a hash of its whole path."""
    import hashlib
    import re

    name = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(prefix.rstrip("/"))) or "root"
    return f"{name[:40]}-{hashlib.sha256(prefix.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"
