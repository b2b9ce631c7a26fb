"""A requirement line of METADATA: whom it names, which versions it takes, and whether it applies. Pure.

Lines of the common form are read here; ``packaging``, which knows the whole grammar and takes 30 ms to import, is asked
for the others alone. ``tests/derive/test_requirement.py`` holds both to the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from sgldoctor.knowledge.releases import normalise
from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple
from sgldoctor.versions import plain, satisfies

LINE = lazy(
    r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}[A-Za-z0-9])?)\s*(?:\[([A-Za-z0-9._,\s-]{0,400})\])?\s*"
    r"(?:\(([^()\[\];@]{0,400})\)|([^()\[\];@]{0,400}))\s*(?:;\s*(.{1,600}))?"
)
CLAUSE = lazy(r"\s*(===?|!=|~=|[<>]=?)\s*([0-9][\w.!+*-]{0,60})\s*")
TERM = lazy(
    r"\s*(\()|\s*(\))|\s*(and|or)\b|\s*(python_version|python_full_version|sys_platform|platform_machine|platform_system"
    r"|os_name|implementation_name|platform_python_implementation|extra)\s*(==|!=|>=|<=|<|>)\s*(?:'([^'\"]{0,60})'"
    r"|\"([^'\"]{0,60})\")"
)
EARLY = lazy(r"[=~>]=?\s*\d+(?:\.\d+)*(?:a|b|rc|\.dev)\d")
"""A specifier that only a pre-release satisfies: uv takes one for what is named, and for nothing else."""
NUMBERS = ("python_version", "python_full_version")


class Requirement(NamedTuple):
    """``name[extras]`` within ``specifier`` where ``marker`` holds."""

    name: str
    extras: tuple[str, ...]
    specifier: str
    marker: str

    def applies(self, environment: dict[str, str], extras: set[str]) -> bool:
        """Whether the marker holds with one of the extras; one that compares what cannot be compared does not."""
        if not self.marker:
            return True
        return any(_holds(self.marker, {**environment, "extra": extra}) for extra in sorted(extras) or ("",))


class Tree(NamedTuple):
    """``left and right``, ``left or right``, or the comparison of the variable ``left`` with the text ``right``."""

    operator: str
    left: Tree | str
    right: Tree | str


@lru_cache(maxsize=4096)
def read(line: str) -> Requirement | None:
    """A requirement line; None where it is none."""
    match = LINE.fullmatch(line)
    if match is not None:
        specifier = _specifier(match[3] if match[3] is not None else match[4])
        marker = (match[5] or "").strip()
        if specifier is not None and (not marker or _tree(marker) is not None):
            extras = (extra.strip() for extra in (match[2] or "").split(","))
            return Requirement(match[1], tuple(sorted(filter(None, extras))), specifier, marker)
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Grammar

    try:
        parsed = Grammar(line)
    except InvalidRequirement:
        return None
    return Requirement(
        parsed.name, tuple(sorted(parsed.extras)), str(parsed.specifier), str(parsed.marker) if parsed.marker else ""
    )


def _specifier(text: str) -> str | None:
    """The clauses as ``packaging`` writes them down; None where one is not of the common form."""
    clauses = []
    for part in text.split(",") if text.strip() else ():
        match = CLAUSE.fullmatch(part)
        if match is None or plain(match[2].removesuffix(".*")) is None:
            return None
        if match[2].endswith(".*") and match[1] not in ("==", "!="):
            return None
        clauses.append(match[1] + match[2])
    return ",".join(sorted(set(clauses)))


@lru_cache(maxsize=1024)
def _tree(marker: str) -> Tree | None:
    """A marker as a tree; None where it is not of the common form."""
    terms, place = [], 0
    while place < len(marker):
        match = TERM.match(marker, place)
        if match is None:
            return None
        terms.append(match)
        place = match.end()
    place = 0

    def joined(word: str, part: Callable[[], Tree]) -> Tree:
        nonlocal place
        left = part()
        while place < len(terms) and terms[place][3] == word:
            place += 1
            left = Tree(word, left, part())
        return left

    def both() -> Tree:
        return joined("and", one)

    def either() -> Tree:
        return joined("or", both)

    def one() -> Tree:
        nonlocal place
        term = terms[place]  # IndexError at the end of a marker that is cut off
        place += 1
        if term[1]:
            inner = either()
            place += 1
            if not terms[place - 1][2]:
                raise ValueError(marker)
            return inner
        if not term[4]:
            raise ValueError(marker)
        return Tree(term[5], term[4], term[6] if term[6] is not None else term[7])

    try:
        tree = either()
    except (IndexError, ValueError):
        return None
    return tree if place == len(terms) else None


def _holds(marker: str, environment: dict[str, str]) -> bool:
    tree = _tree(marker)
    answer = _judge(tree, environment) if tree is not None else None
    if answer is not None:
        return answer
    from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
    from packaging.version import InvalidVersion

    try:
        return Marker(marker).evaluate(environment)
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
        return False


def _judge(tree: Tree, environment: dict[str, str]) -> bool | None:
    """Whether it holds; None where only ``packaging`` can tell."""
    if isinstance(tree.left, Tree) and isinstance(tree.right, Tree):
        left, right = _judge(tree.left, environment), _judge(tree.right, environment)
        if left is None or right is None:
            return None
        return (left and right) if tree.operator == "and" else (left or right)
    name, wanted = str(tree.left), str(tree.right)
    have = environment[name]
    if name in NUMBERS:
        if plain(have) is None or plain(wanted) is None:
            return None
        return satisfies(have, tree.operator + wanted)
    if tree.operator not in ("==", "!="):
        return None
    same = normalise(have) == normalise(wanted) if name == "extra" else have == wanted
    return same == (tree.operator == "==")
