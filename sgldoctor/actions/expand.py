"""Paths that a rule's author has written in shell notation, as the user's variables have them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from sgldoctor.errors import FixError


def expanded(text: str, environ: Mapping[str, str]) -> str:
    """``~``, ``$NAME`` and ``${NAME:-default}`` expanded; raises FixError where the result is not absolute."""
    home = environ.get("HOME") or os.path.expanduser("~")
    known = {"HOME": home, "USER": _user(), **environ}

    def value(match: re.Match[str]) -> str:
        name, default = match[1] or match[3], match[2]
        return known.get(name) or ("" if default is None else _expand(default, known))

    path = re.sub(r"\$(?:\{([A-Z_]+)(?::-([^}]*))?\}|([A-Z_]+))", value, text)
    path = home + path[1:] if path.startswith("~/") else path
    if not os.path.isabs(path):
        raise FixError(f"{text}: no absolute path")
    return os.path.normpath(path)


def _expand(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$([A-Z_]+)", lambda match: known.get(match[1], ""), text)


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(os.getuid()) if hasattr(os, "getuid") else ""
