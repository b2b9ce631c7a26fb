"""Applying rules: facts and events in, findings out. Knows nothing of causes and symptoms; that is ``rank``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from sgldoctor.events import Event
from sgldoctor.facts import Facts, Row
from sgldoctor.lazy import compiled
from sgldoctor.rules.base import RuleBase
from sgldoctor.rules.limit import TimedOut, search
from sgldoctor.rules.schema import Evidence, FactMatch, Finding, LogMatch, Rule
from sgldoctor.template import fill, names
from sgldoctor.typed import Any

EVIDENCE_LIMIT = 5
"""How many places are kept of what a rule matched; the rest is only counted."""
PIECE = 200_000
"""Characters of a log that are searched for anchors at once."""
MATCH_LIMIT = 200
"""Characters kept of the words that decided."""
CLAIMED = 12
"""Characters that an anchor needs for a claim to count: shorter ones are words of any sentence."""
EVENTS_LIMIT = 200
"""How many matching events are kept for ranking."""
RAISED = "raised"
"""A parameter that titles may name: where in SGLang an exception was raised."""
SUBJECT_COLUMNS = (
    "subject",
    "library",
    "package",
    "module",
    "name",
    "variable",
    "flag",
    "symbol",
    "model",
    "device",
    "file",
    "dimension",
)


def select(
    facts: Facts,
    events: Sequence[Event],
    rules: Sequence[Rule],
    holds: Callable[[dict[str, str]], bool | None],
) -> list[Finding]:
    """Everything that the rules find, one finding for each rule and thing at fault.

    Of a whole rule base only those rules are made whose anchor or fact is there. ``holds`` answers whether a ``when``
    table is true of this environment: True, False, or None for unknown. A rule whose ``when`` is false does not fire. A
    regular expression that exceeds its time budget is noted as unknown.
    """
    findings: dict[tuple[str, str], Finding] = {}
    base = RuleBase.of(rules)
    log = _Log(events, base)
    candidates = {number for anchor in log.there for number in base.anchors[anchor]}
    asked = {number for name, numbers in base.facts.items() if facts.rows(name) for number in numbers}
    for number in sorted(candidates | asked):
        rule = base[number]
        if not all(_rows(facts, need) for need in rule.needs):
            continue
        matched = _matched(rule, rule.logs if number in candidates else (), log, facts)
        rows = [(row, fact_match.each) for fact_match in rule.facts for row in _rows(facts, fact_match)]
        # Asked last: to know the release may cost a look through all that SGLang ever printed.
        if not (matched or rows) or (rule.when and holds(rule.when) is False):
            continue
        known = standing(rule.when)
        for event, params, words in matched:
            add(findings, rule, {**known, **params}, facts, event_evidence(event, words), event=event)
        for row, fact in rows:
            params = {key: value for key, value in row.items() if value is not None and key != "text"}
            add(findings, rule, {**known, **params}, facts, None, row=row, fact=fact)
    return _absorbed(findings, facts)


def standing(when: dict[str, str]) -> dict[str, str]:
    """Parameters of a rule about a known defect: ``releases`` that have it, and ``cured``, the one that does not."""
    if "defect" not in when:
        return {}
    from sgldoctor.knowledge.defects import defect

    found = defect(when["defect"])
    return {"releases": found.range} | ({"cured": found.cured} if found.cured else {})


def claimed(
    facts: Facts,
    claims: Sequence[Event],
    rules: Sequence[Rule],
    holds: Callable[[dict[str, str]], bool | None],
) -> list[Finding]:
    """What particular rules find in claims (see ``log.claims``), each with one degree less of confidence.

    A claim counts for a rule that names the kind, and for one that asks for an exception or an error by a long enough
    text; generic rules need the traceback itself. Claims of kind ``exception`` count for every rule.
    """
    if not claims:
        return []
    findings: dict[tuple[str, str], Finding] = {}
    base = RuleBase.of(rules)
    log = _Log(claims, base)
    for number in sorted({number for anchor in log.there for number in base.anchors[anchor]}):
        rule = base[number]
        if rule.role != "cause" or rule.severity != "error" or not all(_rows(facts, need) for need in rule.needs):
            continue
        matched = _matched(rule, [_lax(match, rule) for match in rule.logs], log, facts)
        if not matched or (rule.when and holds(rule.when) is False):
            continue
        known = standing(rule.when)
        less = rule._replace(confidence="medium" if rule.confidence == "high" else "low")
        for event, params, words in matched:
            add(findings, less, {**known, **params}, facts, event_evidence(event, words), event=event)
    return _absorbed(findings, facts)


def _lax(match: LogMatch, rule: Rule) -> LogMatch:
    """A match that takes claims as well, where it is particular enough for them."""
    particular = len(match.anchor) >= CLAIMED and not rule.generic
    said = "claim" in match.kinds or (particular and {"exception", "error"} & set(match.kinds))
    return match._replace(kinds=(*match.kinds, "claim")) if said else match


def _matched(
    rule: Rule, matches: Iterable[LogMatch], log: _Log, facts: Facts
) -> list[tuple[Event, dict[str, Any], str]]:
    """What the patterns of a rule find: one event is one finding, the first pattern that names something tells what."""
    told: dict[int, bool] = {}  # events of this rule, and whether a name was found in them
    matched: list[tuple[Event, dict[str, Any], str]] = []
    for match in matches:
        for event, params, words in _match_events(match, log, rule, facts):
            if event.order in told and (told[event.order] or not params):
                continue
            told[event.order] = bool(params)
            matched.append((event, params, words))
    return matched


def literals(rules: Iterable[Rule]) -> list[bytes]:
    """Every text whose events the rules select: what a large log is searched for."""
    return RuleBase.of(rules).literals()


def witnesses(rules: Iterable[Rule]) -> list[bytes]:
    """Every text of which the rules only ask whether it is in the log as well."""
    return RuleBase.of(rules).witnesses()


def _absorbed(findings: dict[tuple[str, str], Finding], facts: Facts) -> list[Finding]:
    """Merge what a rule found without a name into what it found with one: the same fault, seen by two facts."""
    named: dict[str, tuple[str, str]] = {}
    for slug, subject in findings:
        if subject:
            named.setdefault(slug, (slug, subject))
    for slug, into in named.items():
        nameless = findings.pop((slug, ""), None)
        if nameless is not None:
            held = findings[into]
            params = {**nameless.params, **held.params}
            findings[into] = held._replace(
                params=params,
                title=fill(held.rule.title, params, facts)[0],
                evidence=(*held.evidence, *nameless.evidence)[:EVIDENCE_LIMIT],
                times=held.times + nameless.times,
                events=(*held.events, *nameless.events)[:EVENTS_LIMIT],
                rows=(*held.rows, *nameless.rows),
            )
    return list(findings.values())


class _Log:
    """The texts of all events as one, so that an anchor is looked for once and not in each event."""

    def __init__(self, events: Sequence[Event], rules: RuleBase) -> None:
        self.events = events
        self.text = "\n".join(event.text for event in events)
        self.begins = list(accumulate((len(event.text) + 1 for event in events), initial=0))
        self.there: set[str] = set()
        begin = 0
        for end in self.begins[1:]:  # in pieces, since their parts take many times the memory of a text
            if end - begin >= PIECE or end > len(self.text):
                self.there |= rules.present(self.text[begin:end])
                begin = end

    def holding(self, anchor: str) -> Iterator[Event]:
        """The events with ``anchor`` in their text."""
        at = self.text.find(anchor) if anchor in self.there else -1
        while at >= 0:
            index = bisect_right(self.begins, at) - 1
            yield self.events[index]
            at = self.text.find(anchor, self.begins[index + 1])


def _match_events(match: LogMatch, log: _Log, rule: Rule, facts: Facts) -> Iterable[tuple[Event, dict[str, Any], str]]:
    """The events that fit, the named groups, and the words that decided."""
    if match.also and not all(word in log.text for word in match.also):
        return
    if match.never and any(word in log.text for word in match.never):
        return
    for event in log.holding(match.anchor):
        if event.kind not in match.kinds or not fits_place(match, event):
            continue
        try:
            # compiled at the first event that comes so far
            found = search(compiled(match.pattern), event.text) if match.pattern else None
            if (match.pattern and not found) or (match.unless and search(compiled(match.unless), event.text)):
                continue
        except TimedOut:
            facts.put_unknown(f"rule {rule.slug}", f"its regular expression took too long at line {event.line}")
            continue
        if found:
            yield event, {key: value.strip() for key, value in found.groupdict().items() if value}, found[0]
        else:
            yield event, {}, match.anchor


def fits_place(match: LogMatch, event: Event) -> bool:
    """Whether an event is of the type, and was raised in the places, that a match asks for."""
    if match.type and not _like(event.type, match.type):
        return False
    if match.place and not placed(match.place, event):
        return False
    return not match.inner or any(text in innermost(event) for text in match.inner)


def placed(places: Sequence[str], event: Event) -> bool:
    """Whether a frame of the event lies in one of the places."""
    return any(place in f"{frame.file}:{frame.function}" for frame in event.frames for place in places)


def innermost(event: Event) -> str:
    """File and function that raised; a class that looks for its attribute in vain is asked by the frame outside it.

    Where the standard library's reader of JSON raised, its caller is named as well, for that is whose text is bad.
    """
    told: list[str] = []
    for frame in reversed(event.frames):
        if frame.function == "__getattr__":
            continue
        told.append(f"{frame.file}:{frame.function}")
        if "/json/" not in frame.file:
            break
    return "\n".join(told)


def raised(event: Event) -> str:
    """File and function of the innermost frame in SGLang's own code, ``srt/managers/scheduler.py:run_batch``."""
    for frame in reversed(event.frames):
        file = frame.file.replace("\\", "/")
        if "sglang/" in file and frame.function and frame.function[0] != "<" and frame.function != "__getattr__":
            return f"{file[file.rindex('sglang/') + 7 :]}:{frame.function}"
    return ""


