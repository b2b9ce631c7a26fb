"""pip's settings for uv: whoever has told pip about a mirror means uv, too, which does not read them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from sgldoctor.fix import uvconf

UV_INDEXES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
TAKEN = {
    # key of pip.conf and PIP_*: variable of uv, separator there
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "require-hashes": ("UV_REQUIRE_HASHES", " "),
}


def for_uv(prefix: str, environ: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """Variables to add for uv, and whether pip is told to use no index.

    Nothing where uv has indexes of its own, in variables or in ``uv.toml``.
    """
    if any(environ.get(name) for name in UV_INDEXES) or uvconf.has_index(environ):
        return {}, False
    found = settings(prefix, environ)
    made: dict[str, str] = {}
    for key, value in found.items():
        if key in TAKEN:
            name, separator = TAKEN[key]
            if not environ.get(name):
                made[name] = separator.join(value.split())
    if "UV_INDEX" in made:
        # pip looks at all indexes and takes the best version; uv by default stops at the first that has the name.
        made.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return made, found.get("no-index", "").lower() in ("1", "true", "yes", "on")


def own_places(kind: str, prefix: str, environ: Mapping[str, str]) -> bool:
    """Whether the user has named places of wheels, an index or a folder, to uv or pip (``kind``)."""
    if kind == "uv":  # which was told of pip's, too, by variables
        return any(environ.get(name) for name in UV_INDEXES) or uvconf.has_index(environ)
    found = settings(prefix, environ)
    return any(found.get(key) for key in ("index-url", "extra-index-url", "find-links"))


def settings(prefix: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What pip is told by its files and by variables, of the settings that matter to a repair."""
    found = _pip_conf(prefix, environ)
    for key in (*TAKEN, "no-index"):
        value = environ.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            found[key] = value
    return found


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _pip_conf(prefix: str, environ: Mapping[str, str]) -> dict[str, str]:
    """``[global]`` and ``[install]`` of pip's files, a later file wins (pip documentation, Configuration)."""
    import configparser

    config = environ.get("XDG_CONFIG_HOME") or os.path.join(_home(environ), ".config")
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return {}
    paths = [
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        os.path.join(_home(environ), ".pip", "pip.conf"),
        os.path.join(config, "pip", "pip.conf"),
        os.path.join(prefix, "pip.conf"),
        named,
    ]
    found: dict[str, str] = {}
    for path in paths:
        if not path:
            continue
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself will say what is wrong with the file
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update({key.lower().replace("_", "-"): value for key, value in parser.items(section)})
    return found
