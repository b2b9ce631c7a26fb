"""Events of several files, one per node or rank, in the order in which they happened.

Who failed first decides, and files are named in any order. Their events are ordered by their times where these can be
compared: all with a date or none, all with a time zone or none. Else the order of the files stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sgldoctor.events import Event
from sgldoctor.lazy import lazy

_TIME = lazy(
    r"(?:(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)[T ])?(?P<hour>\d\d):(?P<minute>\d\d):"
    r"(?P<second>\d\d(?:[.,]\d{1,9})?)(?: ?(?P<zone>Z|[+-]\d\d:?\d\d))?$"
)

Moment = tuple[float, bool, bool]
"""Seconds, whether there was a date, and a time zone."""


def merge(files: Sequence[list[Event]]) -> list[Event]:
    """All events with their ``order``; those of one file keep theirs."""
    if len(files) < 2:
        return _numbered(event for events in files for event in events)
    times = [_times(events) for events in files]
    kinds = {moment[1:] for moments in times for moment in moments if moment}
    if len(kinds) != 1 or not all(any(moments) for moments in times):
        return _numbered(event for events in files for event in events)
    keyed = []
    for number, (events, moments) in enumerate(zip(files, times, strict=True)):
        now = next(moment[0] for moment in moments if moment)
        for place, (event, moment) in enumerate(zip(events, moments, strict=True)):
            now = max(now, moment[0]) if moment else now  # what has no time stands behind what was before it
            keyed.append((now, number, place, event))
    return _numbered(event for *_, event in sorted(keyed, key=lambda entry: entry[:3]))


def _numbered(events: Iterable[Event]) -> list[Event]:
    return [Event._make((*event[:3], order, *event[4:])) for order, event in enumerate(events)]


def _times(events: Sequence[Event]) -> list[Moment | None]:
    return [moment(event.time) if event.time else None for event in events]


def moment(text: str) -> Moment | None:
    """A time stamp as seconds; None for forms without hours, minutes and seconds.

    >>> moment("10:00:01")
    (36001.0, False, False)
    """
    match = _TIME.match(text)
    if match is None:
        return None
    seconds = int(match["hour"]) * 3600 + int(match["minute"]) * 60 + float(match["second"].replace(",", "."))
    if match["year"]:
        year, month = int(match["year"]), int(match["month"])
        # Days since some day, by the count of leap days: years that begin in March.
        year, month = (year - 1, month + 9) if month < 3 else (year, month - 3)
        days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + int(match["day"])
        seconds += days * 86_400.0
    zone = match["zone"]
    if zone and zone != "Z":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        seconds -= (minutes if zone[0] == "+" else -minutes) * 60
    return seconds, bool(match["year"]), bool(zone)
