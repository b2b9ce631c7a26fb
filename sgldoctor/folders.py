"""Where the doctor keeps what it writes, in the user's own folders, and how an environment is named there."""

from __future__ import annotations

import os
from collections.abc import Mapping


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
