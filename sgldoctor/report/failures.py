"""Not knowing, honestly: the failure of a log that no rule explains, with all that can be said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sgldoctor.events import Event, Frame
from sgldoctor.report.model import Failure
from sgldoctor.rules.schema import Finding

FAILURES = ("exception", "exit", "compiler", "installer", "usage")
"""Kinds of event that are failures by themselves; loggers print "error" for less."""


def unexplained(
    events: Sequence[Event], findings: Sequence[Finding], ruled_out: Callable[[Event], str] | None = None
) -> tuple[Failure, ...]:
    """The first failure of a log in which no cause was found; empty where one was, or where nothing failed.

    Of a chained traceback the inner exception counts, of several ranks the one that failed first. A failure that some
    rule knows (as a symptom, a notice, or because it was ignored) is not unexplained. ``ruled_out`` says of an event
    which explanations do not fit.
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
    known_of = "; ".join(filter(None, (_text(inner), _function(inner))))
    out = ruled_out(inner) if ruled_out else ""
    return (Failure(inner.type, message, _place(inner), inner.line, inner.rank, inner.source, known_of, out),)


def _text(event: Event) -> str:
    """What knowledge says of the text: which function of SGLang prints it, and in which releases."""
    from sgldoctor.knowledge.messages import matching

    messages = matching(event.text)
    if not messages:
        return ""
    best = messages[0]
    return f"a text of SGLang {best.range()}, printed by srt/{best.where}"


def _function(event: Event) -> str:
    """Since when SGLang has the function that raised it, where that is not simply "always"."""
    from sgldoctor.knowledge import sources

    frame = _innermost(event)
    file = frame.file.replace("\\", "/") if frame else ""
    if frame is None or sources.ROOT not in file:
        return ""
    file = file[file.rindex(sources.ROOT) + len(sources.ROOT) :]
    spans = sources.function(file, frame.function)
    if not spans:
        return f"no release known here has {frame.function} in srt/{file}"
    newest = sources.newest()
    said = [f"{first} and later" if last == newest else first if first == last else f"{first} to {last}"
            for first, last in spans]  # fmt: skip
    return f"srt/{file} has {frame.function} in SGLang {', '.join(said)}"


def _innermost(event: Event) -> Frame | None:
    """The innermost frame inside SGLang, else the innermost at all."""
    ours = [frame for frame in event.frames if "sglang/" in frame.file.replace("\\", "/")]
    frames = ours or list(event.frames)
    return frames[-1] if frames else None


def _place(event: Event) -> str:
    """File, function and line of that frame."""
    frame = _innermost(event)
    if frame is None:
        return ""
    file = frame.file.replace("\\", "/")
    file = file[file.rindex("sglang/") :] if "sglang/" in file else file
    return f"{file}:{frame.function} (line {frame.line})"
