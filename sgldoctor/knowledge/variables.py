"""What each SGLang release does with an environment variable: reads it, copies it, warns of it, or ignores it.

Source: ``data/env-vars.json`` (the ``environ.py`` and all modules of each wheel) and ``data/limits.json`` (asserts,
errors and warnings elsewhere in ``sglang/srt``). Releases are handled as their index in :func:`releases`.
"""

from __future__ import annotations

from functools import cache

from sgldoctor.knowledge.files import read_json
from sgldoctor.typed import Any, NamedTuple

Spans = tuple[tuple[int, int], ...]
"""First and last index of each run of releases."""


class Transform(NamedTuple):
    """How a value must be rewritten for another variable of the same meaning: inverted, or scaled."""

    inverted: bool = False
    factor: float = 1.0

    def then(self, other: Transform) -> Transform:
        """First this, then ``other``."""
        return Transform(self.inverted != other.inverted, self.factor * other.factor)

    def back(self) -> Transform:
        """The way back."""
        return Transform(self.inverted, 1.0 / self.factor)

    def apply(self, value: str) -> str:
        """``value`` rewritten; as it is where it is not a boolean or a number."""
        if self.inverted:
            lower = value.strip().lower()
            return "0" if lower in TRUE else "1" if lower in FALSE else value
        if self.factor != 1.0:
            try:
                return f"{float(value) * self.factor:g}"
            except ValueError:
                return value
        return value


SAME = Transform()
TRUE = ("true", "1", "yes", "y")  # EnvBool.parse of srt/environ.py, 0.5.3..0.5.23
FALSE = ("false", "0", "no", "n")
# What environ.py does with the value of a deprecated variable, by the kind in the data.
COPIES = {
    "renamed": SAME,
    "alias": SAME,
    "inverted": Transform(inverted=True),
    "milliseconds to seconds": Transform(factor=0.001),
}


class Variable(NamedTuple):
    """One variable; ``history`` holds (first index, type, default) of its declaration in ``class Envs``."""

    name: str
    declared: Spans
    read: Spans
    area: str
    history: tuple[tuple[int, str, str], ...]


class Notice(NamedTuple):
    """One deprecation: what is printed, and by whom.

    ``kind`` is a key of :data:`COPIES` or ``flag``, ``removed``, ``replaced`` (by a variable with other values),
    ``harmful`` (an exception). ``start`` is True for environ.py, which runs in every process before anything else.
    """

    old: str
    new: str
    kind: str
    says: str
    present: Spans
    start: bool


class Limit(NamedTuple):
    """The largest value that an assert allows, and the assert's place."""

    name: str
    largest: int
    present: Spans
    where: str


class Knowledge(NamedTuple):
    """Everything about variables, parsed once; ``capability`` is the least compute capability that SGLang accepts."""

    releases: tuple[str, ...]
    variables: dict[str, Variable]
    notices: tuple[Notice, ...]
    limits: dict[str, Limit]
    prefix_since: int
    prefix_says: str
    capability: str


def inside(spans: Spans, at: int) -> bool:
    """Whether release ``at`` lies in one of the runs."""
    return any(first <= at <= last for first, last in spans)


@cache
def knowledge() -> Knowledge:
    """The parsed data files."""
    data, more = read_json("env-vars.json"), read_json("limits.json")
    releases = tuple(data["releases"])
    index = {release: at for at, release in enumerate(releases)}

    def spans(pairs: Any) -> Spans:
        return tuple((index[first], index[last] if last else len(releases) - 1) for first, last in pairs)

    variables = {
        name: Variable(
            name,
            spans(entry["declared"]),
            spans(entry["read"]),
            entry["area"],
            tuple((index[item["since"]], item["type"], item["default"]) for item in entry["history"]),
        )
        for name, entry in data["variables"].items()
    }
    notices = [
        Notice(entry["old"], entry["new"] or "", entry["kind"], entry["says"], spans(entry["present"]), start)
        for entries, start in ((data["deprecated"], True), (more["notices"], False))
        for entry in entries
    ]
    limits = {
        entry["name"]: Limit(entry["name"], entry["largest"], spans(entry["present"]), entry["where"])
        for entry in more["limits"]
    }
    rule = data["prefix_rule"]
    return Knowledge(
        releases, variables, tuple(notices), limits, index[rule["since"]], rule["says"], more["capability"]["minimum"]
    )


