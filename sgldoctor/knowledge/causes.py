"""The vocabulary of causes: what a rule may name as its ``cause``."""

from __future__ import annotations

from functools import lru_cache

from sgldoctor.typed import NamedTuple


class Cause(NamedTuple):
    """One cause: its key, the area it belongs to, and what the evidence must support."""

    key: str
    area: str
    meaning: str


@lru_cache(maxsize=1)
def causes() -> dict[str, Cause]:
    """Every known cause by its key."""
    from sgldoctor.knowledge.files import read_text

    found = {}
    for line in read_text("causes.tsv").splitlines()[1:]:
        key, area, meaning = line.split("\t")
        found[key] = Cause(key, area, meaning)
    return found
