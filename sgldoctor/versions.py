"""Versions and specifiers as PEP 440 compares them.

Nearly all are written in one plain form. Those are compared here; ``packaging``, which knows all the others, takes 30
ms to import and is asked only for them. ``tests/derive/test_requirement.py`` holds both to the same answers.
"""

from __future__ import annotations

from functools import lru_cache

from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple

_ALONE = r"(\d{1,9}(?:\.\d{1,9}){0,6})(?:(a|b|rc)(\d{1,9}))?(?:\.?post(\d{1,9}))?(?:\.?dev(\d{1,9}))?"
PLAIN = lazy(_ALONE + r"(\+[a-z0-9]{1,40}(?:[._-][a-z0-9]{1,40}){0,8})?")
CLAUSE = lazy(r"\s*(==|!=|>=|<=|~=|<|>)\s*([0-9][\w.]*?)(\.\*)?\s*")
STAGES = {"a": 0, "b": 1, "rc": 2}
ONLY_DEV, FINAL, NEVER = (-1, 0), (3, 0), 1 << 31


class Version(NamedTuple):
    """A version of the plain form, its parts in the order in which they are compared.

    Attributes:
        release: without the zeros at its end, which count for nothing.
        stage: of a pre-release its stage and number.
        post: number of the post-release, -1 if it is none.
        dev: number of the development release, a very high one if it is none.
    """

    release: tuple[int, ...]
    stage: tuple[int, int]
    post: int
    dev: int

    @property
    def early(self) -> bool:
        """Whether it came before its release."""
        return self.stage != FINAL or self.dev != NEVER


@lru_cache(maxsize=1024)
def plain(text: str) -> Version | None:
    """A version of the plain form, its local label apart; None for all others and for what is no version."""
    match = PLAIN.fullmatch(text)
    if match is None:
        return None
    stage = (STAGES[match[2]], int(match[3])) if match[2] else ONLY_DEV if match[5] and not match[4] else FINAL
    return Version(
        _stripped(_numbers(match[1])),
        stage,
        int(match[4]) if match[4] else -1,
        int(match[5]) if match[5] else NEVER,
    )


def valid(text: str) -> bool:
    """Whether a text is a version at all."""
    if plain(text) is not None:
        return True
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except (InvalidVersion, TypeError):
        return False
    return True


def compare(first: str, second: str) -> int:
    """-1, 0 or 1 as ``first`` is older than, equal to or newer than ``second``, local labels apart.

    Raises:
        ValueError: one of them is no version.
    """
    first, second = first.partition("+")[0], second.partition("+")[0]
    one, other = plain(first), plain(second)
    if one is not None and other is not None:
        return (one > other) - (one < other)
    from packaging.version import Version

    left, right = Version(first), Version(second)  # InvalidVersion is a ValueError
    return (left > right) - (left < right)


@lru_cache(maxsize=2048)
def satisfies(version: str, specifier: str) -> bool:
    """Whether an installed version satisfies a specifier; an unreadable version or specifier satisfies nothing false.

    Pre-releases count as what they are: they are already installed.
    """
    if not specifier.strip():
        return True
    answer = _plainly(version, specifier)
    if answer is not None:
        return answer
    if not valid(version):
        return True
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


def _plainly(version: str, specifier: str) -> bool | None:
    """The answer for plain versions and clauses; None where ``packaging`` has to be asked."""
    held = plain(version)
    if held is None:
        return None
    met = True
    for part in specifier.split(","):
        match = CLAUSE.fullmatch(part)
        bound = plain(match[2]) if match else None
        if match is None or bound is None:
            return None
        if match[3] or match[1] == "~=":
            answer = _within(held, match[1], match[2], bound, wild=bool(match[3]))
        else:
            answer = _clause(held, match[1], bound)
        if answer is None:
            return None
        met = met and answer
    return met


def _within(held: Version, operator: str, written: str, bound: Version, *, wild: bool) -> bool | None:
    """``==1.4.*``, ``!=1.4.*``, and ``~=1.4.2``, which is ``>=1.4.2, ==1.4.*``; of plain releases only."""
    release = Version(held.release, FINAL, -1, NEVER)
    if (wild and operator not in ("==", "!=")) or held != release or bound[1:] != release[1:]:
        return None
    numbers = _numbers(written)
    prefix = numbers if wild else numbers[:-1]
    if not prefix:
        return None
    within = (held.release + (0,) * len(prefix))[: len(prefix)] == prefix
    return (within and held >= bound) if operator == "~=" else within == (operator == "==")


def _clause(held: Version, operator: str, bound: Version) -> bool | None:
    same = held.release == bound.release
    if operator == ">" and same and held.post >= 0:
        return (
            None if bound.post >= 0 or bound.early else False
        )  # a post-release is not newer than its own release in this sense
    if operator == "<" and same and held.early and not bound.early:
        return None if bound.post >= 0 else False  # nor is a pre-release older
    return {
        "==": held == bound,
        "!=": held != bound,
        ">=": held >= bound,
        "<=": held <= bound,
        "<": held < bound,
        ">": held > bound,
    }[operator]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _stripped(release: tuple[int, ...]) -> tuple[int, ...]:
    """A release without the zeros at its end, which count for nothing."""
    last = len(release)
    while last > 1 and release[last - 1] == 0:
        last -= 1
    return release[:last]
