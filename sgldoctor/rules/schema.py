"""What a rule is: the typed form of one TOML file, and of what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sgldoctor.errors import RuleError
from sgldoctor.events import KINDS, Event
from sgldoctor.facts import Row
from sgldoctor.typed import Any, NamedTuple

SEVERITIES = ("error", "warning", "info")
ROLES = ("cause", "symptom", "notice")
CONFIDENCES = ("high", "medium", "low")
SAFETIES = ("safe", "unsafe", "manual")

DEFAULT_KINDS = ("exception", "error")


class LogMatch(NamedTuple):
    """One ``[[log]]``: which events it selects.

    Attributes:
        anchor: a literal of at least 4 characters that every match contains; searched before any regular expression.
        pattern: regular expression whose named groups become parameters; the anchor alone where empty.
        kinds: event kinds in which the text counts.
        place: literals of which one must occur in the file or function of a frame; none for anywhere.
        inner: the same for the innermost frame alone, ``__getattr__`` of a base class apart.
        type: exception type or glob, ``""`` for any.
        unless: regular expression that must not be found in the event.
        also: literals that must each occur somewhere in the log (of the same event kinds or not).
        never: literals of which none may occur anywhere in the log.
    """

    anchor: str
    pattern: str
    kinds: tuple[str, ...]
    place: tuple[str, ...]
    inner: tuple[str, ...]
    type: str
    unless: str
    also: tuple[str, ...]
    never: tuple[str, ...] = ()


class FactMatch(NamedTuple):
    """One ``[[fact]]``: the rows of fact ``each`` that fit ``where`` and do not fit ``unless``."""

    each: str
    where: dict[str, Any]
    unless: dict[str, Any]


class FixRecipe(NamedTuple):
    """One ``[[fix]]`` as written: placeholders unresolved."""

    title: str
    safety: str
    when: dict[str, str]
    actions: tuple[dict[str, Any], ...]
    note: str


class Rule(NamedTuple):
    """One rule file.

    Attributes:
        slug: file name without ``.toml``; unique over all rule folders.
        area: name of its folder.
        title: one line, may hold placeholders.
        cause: key of the vocabulary of causes.
        severity: how bad it is.
        role: ``cause``; ``symptom`` for what is only ever an echo; ``notice`` for what is worth knowing.
        frame: a loud line that wraps another fault: a symptom as soon as a cause is found inside or before it.
        generic: gives way to any rule that is not generic and selects the same event.
        confidence: how sure the rule is.
        subject: template of the thing at fault.
        explains: slugs of rules, or keys of causes, that are only symptoms where this one is found.
        before: slugs of rules, or keys of causes, that stay causes but are told after this one, which began it.
        when: ``sglang`` to a version specifier, or ``defect`` to the name of a known defect: the releases in which the
            rule holds; ``!`` before it: those that lack it. Unknown release: it holds.
        needs: facts that must select something as well.
        about: why it happens, for somebody who has never seen it.
        path: the file, for messages.
    """

    slug: str
    area: str
    title: str
    cause: str
    severity: str
    role: str
    frame: bool
    generic: bool
    confidence: str
    subject: str
    explains: tuple[str, ...]
    before: tuple[str, ...]
    when: dict[str, str]
    needs: tuple[FactMatch, ...]
    references: tuple[str, ...]
    about: str
    logs: tuple[LogMatch, ...]
    facts: tuple[FactMatch, ...]
    fixes: tuple[FixRecipe, ...]
    path: str


class Evidence(NamedTuple):
    """Why a finding was made: where, and what stands there. ``line`` is 0 outside logs.

    ``match`` are the words of ``text`` that decided, ``""`` outside logs.
    """

    source: str
    text: str
    line: int = 0
    rank: str = ""
    file: str = ""
    match: str = ""


class Finding(NamedTuple):
    """A rule with what it selected. ``events`` serve the ranking and are not reported."""

    rule: Rule
    params: dict[str, Any]
    subject: str
    title: str
    role: str
    evidence: tuple[Evidence, ...]
    times: int
    events: tuple[Event, ...] = ()
    rows: tuple[Row, ...] = ()
    explained_by: str | None = None

    @property
    def severity(self) -> str:
        """The severity of its rule."""
        return self.rule.severity


_RULE_KEYS = {
    "title", "cause", "severity", "role", "frame", "generic", "confidence", "subject", "explains", "before", "when",
    "needs", "references", "about", "log", "fact", "fix",
}  # fmt: skip


def build(data: dict[str, Any], slug: str, area: str, path: str) -> Rule:
    """Make a rule of a parsed TOML file; raises RuleError naming the file and the key that is wrong."""
    check = _Checker(path)
    check.keys(data, _RULE_KEYS, "the rule")
    role = check.choice(data, "role", ROLES, "cause")
    rule = Rule(
        slug=slug,
        area=area,
        title=check.text(data, "title"),
        cause=check.text(data, "cause"),
        severity=check.choice(data, "severity", SEVERITIES, "info" if role == "notice" else "error"),
        role=role,
        frame=check.flag(data, "frame"),
        generic=check.flag(data, "generic"),
        confidence=check.choice(data, "confidence", CONFIDENCES, "high"),
        subject=check.text(data, "subject", ""),
        explains=check.texts(data, "explains"),
        before=check.texts(data, "before"),
        when=check.table(data, "when"),
        needs=tuple(check.fact(entry, "needs") for entry in check.tables(data, "needs")),
        references=check.texts(data, "references"),
        about=check.text(data, "about").strip(),
        logs=tuple(match for entry in check.tables(data, "log") for match in check.logs(entry)),
        facts=tuple(check.fact(entry, "fact") for entry in check.tables(data, "fact")),
        fixes=tuple(check.fix(entry) for entry in check.tables(data, "fix")),
        path=path,
    )
    if not rule.logs and not rule.facts:
        raise RuleError(f"{path}: a rule needs at least one [[log]] or [[fact]]")
    return rule


def plain(rule: Rule) -> tuple[Any, ...]:
    """A checked rule in values that every Python reads, for :func:`restored`."""
    values: tuple[Any, ...] = rule
    return tuple(
        tuple(map(tuple, value)) if name in _RECORDS else value
        for name, value in zip(Rule._fields, values, strict=True)
    )


def restored(values: Sequence[Any]) -> Rule:
    """The rule that :func:`plain` was given; it was checked when it was built."""
    return Rule._make(
        tuple(map(_RECORDS[name], value)) if name in _RECORDS else value
        for name, value in zip(Rule._fields, values, strict=True)
    )


_RECORDS: dict[str, Callable[[Any], Any]] = {
    "needs": FactMatch._make,
    "logs": LogMatch._make,
    "facts": FactMatch._make,
    "fixes": FixRecipe._make,
}
"""The fields of a rule that hold records."""


class _Checker:
    """Typed access to a parsed TOML table; every complaint names the file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def fail(self, message: str) -> RuleError:
        return RuleError(f"{self.path}: {message}")

    def keys(self, data: dict[str, Any], allowed: set[str], where: str) -> None:
        for key in data:
            if key not in allowed:
                raise self.fail(f"unknown key {key!r} in {where}; known are {', '.join(sorted(allowed))}")

    def text(self, data: dict[str, Any], key: str, default: str | None = None) -> str:
        value = data.get(key, default)
        if not isinstance(value, str):
            raise self.fail(f"{key!r} must be a text" if key in data else f"{key!r} is missing")
        return value

    def texts(self, data: dict[str, Any], key: str) -> tuple[str, ...]:
        value = data.get(key, [])
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
            raise self.fail(f"{key!r} must be a list of texts")
        return tuple(value)

    def flag(self, data: dict[str, Any], key: str) -> bool:
        value = data.get(key, False)
        if not isinstance(value, bool):
            raise self.fail(f"{key!r} must be true or false")
        return value

    def choice(self, data: dict[str, Any], key: str, allowed: tuple[str, ...], default: str) -> str:
        value = data.get(key, default)
        if value not in allowed:
            raise self.fail(f"{key!r} must be one of {', '.join(allowed)}")
        return str(value)

    def table(self, data: dict[str, Any], key: str) -> dict[str, Any]:
        value = data.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(f"{key!r} must be a table")
        return value

    def tables(self, data: dict[str, Any], key: str) -> list[dict[str, Any]]:
        value = data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.fail(f"{key!r} must be a list of tables: [[{key}]]")
        return value

    def logs(self, data: dict[str, Any]) -> list[LogMatch]:
        """One match for each anchor: a list of them says that any of these texts will do."""
        self.keys(data, {"anchor", "pattern", "in", "place", "inner", "type", "unless", "also", "never"}, "[[log]]")
        kinds = self.texts(data, "in") or DEFAULT_KINDS
        if kinds == ("any",):
            kinds = tuple(kind for kind in KINDS if kind != "claim")
        for kind in kinds:
            if kind not in KINDS:
                raise self.fail(f"'in' names an unknown kind of event {kind!r}; known are any, {', '.join(KINDS)}")
        anchors = self.texts(data, "anchor")
        if not anchors:
            raise self.fail("'anchor' is missing")
        return [self.log(anchor, data, kinds) for anchor in anchors]

    def log(self, anchor: str, data: dict[str, Any], kinds: tuple[str, ...]) -> LogMatch:
        return LogMatch(
            anchor=anchor,
            pattern=self.text(data, "pattern", ""),
            kinds=kinds,
            place=self.texts(data, "place"),
            inner=self.texts(data, "inner"),
            type=self.text(data, "type", ""),
            unless=self.text(data, "unless", ""),
            also=self.texts(data, "also"),
            never=self.texts(data, "never"),
        )

    def fact(self, data: dict[str, Any], key: str) -> FactMatch:
        self.keys(data, {"each", "where", "unless"}, f"[[{key}]]")
        return FactMatch(self.text(data, "each"), self.table(data, "where"), self.table(data, "unless"))

    def fix(self, data: dict[str, Any]) -> FixRecipe:
        self.keys(data, {"title", "safety", "when", "action", "note"}, "[[fix]]")
        actions = self.tables(data, "action")
        for action in actions:
            self.action(action)
        return FixRecipe(
            title=self.text(data, "title"),
            safety=self.choice(data, "safety", SAFETIES, "manual"),
            when=self.table(data, "when"),
            actions=tuple(actions),
            note=self.text(data, "note", ""),
        )

    def action(self, data: dict[str, Any]) -> None:
        """Raise RuleError where an action is of no kind, or has other keys than its kind."""
        from sgldoctor.actions import kind, names

        do = data.get("do")
        try:
            known = kind(str(do))
        except KeyError:
            raise self.fail(f"an action must 'do' one of {', '.join(names())}; not {do!r}") from None
        self.keys(data, {"do", *known.keys, *known.further}, f"the action {do!r}")
        for name in known.keys:
            if name not in data:
                raise self.fail(f"the action {do!r} needs {name!r}")
