"""What people say of a failure in a title or in prose, where the log itself shows nothing better.

Issue threads often paste a log whose last line is cut off, and quote that line in the title, between backticks or in
a sentence. Such a line is a *claim*: less than evidence, so only particular rules may use it, only where nothing else
in the log names a cause, and what they find is less sure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sgldoctor.events import Event
from sgldoctor.lazy import lazy
from sgldoctor.log.classify import exception
from sgldoctor.log.prose import cured, wish

LINES = 400
"""Lines of prose that are looked at: threads are short; what is longer is a log, and speaks for itself."""
TITLE = 3
"""The last line in which a title may stand: a command may be pasted above it."""
SAID = ("line", "error", "exception")
"""Kinds of event that prose may take for: what an installer, a compiler or a logger says, they say themselves."""
LONG = 1200
"""A line of more characters is no sentence."""

_TAGS = lazy(r"^#{1,6} +(?:\W{0,3}\[[^\]\n]{1,40}\]:?\s{0,3}){0,4}")
_FAILS = lazy(
    r"\b(?:errors?|assertions?|fail(?:s|ed|ing|ure)?|crash(?:es|ed|ing)?|exception|rais(?:es|ed)|throws?|threw|throwing|traceback|"
    r"can ?not|can't|could not|couldn't|unable to|not found|missing|outdated|incomplete|wrong|stale|instead of|"
    r"unsupported|not supported|does(?: no|n')t work|undefined|invalid|refuse[sd]?|abort(?:s|ed)?|unrecognized|"
    r"mismatch|incompatible|not (?:a|an|available|installed|defined|implemented|compatible|serializable)|no such|"
    r"no module|has no attribute|is not (?:subscriptable|iterable|callable)|"
    r"must (?:be|match)|requires?d?|conflicts?)\b|[a-z](?:error|exception)\b",
)
_TYPE = lazy(r"(?<![\w.])(?:[A-Za-z_]\w{0,60}\.){0,8}(?P<type>[A-Z]\w{0,60}(?:Error|Exception))\b")
_UNTYPED = (
    (lazy(r"'\w{1,80}' object has no attribute '\w{1,80}'|^module '[\w.]{1,80}' has no attribute '"), "AttributeError"),
    (lazy(r"\bNo module named '[\w.]{1,80}'"), "ModuleNotFoundError"),
    (lazy(r"\bcannot import name '\w{1,80}' from "), "ImportError"),
    (lazy(r"\w\(\) (?:got an unexpected keyword|missing \d{1,2} required|takes \d{1,2} positional)"), "TypeError"),
    (lazy(r"'\w{1,40}' object is not (?:subscriptable|iterable|callable)\b"), "TypeError"),
    (lazy(r"\bcannot access local variable '|\blocal variable '\w{1,60}' referenced before"), "UnboundLocalError"),
    (lazy(r"\bThe size of tensor a \(|\bSizes of tensors must match\b"), "RuntimeError"),
)
"""Messages of Python and torch that belong to one type: people quote them without it."""
_BULLETS = lazy(r"^(?:\s|[-*•>|#]|\d{1,2}[.)] )+")


def is_title(event: Event) -> bool:
    """Whether an event is the title of an issue: a Markdown heading in the first lines of the text."""
    return event.line <= TITLE and event.text.startswith("# ")


def titles_last(events: Sequence[Event]) -> list[Event]:
    """The events with the title at the end: it was written after everything that it tells of.

    The title of a change or a wish is left out: the errors in it are nobody's.
    """
    first = next((index for index, event in enumerate(events[:TITLE]) if not event.text.startswith("$ ")), 0)
    if events and is_title(events[first]):
        title = [] if wish(events[first].text) else [events[first]]
        return [*events[:first], *events[first + 1 :], *title]
    return list(events)


def claims(events: Sequence[Event]) -> list[Event]:
    """The claims of a text, as events of kind ``claim`` with the order and the line of what they stand in.

    What a title or a sentence says by a traceback that was cut off is what that traceback lacks: together they are an
    exception.
    """
    found: list[Event] = []
    cut = [event for event in events if event.text.startswith("Traceback cut off ") and event.kind == "exception"]
    whole = any(event.kind == "exception" and event.frames and event.type for event in events)
    before = ""
    below = 0  # the line under a warning or an installer's message belongs to it
    for event in events[:LINES]:
        text = event.text.strip()
        if event.kind == "exception" and event.type and not event.frames and cut and not whole and not is_title(event):
            found.append(event._replace(frames=cut[0].frames))  # the last line of another rank's traceback, most often
            before = ""
            continue
        if event.kind not in SAID or (event.line == below and event.kind == "line"):
            before, below = "", max(event.end, event.line) + 1
            continue
        if event.time or event.rank or event.frames or len(text) > LONG:
            before = ""
            continue
        title = is_title(event)
        if title:
            if wish(text):
                return []
            text = _TAGS.sub("", text)
        elif text.startswith("#"):
            before = ""
            continue
        if event.kind == "exception" and not title:
            before = ""
            continue
        told = _told(text, before, title=title)
        before = text
        if not told:
            continue
        named = exception(told) or _TYPE.search(told)
        kind = named["type"].rpartition(".")[2] if named else ""
        if not kind:
            kind = next((type_ for pattern, type_ in _UNTYPED if pattern.search(told.replace('"', "'"))), "")
            told = f"{kind}: {told}" if kind else told
        claim = event._replace(kind="claim", text=told, type=kind)
        if kind and cut and not whole:
            claim = claim._replace(kind="exception", frames=cut[0].frames)
        found.append(claim)
    return found


def _told(text: str, before: str, *, title: bool) -> str:
    """What a line claims, without list marks and quotes; empty where it claims nothing."""
    plain = _BULLETS.sub("", text).strip("`* ")
    plain = plain[1:-1] if plain[:1] in "'\"" and plain[:1] == plain[-1:] else plain
    if len(plain) < 12 or cured(plain) or (before.endswith(":") and cured(before[-200:])):
        return ""
    led = before.endswith(":") and _FAILS.search(before.lower()) is not None
    return plain.replace("`", "'") if title or led or _FAILS.search(plain.lower()) else ""


def imports(events: Sequence[Event], rows: Iterable[dict[str, object]]) -> list[Event]:
    """The events, with the failed import of the launched model as the exception that SGLang only warned of.

    ``rows``: of ``log.ignored_import``. What the warning says behind the module's name is an exception's message.
    """
    wanted = {row.get("line"): str(row.get("error") or "") for row in rows if row.get("wanted") is True}
    if not wanted:
        return list(events)
    out: list[Event] = []
    for event in events:
        error = wanted.get(event.line)
        if error and event.kind == "warning" and event.text.startswith("Ignore import"):
            named = exception(error)
            kind = named["type"] if named else "CalledProcessError" if error.startswith("Command '") else "ImportError"
            text = error if named else f"{kind}: {error}"
            event = event._replace(kind="exception", text=text, type=kind.rpartition(".")[2])
        out.append(event)
    return out
