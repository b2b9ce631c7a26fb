"""From findings to causes: what explains what, and in which order a person should read it.

The order of evidence, strongest first:

1. A rule that is only ever an echo (``role = "symptom"``) stays a symptom.
2. On one event, a generic rule gives way to a particular one.
3. In one chained traceback the inner exception explains the outer ones.
4. A frame (a loud line that wraps other faults) is explained by a cause found inside it or before it.
5. ``explains`` of a rule links it to rules or causes that follow from it.
6. What remains are causes: errors before warnings, then first in time; ``before`` of a rule puts what began it first.
"""

from __future__ import annotations

from collections.abc import Sequence

from sgldoctor.rules.schema import Finding

_SEVERITY = {"error": 0, "warning": 1, "info": 2}
_CONFIDENCE = {"high": 0, "medium": 1, "low": 2}
_ROLE = {"cause": 0, "symptom": 1, "notice": 2}


def rank(findings: Sequence[Finding]) -> list[Finding]:
    """Give every finding its role and, for symptoms, its cause; best cause first, then symptoms, then notices."""
    ranked = [_explained(finding, findings) for finding in findings]
    by_key = {_key(finding): finding for finding in ranked}
    ranked = [_resolved(finding, by_key) for finding in ranked]
    ordered = sorted(_uncircled(ranked, findings), key=_order)
    for finding in [entry for entry in ordered if entry.rule.before and entry.role == "cause"]:
        _move_before(finding, ordered)
    return ordered


def _move_before(finding: Finding, ordered: list[Finding]) -> None:
    """Put a cause in front of the first one, as severe, that its rule wants told after it."""
    place = ordered.index(finding)
    for earlier, other in enumerate(ordered[:place]):
        named = other.rule.slug in finding.rule.before or other.rule.cause in finding.rule.before
        if named and other.severity == finding.severity and other.role == "cause":
            ordered.insert(earlier, ordered.pop(place))
            return


def _key(finding: Finding) -> str:
    return f"{finding.rule.slug}:{finding.subject}" if finding.subject else finding.rule.slug


def _explained(finding: Finding, findings: Sequence[Finding]) -> Finding:
    if finding.role == "notice":
        return finding
    better = [
        other for other in findings if other is not finding and other.role == "cause" and _explains(other, finding)
    ]
    if not better:
        return finding
    best = min(better, key=_order)
    return finding._replace(role="symptom", explained_by=_key(best))


def _explains(cause: Finding, other: Finding) -> bool:
    """Whether ``cause`` makes ``other`` a mere consequence."""
    if cause.severity != "error" and other.severity == "error":
        return False
    if cause.rule.slug == other.rule.slug:
        return False
    if other.rule.slug in cause.rule.explains or other.rule.cause in cause.rule.explains:
        # Two rules that explain each other would erase both: the earlier one stays.
        mutual = cause.rule.slug in other.rule.explains or cause.rule.cause in other.rule.explains
        return not mutual or _first(cause) <= _first(other)
    if other.role == "symptom":
        return not cause.events or not other.events or _first(cause) <= _last(other)
    if not cause.events or not other.events:
        return False
    if _yields(cause) < _yields(other) and _shares_event(cause, other):
        return True
    if _inside(cause, other) and not cause.rule.frame:
        return True
    if other.rule.frame and not cause.rule.frame:
        return _first(cause) <= _last(other)
    # A frame inside or before another frame: the earlier one tells more.
    return other.rule.frame and cause.rule.frame and _first(cause) < _first(other)


def _yields(finding: Finding) -> int:
    return 2 * finding.rule.frame + finding.rule.generic


def _first(finding: Finding) -> int:
    return min((event.order for event in finding.events), default=-1)


def _last(finding: Finding) -> int:
    return max(event.order for event in finding.events)


def _shares_event(one: Finding, two: Finding) -> bool:
    return bool({event.order for event in one.events} & {event.order for event in two.events})


def _inside(inner: Finding, outer: Finding) -> bool:
    """Whether the inner finding's exception was printed first in every chain that the outer one's belongs to."""
    depths: dict[int, int] = {}
    for event in inner.events:
        if event.chain >= 0:
            depths[event.chain] = min(event.depth, depths.get(event.chain, event.depth))
    chained = [event for event in outer.events if event.chain >= 0]
    return bool(chained) and all(event.chain in depths and depths[event.chain] < event.depth for event in chained)


def _resolved(finding: Finding, by_key: dict[str, Finding]) -> Finding:
    """Point ``explained_by`` at the cause at the end of the line, not at another symptom."""
    seen = set()
    target = finding.explained_by
    while target and target in by_key and by_key[target].explained_by and target not in seen:
        seen.add(target)
        target = by_key[target].explained_by
    return finding._replace(explained_by=target)


def _uncircled(ranked: list[Finding], findings: Sequence[Finding]) -> list[Finding]:
    """Where findings explain each other in a circle, nothing would be left as the cause: the first one stays."""
    causes = {_key(finding) for finding in ranked if finding.role == "cause"}
    lost = [
        original
        for finding, original in zip(ranked, findings, strict=True)
        if original.role == "cause" and finding.role == "symptom" and finding.explained_by not in causes
    ]
    if not lost:
        return ranked
    first = _key(min(lost, key=_order))
    return [
        finding._replace(role="cause", explained_by=None)
        if _key(finding) == first
        else finding._replace(explained_by=first)
        if finding.explained_by and finding.explained_by not in causes
        else finding
        for finding in ranked
    ]


def _order(finding: Finding) -> tuple[int, int, bool, int, int, int, str]:
    first = _first(finding)
    return (
        _ROLE[finding.role],
        _SEVERITY[finding.severity],
        finding.rule.frame,
        # What a log shows comes before what was only read from the machine: it did fail, there.
        0 if finding.events else 1,
        first,
        _CONFIDENCE[finding.rule.confidence],
        finding.rule.slug,
    )
