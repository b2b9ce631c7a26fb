"""What the events of a log tell, compared with what SGLang is known to print: variables, releases, places."""

from __future__ import annotations

from collections.abc import Sequence

from sgldoctor.events import Event
from sgldoctor.facts import Facts, Row

COMPARED = 40
"""How many messages of a log are compared with what each release prints: each costs about 2 ms."""


def warned_variables(facts: Facts, events: Sequence[Event]) -> None:
    """Add ``environment.warned``: the variables a log complains of, judged from then on as if they had been probed."""
    texts = [(event.text, event.line) for event in events if "nvironment variable" in event.text or "SGL" in event.text]
    if texts and not facts.known("environment.warned"):
        from sgldoctor.derive.environment import warned

        rows = warned(texts)
        if rows:
            facts.put("environment.warned", rows, "log")


def releases(facts: Facts, events: Sequence[Event]) -> None:
    """Add ``log.releases``, the releases that print all these texts, where the log names none. Costs about 60 ms."""
    if not events or facts.known("sglang") or facts.known("log.releases"):
        return
    from sgldoctor.knowledge import messages

    texts = [event.text for event in events if event.kind in ("exception", "error", "warning")][:COMPARED]
    found = messages.fitting(texts)
    rows: list[Row] = []
    if found is not None:
        first, last, because = found
        names = messages.releases()
        rows.append({"first": names[first], "last": names[last], "because": because[:3]})
    facts.put("log.releases", rows, "derived")


def origins(facts: Facts, events: Sequence[Event]) -> bool:
    """Add ``log.origin``: where in SGLang the failures of a log come from, by their texts; False if none is known."""
    from sgldoctor.knowledge.messages import matching

    rows: list[Row] = []
    for event in [event for event in events if event.kind in ("exception", "error")][:COMPARED]:
        for message in matching(event.text)[:1]:
            where, _, function = message.where.partition(":")
            rows.append(
                {
                    "where": where,
                    "function": function,
                    "kind": message.kind,
                    "message": event.text[:500],
                    "releases": message.range(),
                    "line": event.line,
                    "text": f"{event.text[:500]} (printed by srt/{message.where})",
                }
            )
    if rows:
        facts.put("log.origin", rows, "log")
    return bool(rows)
