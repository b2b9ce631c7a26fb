"""The logs of many nodes: which node and rank failed first, and the root cause, looked for there.

Each log is put in order by the time of its first failure. Times can be compared where all logs print a date, or all
only a clock; else the order of the files stays and the report says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor import log, pipeline
from sgldoctor.events import Event
from sgldoctor.facts import Row
from sgldoctor.pipeline import Options
from sgldoctor.report.model import Report
from sgldoctor.report.text import shorten
from sgldoctor.rules.load import load
from sgldoctor.typed import NamedTuple

_FAILURES = (("exception", "exit"), ("error", "nccl", "glog"))
"""Kinds of event by which a log shows that its node failed; the second ones count where there is none of the first."""
_DATED = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s*(Z|[+-]\d\d:?\d\d)?")
_CLOCK = re.compile(r"(?<!\d)(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?")


class Failed(NamedTuple):
    """The first failure of one log: its event, when (seconds, or None), and whether that time has a date."""

    event: Event
    time: str
    seconds: float | None
    dated: bool


def explain(paths: Sequence[str], options: Options, sglang: str = "") -> Report:
    """The report of the logs of many nodes, one file for each; raises InputError for one that cannot be read."""
    rules = load(options.folders)
    reading = log.read(paths, rules.literals(), rules.witnesses())
    found = first_failures(reading.events)
    comparable = all(one.seconds is not None for one in found) and len({one.dated for one in found}) <= 1
    facts = reading.facts
    if found:
        if comparable:
            found.sort(key=lambda one: one.seconds or 0.0)
        elif len(found) > 1:
            facts.put_unknown(
                "first failure", "the logs print no times that can be compared: in the order of the files"
            )
        facts.put("fleet.failures", _rows(found, comparable=comparable or len(found) == 1), "log")
    if sglang and not facts.known("sglang"):
        pipeline.given(facts, sglang)
    return pipeline.conclude("fleet", facts, in_order(reading.events, found), rules, options)


def first_failures(events: Sequence[Event]) -> list[Failed]:
    """The first failure of each log that shows one, in the order of the files."""
    by_source: dict[str, list[Event]] = {}
    for event in events:
        by_source.setdefault(event.source, []).append(event)
    found = []
    for of_file in by_source.values():
        for kinds in _FAILURES:
            failed = next((place for place, event in enumerate(of_file) if event.kind in kinds), None)
            if failed is not None:
                # A traceback has no time of its own: that of the last line before it which has one.
                time = next((event.time for event in reversed(of_file[: failed + 1]) if event.time), "")
                found.append(Failed(of_file[failed], time, *seconds(time)))
                break
    return found


def seconds(text: str) -> tuple[float | None, bool]:
    """A printed time as seconds, and whether it has a date; None where it is no time that can be compared."""
    match = _DATED.search(text)
    if match:
        from datetime import datetime, timedelta, timezone

        try:
            moment = datetime(*map(int, match.groups()[:6]), tzinfo=timezone.utc)  # type: ignore[arg-type,misc]
        except ValueError:
            return None, False
        zone = match[8] or "Z"
        if zone != "Z":
            hours, minutes = int(zone[1:3]), int(zone[-2:])
            moment -= (1 if zone[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes)
        return moment.timestamp() + float(f"0.{match[7] or 0}"), True
    match = _CLOCK.search(text)
    if match:
        hours, minutes, whole = (int(part) for part in match.groups()[:3])
        return hours * 3600 + minutes * 60 + whole + float(f"0.{match[4] or 0}"), False
    return None, False


def in_order(events: Sequence[Event], found: Sequence[Failed]) -> list[Event]:
    """All events, those of the log that failed first before the others', numbered anew."""
    place = {one.event.source: number for number, one in enumerate(found)}
    ordered = sorted(events, key=lambda event: (place.get(event.source, len(place)), event.order))
    return [event._replace(order=number) for number, event in enumerate(ordered)]


def _rows(found: Sequence[Failed], *, comparable: bool) -> list[Row]:
    begin = found[0].seconds
    rows: list[Row] = []
    for number, one in enumerate(found):
        after = round(one.seconds - begin, 3) if comparable and one.seconds is not None and begin is not None else None
        what = shorten(one.event.text, 200)
        rank = f" (rank {one.event.rank})" if one.event.rank else ""
        when = f" at {one.time}" if one.time else ""
        later = f", {after:g} s after the first" if number and after is not None else ""
        rows.append(
            {
                "node": one.event.source,
                "rank": one.event.rank,
                "time": one.time,
                "after_s": after,
                "line": one.event.line,
                "first": number == 0 and comparable,
                "failure": what,
                "text": f"{one.event.source}{rank}{when}{later}: {what}",
            }
        )
    return rows
