"""What ``uv.toml`` says of indexes and hashes: uv reads it itself, but the doctor has to know of it, too."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from sgldoctor.typed import Any

INDEXES = ("index", "index-url", "extra-index-url", "find-links")
_ON = ("1", "true", "yes", "on", "y", "t")


def has_index(environ: Mapping[str, str]) -> bool:
    """Whether a ``uv.toml`` names an index or a place of wheels."""
    return any(_settings(environ).get(key) for key in INDEXES)


def requires_hashes(environ: Mapping[str, str]) -> bool:
    """Whether uv is told to check hashes, by its variable or else by a ``uv.toml``."""
    told = environ.get("UV_REQUIRE_HASHES", "")
    return told.lower() in _ON if told else _settings(environ).get("require-hashes") is True


def _settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings of ``uv pip``: the table ``[pip]`` over the top level, the user's file over the system's.

    ``UV_CONFIG_FILE`` stands for both. The doctor runs uv in ``/``: files of a project do not count.
    """
    if environ.get("UV_NO_CONFIG", "").lower() in _ON:
        return {}
    home = environ.get("HOME") or os.path.expanduser("~")
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    named = environ.get("UV_CONFIG_FILE", "")
    found: dict[str, Any] = {}
    for path in [named] if named else ["/etc/uv/uv.toml", os.path.join(config, "uv", "uv.toml")]:
        table = _read(path)
        inner = table.pop("pip", {})
        found.update({**table, **(inner if isinstance(inner, dict) else {})})
    return found


def _read(path: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        with open(path, "rb") as stream:
            found: dict[str, Any] = tomllib.load(stream)
            return found
    except (OSError, ValueError):
        return {}  # absent; or uv itself will say what is wrong with it