def _rows(facts: Facts, match: FactMatch) -> list[Row]:
    return [
        row
        for row in facts.rows(match.each)
        if fits(row, match.where) and not (match.unless and fits(row, match.unless))
    ]


def fits(row: Row, where: dict[str, Any]) -> bool:
    """Whether every condition of ``where`` holds; a column that is not known fits nothing."""
    return all(
        column in row and row[column] is not None and _fits(row[column], wanted) for column, wanted in where.items()
    )


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_fits(entry, wanted) for entry in value)
    if isinstance(wanted, list | tuple):
        return any(_fits(value, entry) for entry in wanted)
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted
    if isinstance(wanted, str):
        return not _like(str(value), wanted[1:]) if wanted.startswith("!") else _like(str(value), wanted)
    return bool(value == wanted)


def _like(text: str, glob: str) -> bool:
    """Whether a text fits a glob, most of which are plain words."""
    if not ("*" in glob or "?" in glob or "[" in glob):
        return text == glob
    from fnmatch import fnmatchcase

    return fnmatchcase(text, glob)


def event_evidence(event: Event, words: str) -> Evidence:
    """What a rule matched of a log, with the words that decided."""
    return Evidence(
        "log", event.text, event.line, event.rank, event.source, words.strip().partition("\n")[0][:MATCH_LIMIT]
    )


