"""Known defects of SGLang: in which releases each of them stands.

``data/defects.json``, made by ``scripts/defects.py`` from the sources in the wheel of every release: a defect stands in
a release whose code holds what is wrong and not what cured it.
"""

from __future__ import annotations

from functools import lru_cache

from sgldoctor.knowledge.releases import load
from sgldoctor.typed import NamedTuple
from sgldoctor.versions import compare, valid


class Defect(NamedTuple):
    """One defect: ``spans`` of first and last release that have it, and the release that cured it, ``""`` if none."""

    spans: tuple[tuple[str, str], ...]
    cured: str

    @property
    def range(self) -> str:
        """The releases in words."""
        said = [first if first == last else f"{first} to {last}" for first, last in self.spans]
        newest = _releases()[-1]
        if self.spans and self.spans[-1][1] == newest:
            first = self.spans[-1][0]
            said[-1] = f"{first} and later" if first != newest else f"{newest} (the newest known)"
        return "SGLang " + ", ".join(said)


@lru_cache(maxsize=1)
def _releases() -> tuple[str, ...]:
    return tuple(load("defects.json")["releases"])


def names() -> tuple[str, ...]:
    """The names of all defects."""
    return tuple(load("defects.json")["defects"])


@lru_cache(maxsize=64)
def defect(name: str) -> Defect:
    """A defect by its name; KeyError for one that is not known."""
    data = load("defects.json")["defects"][name]
    return Defect(tuple((first, last) for first, last in data["spans"]), data["cured"])


def stands(name: str, version: str) -> bool | None:
    """Whether a release has the defect; None where that is not known.

    A build between two known releases (a nightly, a checkout) has it where both have it, and lacks it where both do.
    One that is newer than all that are known lacks what was cured before.
    """
    if not valid(version):
        return None
    known = [(compare(release, version), _stands(name, index)) for index, release in enumerate(_releases())]
    before = [there for order, there in known if order <= 0]
    after = [there for order, there in known if order >= 0]
    if not after:
        return None if before[-1] else False
    if not before:
        return None if after[0] else False
    return before[-1] if before[-1] == after[0] else None


def _stands(name: str, index: int) -> bool:
    known = _releases()
    return any(known.index(first) <= index <= known.index(last) for first, last in defect(name).spans)