def releases() -> tuple[str, ...]:
    """All known releases, oldest first."""
    return knowledge().releases


@cache
def place(release: str) -> int | None:
    """The index of ``release``; of the newest known one before it where it is not known itself; None for nonsense.

    A development build such as ``0.5.8.post1.dev12+gabc`` is judged as the release before it. None also for what is
    older than all: builds from a checkout without tags call themselves ``0.0.0.dev1+gabc``.
    """
    known = releases()
    if release in known:
        return known.index(release)
    from packaging.version import InvalidVersion, Version

    try:
        wanted = Version(release)
    except InvalidVersion:
        return None
    older = [at for at, one in enumerate(known) if Version(one) <= wanted]
    return older[-1] if older else None


def declaration(name: str, at: int) -> tuple[str, str]:
    """Type and default under which release ``at`` declares a variable; ``("", "")`` where it does not."""
    variable = knowledge().variables.get(name)
    if variable is None or not inside(variable.declared, at):
        return "", ""
    found = [(kind, default) for since, kind, default in variable.history if since <= at]
    return found[-1] if found else ("", "")


def reads(name: str, at: int) -> bool:
    """Whether release ``at`` reads a variable anywhere in its Python."""
    variable = knowledge().variables.get(name)
    return variable is not None and inside(variable.read, at)


def notices(name: str, at: int) -> list[Notice]:
    """The deprecations of a variable that release ``at`` announces."""
    return [one for one in _by_name().get(name, []) if inside(one.present, at)]


def ever(name: str) -> list[Notice]:
    """The deprecations of a variable in any release."""
    return _by_name().get(name, [])


@cache
def _by_name() -> dict[str, list[Notice]]:
    table: dict[str, list[Notice]] = {}
    for one in knowledge().notices:
        table.setdefault(one.old, []).append(one)
    return table


def prefixed(name: str) -> str:
    """``SGL_X`` -> ``SGLANG_X``, what 0.5.3 and later copy it to; ``""`` for other names."""
    return name.replace("SGL_", "SGLANG_", 1) if name.startswith("SGL_") else ""


def meaning(name: str) -> dict[str, Transform]:
    """All variables that mean the same as ``name`` in some release, and how its value reads there; with itself.

    An inversion or a change of unit that SGLang once announced tells the true meaning. A plain copy between variables
    whose relation is already known by those tells nothing: 0.5.7 to 0.5.17 copied SGL_DISABLE_TP_MEMORY_INBALANCE_CHECK
    unchanged into SGLANG_ENABLE_..., which means the opposite, as 0.5.18 corrected (sglang pull request 15802).
    """
    found = dict(_groups().get(name, {name: SAME}))
    target = prefixed(name)
    if len(found) == 1 and target:
        found.update(_groups().get(target, {target: SAME} if target in knowledge().variables else {}))
    return found


@cache
def _groups() -> dict[str, dict[str, Transform]]:
    known = knowledge()
    names = {*known.variables, *(one.old for one in known.notices), *(one.new for one in known.notices if one.new)}
    told = [(one.old, one.new, COPIES[one.kind]) for one in known.notices if one.new and one.kind in COPIES]
    edges = [edge for edge in told if edge[2] != SAME]
    edges += [(name, prefixed(name), SAME) for name in sorted(names) if prefixed(name) in names]
    edges += [edge for edge in told if edge[2] == SAME]
    groups: dict[str, dict[str, Transform]] = {name: {name: SAME} for name in names}
    for old, new, transform in edges:
        if new in groups[old]:
            continue
        # Join two groups: every member of the one reaches every member of the other through old -> new.
        left, right = dict(groups[old]), dict(groups[new])
        for one, to_one in left.items():
            for other, to_other in right.items():
                way = to_one.back().then(transform).then(to_other)
                groups[one][other] = way
                groups[other][one] = way.back()
    return groups
