"""Lines to events: one reader per channel, then everything back in the order of the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from sgldoctor.events import Event
from sgldoctor.lazy import lazy
from sgldoctor.log.channel import Channel
from sgldoctor.log.lines import Line

_DIGITS = lazy(r"\d+")


def events(lines: Iterable[Line], source: str, chains: Iterator[int] | None = None) -> list[Event]:
    """The events of one file, in the order of their lines; ``order`` is left to whoever joins the files.

    Lines of different channels (torchrun's ranks, Ray's actors, containers) are read apart, since processes that share
    a terminal interleave their tracebacks.
    """
    chains = itertools.count() if chains is None else chains
    channels: dict[str, Channel] = {}
    for line in lines:
        channel = channels.get(line.channel)
        if channel is None:
            channel = channels[line.channel] = Channel(source, chains)
        if line.gap:
            for other in channels.values():
                other.close(cut=True)
        channel.feed(line)
    for channel in channels.values():
        channel.close()
    found = [event for channel in channels.values() for event in channel.events]
    if len(channels) > 1:
        found.sort(key=lambda event: event.line)
    return found


def newest_first(lines: list[Line]) -> bool:
    """Whether a log viewer printed the newest line first: nearly every line has a time, and times only fall."""
    times = [line.time for line in lines if line.time]
    if len(times) < 3 or len(times) * 10 < len(lines) * 9:
        return False
    shape = _DIGITS.sub("0", times[0][:19])
    if any(_DIGITS.sub("0", time[:19]) != shape for time in times):
        return False
    falls = 0
    for before, after in itertools.pairwise(times):
        if after > before:
            return False
        falls += after < before
    return falls >= 2