def _row_evidence(row: Row, fact: str, facts: Facts) -> Evidence:
    text = row.get("text") or ", ".join(
        f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in row.items()
        if value not in (None, "", []) and key not in ("line", "text")
    )
    line = row.get("line")
    if isinstance(line, int) and line:
        return Evidence("log", f"{fact}: {text}", line)
    source = facts.source(fact)
    return Evidence("probe" if source in ("derived", "") else source, f"{fact}: {text}")


def _given(flag: str, facts: Facts) -> str:
    """How the launch line gives an option that a rule names, with its variants (``--prefill-attention-backend``)."""
    core = flag.split(maxsplit=1)[0].lstrip("-")
    rows = [row for row in facts.rows("launch.option") if str(row.get("flag", "")).endswith(core)]
    return ", ".join(f"{row['flag']} {row.get('value') or ''}".strip() for row in rows[:4])


def add(
    findings: dict[tuple[str, str], Finding],
    rule: Rule,
    params: dict[str, Any],
    facts: Facts,
    evidence: Evidence | None,
    *,
    event: Event | None = None,
    row: Row | None = None,
    fact: str = "",
) -> None:
    """Note what a rule found among ``findings``: a new one, or one more place of one that is there."""
    if evidence is None:
        evidence = _row_evidence(row or {}, fact, facts)
    if event and event.frames and RAISED in names(rule.title) and (place := raised(event)):
        params = {RAISED: place, **params}
    if rule.subject:
        subject, missing = fill(rule.subject, params, facts)
        subject = "" if missing else subject
    else:
        subject = next((str(params[column]) for column in SUBJECT_COLUMNS if params.get(column)), "")
    if subject.startswith("--") and "given" not in params:
        given = _given(subject, facts)
        params = {**params, "given": given} if given else params
    key = (rule.slug, subject)
    held = findings.get(key)
    if held is None:
        title, _ = fill(rule.title, params, facts)
        findings[key] = Finding(
            rule, params, subject, title, rule.role, (evidence,), 1, (event,) if event else (), (row,) if row else ()
        )
        return
    if event and event.order in {known.order for known in held.events}:  # two patterns of one rule, one event
        findings[key] = held._replace(params={**params, **held.params})
        return
    findings[key] = held._replace(
        params={**params, **held.params},
        evidence=(*held.evidence, evidence)[:EVIDENCE_LIMIT],
        times=held.times + 1,
        events=(*held.events, event) if event and len(held.events) < EVENTS_LIMIT else held.events,
        rows=(*held.rows, row) if row else held.rows,
    )
