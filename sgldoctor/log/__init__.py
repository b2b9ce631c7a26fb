"""Reading a log: text to events and facts.

The pipeline is the file list: blocks (bytes), search (the places worth reading in a large log), lines (without their
wrapping), tracebacks and events, pasted (facts that people paste along), merge (several files in order of time).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sgldoctor.events import Event
from sgldoctor.facts import Facts
from sgldoctor.lazy import lazy
from sgldoctor.log.blocks import blocks, plain
from sgldoctor.log.claims import titles_last
from sgldoctor.log.document import clean
from sgldoctor.log.events import events
from sgldoctor.log.merge import merge
from sgldoctor.log.pasted import collect
from sgldoctor.log.search import Selection, select
from sgldoctor.typed import BinaryIO, NamedTuple

__all__ = ["Event", "Reading", "read"]


_SAMPLE, _SAMPLED = 4096, 64
"""Bytes and lines at the beginning by which text is told from other data."""
_OWN = lazy(rb'\s*\{\s*"schema":\s*"sgldoctor\.([a-z-]{1,20})/')
_READ_BY = {b"snapshot": "; 'sgldoctor check --snapshot' judges it"}
_TEXT = bytes(code for code in range(256) if code >= 32 or code in b"\a\b\t\n\v\f\r\x1b")


class Reading(NamedTuple):
    """What was read: the events of all files in order, and the facts found in their text (source ``log``)."""

    events: list[Event]
    facts: Facts


def read(
    paths: Sequence[str], anchors: Sequence[bytes], witnesses: Sequence[bytes] = (), *, stdin: BinaryIO | None = None
) -> Reading:
    """Read logs.

    Args:
        paths: files, ``-`` for standard input.
        anchors: literals (at least 4 bytes each) that rules look for; large logs are searched for them.
        witnesses: literals of which rules only ask whether they occur at all.
        stdin: what ``-`` reads, by default the process's standard input.

    Raises:
        InputError: a path cannot be read.
    """
    facts = Facts()
    found: list[list[Event]] = []
    chains = itertools.count()
    for path in paths:
        selection = _selected(path, anchors, witnesses, stdin)
        lines = clean(selection.lines)
        of_file = events(lines, path, chains)
        collect(lines, of_file, facts)
        found.append(titles_last(of_file))
        row = {"name": path, "lines": selection.total, "bytes": selection.size, "truncated": not selection.whole}
        facts.put("log", row, "log")
        if because := _no_log(path, selection):
            facts.put_unknown("log", because, essential=len(paths) == 1)
    return Reading(merge(found), facts)


def _selected(path: str, anchors: Sequence[bytes], witnesses: Sequence[bytes], stdin: BinaryIO | None) -> Selection:
    file = plain(path)
    if file is None:
        return select(blocks(path, stdin=stdin), anchors, witnesses)
    try:
        return select(file.rest(), anchors, witnesses, file=file)
    finally:
        file.close()


def _no_log(path: str, selection: Selection) -> str:
    """Why nothing can be told from what was read: it is empty, or no text; an empty text where it is a log."""
    name = "standard input" if path == "-" else path
    if not selection.size:
        aside = "; a log that goes to standard error comes along with 2>&1" if path == "-" else ""
        return f"{name} is empty{aside}"
    sample = b"\n".join(line[:_SAMPLE] for _, line in selection.lines[:_SAMPLED])[:_SAMPLE]
    if own := _OWN.match(sample):
        return f"{name} is no log but a {own[1].decode()} of sgldoctor{_READ_BY.get(own[1], '')}"
    strange = len(sample.translate(None, _TEXT))
    return f"{name} is not text" if strange > len(sample) // 20 else ""
