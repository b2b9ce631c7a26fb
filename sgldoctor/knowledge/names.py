"""Which package a name comes from that SGLang imports: for errors that name a function and not its package.

``data/imported-names.json`` is made by ``scripts/imported_names.py`` from the sources of several releases.
"""

from __future__ import annotations

from functools import lru_cache

from sgldoctor.knowledge.files import read_json


def owner(name: str) -> str:
    """The package that ``name`` is imported from by SGLang, ``""`` where none or more than one is known."""
    return _owners().get(name, "")


@lru_cache(maxsize=1)
def _owners() -> dict[str, str]:
    held: dict[str, str] = read_json("imported-names.json")
    return {name: package for package, names in held.items() for name in names.split()}
