"""What the events of a log tell, compared with what SGLang is known to print: variables, releases, places."""

from __future__ import annotations

from collections.abc import Sequence

from sgldoctor.events import Event
from sgldoctor.facts import Facts, Row
from sgldoctor.lazy import lazy

COMPARED = 40
"""How many messages of a log are compared with what each release prints: each costs about 2 ms."""

_FOREIGN = (
    ("import", lazy(r"cannot import name ['\"]?(?P<name>\w{3,80})(?!['\"]? from)")),
    (
        "call",
        lazy(
            r"\b(?P<name>[A-Za-z_]\w{2,80})(?:\.\w{1,60})?\(\) "
            r"(?:got an? (?:unexpected|multiple)|takes (?:from )?\d|missing \d)"
        ),
    ),
    ("attribute", lazy(r"(?:type object |')'?(?P<name>[A-Z]\w{2,80})' (?:object )?has no attribute '")),
    ("undefined", lazy(r"\bname ['\"](?P<name>\w{3,80})['\"] is not defined")),
)
"""How Python speaks of a name that is not there, or not as it is used."""


def warned_variables(facts: Facts, events: Sequence[Event]) -> None:
    """Add ``environment.warned``: the variables a log complains of, judged from then on as if they had been probed."""
    texts = [(event.text, event.line) for event in events if "nvironment variable" in event.text or "SGL" in event.text]
    if texts and not facts.known("environment.warned"):
        from sgldoctor.derive.environment import warned

        rows = warned(texts)
        if rows:
            facts.put("environment.warned", rows, "log")


def releases(facts: Facts, events: Sequence[Event]) -> None:
    """Add ``log.releases``, the releases that fit what the log shows, where it names none. Costs about 100 ms.

    Source lines of tracebacks pin the release (``by`` is ``lines``). Where there are too few, or the code is that of a
    checkout between two releases, the texts that SGLang printed and the flags it was given give a range (``texts``).
    """
    if not events or facts.known("sglang") or facts.known("log.releases"):
        return
    row = _by_lines(events) or _by_texts(facts, events)
    if row:
        row["range"] = _range(str(row["first"]), str(row["last"]))
    facts.put("log.releases", [row] if row else [], "derived")


def _range(first: str, last: str) -> str:
    """The releases in words; what the oldest known release has may be older, what the newest has may stay."""
    from sgldoctor.knowledge.releases import versions

    if first == last:
        return first
    if last == versions()[-1]:
        return f"{first} or later"
    return f"{last} or older" if first == versions()[0] else f"{first} to {last}"


def _by_lines(events: Sequence[Event]) -> Row | None:
    from sgldoctor.knowledge import sources

    places = (place for event in events for frame in event.frames if (place := sources.place(frame)))
    among, compared = sources.fitting(places)
    if not among:
        return None
    files = list(dict.fromkeys(place.file for place in compared))
    because = f"{len(compared)} source lines of {', '.join(files[:3])}{' and others' if len(files) > 3 else ''}"
    return {"first": among[0], "last": among[-1], "among": among, "because": [because], "by": "lines"}


def _by_texts(facts: Facts, events: Sequence[Event]) -> Row | None:
    from sgldoctor.knowledge import messages

    texts = [event.text for event in events if event.kind in ("exception", "error", "warning")][:COMPARED]
    found, because = messages.fitting(texts)
    among = list(found)
    # What the command line refused tells nothing, and then the rest of the line was not used either.
    if among and facts.rows("launch.option") and not any(event.kind == "usage" for event in events):
        from sgldoctor.knowledge import flags

        for flag in dict.fromkeys(str(row["flag"]) for row in facts.rows("launch.option") if row.get("flag")):
            those = [release for release in among if flags.declared(flag, release)]
            if those and len(those) < len(among):
                among = those
                because.append(flag)
    # Two releases in one log leave none; all but one is no knowledge.
    if not among or not because or len(among) >= len(messages.releases()) - 1:
        return None
    return {"first": among[0], "last": among[-1], "among": among, "because": because[:3], "by": "texts"}


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


def foreign_names(facts: Facts, events: Sequence[Event]) -> bool:
    """Add ``log.foreign_name``: names at which a log failed, of the packages that SGLang imports them from.

    For messages that do not say the package themselves; False if there are none.
    """
    rows: list[Row] = []
    for event in [event for event in events if event.kind in ("exception", "error", "claim")][:COMPARED]:
        for form, pattern in _FOREIGN:
            found = pattern.search(event.text)
            if found:
                from sgldoctor.knowledge.names import owner

                package = owner(found["name"])
                if package and not any(row["symbol"] == found["name"] for row in rows):
                    columns = {"symbol": found["name"], "package": package, "form": form, "line": event.line}
                    rows.append({**columns, "text": event.text[:500]})
    if rows:
        facts.put("log.foreign_name", rows, "log")
    return bool(rows)
