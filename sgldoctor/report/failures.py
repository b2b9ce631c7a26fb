"""Not knowing, honestly: the failure of a log that no rule explains, with all that can be said of it."""

from __future__ import annotations

from collections.abc import Sequence

from sgldoctor.events import Event
from sgldoctor.report.model import Failure
from sgldoctor.rules.schema import Finding

FAILURES = ("exception", "exit", "compiler", "installer", "usage")
"""Kinds of event that are failures by themselves; loggers print "error" for less."""


def unexplained(events: Sequence[Event], findings: Sequence[Finding]) -> tuple[Failure, ...]:
    """The first failure of a log in which no cause was found; empty where one was, or where nothing failed.

    Of a chained traceback the inner exception counts, of several ranks the one that failed first. A failure that some
    rule knows (as a symptom, a notice, or because it was ignored) is not unexplained.
    """
    if any(finding.role == "cause" and finding.severity == "error" for finding in findings):
        return ()
    known = {event.order for finding in findings for event in finding.events}
    failed = [event for event in events if event.kind in FAILURES and event.order not in known]
    if not failed:
        return ()
    first = min(failed, key=lambda event: (FAILURES.index(event.kind) > 0, event.order))
    inner = min(
        (event for event in failed if event.chain == first.chain >= 0), key=lambda event: event.depth, default=first
    )
    message = inner.text.removeprefix(f"{inner.type}:").strip() if inner.type else inner.text
    return (Failure(inner.type, message, _place(inner), inner.line, inner.rank, inner.source, _known(inner)),)


def _known(event: Event) -> str:
    """What knowledge says of the text: which function of SGLang prints it, and in which releases."""
    from sgldoctor.knowledge.messages import matching

    messages = matching(event.text)
    if not messages:
        return ""
    best = messages[0]
    return f"a text of SGLang {best.range()}, printed by srt/{best.where}"


def _place(event: Event) -> str:
    """File and function of the innermost frame inside SGLang, else of the innermost frame at all."""
    if not event.frames:
        return ""
    ours = [frame for frame in event.frames if "sglang/" in frame.file.replace("\\", "/")]
    frame = (ours or list(event.frames))[-1]
    file = frame.file.replace("\\", "/")
    file = file[file.rindex("sglang/") :] if "sglang/" in file else file
    return f"{file}:{frame.function} (line {frame.line})"
