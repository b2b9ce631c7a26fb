"""The last line of a log, cut off in its middle: which rule its message would have met, where only one cause begins so.

Terminals, pagers and pastes end where they end: ``RuntimeError: CUDA out of mem``. A rule's pattern is met by such a
line if a beginning of the pattern reaches the end of the text, inside a word, over enough letters that the pattern
itself writes down. Where patterns of different causes begin alike, nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sgldoctor.events import Event
from sgldoctor.facts import Facts
from sgldoctor.rules.base import RuleBase
from sgldoctor.rules.limit import TimedOut, search
from sgldoctor.rules.schema import Finding, LogMatch, Rule
from sgldoctor.rules.select import add, event_evidence, fits_place, standing
from sgldoctor.typed import Any, NamedTuple

LETTERS = 12
"""Letters of the pattern itself that a cut line must show."""
MARGIN = 4
"""By how many letters a rule must be met better than the rules of all other causes."""
OVERLAP = 8
"""Letters of an anchor at the end of a text from which on its rules are looked at."""
TITLE = 240
"""Titles of threads end after 256 characters, in the middle of a word or not."""
ELLIPSES = ("…", "...")
SAID = " (its line is cut off)"
OPEN = "([{<'\"`=:,/-_"
"""Letters at which no text ends."""
NEVER = "(?!)"

_OPENING = re.compile(r"[A-Za-z' ,]{7}")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))(?P<inner>.*)\)\Z", re.DOTALL)
_QUANTIFIER = re.compile(r"[?*+]\??|\{\d*,?\d*\}\??")
_SPECIAL = frozenset(r"\.^$*+?{}[]()|")


class _Begun(NamedTuple):
    """A rule whose message begins as the cut line ends."""

    rule: Rule
    params: dict[str, Any]
    letters: int
    words: str


def cut_lines(events: Sequence[Event]) -> list[Event]:
    """The events that may be cut off: the last one of each file, a title of full length, a text that ends in "...".

    Only what tells of a failure is of interest.
    """
    last = {event.source: event for event in sorted(events, key=lambda event: max(event.end, event.line))}
    found = []
    for event in events:
        if event.kind not in ("exception", "error", "exit", "compiler") or not event.text or _frames_only(event):
            continue
        text = event.text.rstrip()
        ends = text.endswith(ELLIPSES)
        if ends or event is last[event.source] or (text.startswith("# ") and len(text) >= TITLE):
            found.append(event._replace(text=text.rstrip("….") if ends else text))
    return found


def _frames_only(event: Event) -> bool:
    return event.text.startswith("Traceback cut off")


def cut(
    facts: Facts, events: Sequence[Event], rules: Sequence[Rule], holds: Callable[[dict[str, str]], bool | None]
) -> list[Finding]:
    """What the cut lines of a log would have said, each a finding of low confidence; empty where that is not plain."""
    base = RuleBase.of(rules)
    findings: dict[tuple[str, str], Finding] = {}
    for event in cut_lines(events):
        best = _best(event, base, holds)
        if best:
            rule = best.rule._replace(confidence="low", title=f"{best.rule.title}{SAID}")
            params = {**standing(rule.when), **best.params}
            add(findings, rule, params, facts, event_evidence(event, best.words), event=event)
    return list(findings.values())


def _best(event: Event, base: RuleBase, holds: Callable[[dict[str, str]], bool | None]) -> _Begun | None:
    """The rule that a cut line meets best, unless one of another cause is met about as well."""
    begun: list[_Begun] = []
    there = base.present(event.text)
    for rule in base:
        if rule.role != "cause" or rule.severity != "error" or rule.needs:
            continue
        met = [
            found for match in rule.logs if _likely(match, event.text, there) and (found := _met(match, rule, event))
        ]
        if met and not (rule.when and holds(rule.when) is False):
            begun.append(max(met, key=lambda found: found.letters))
    if not begun:
        return None
    best = max(begun, key=lambda found: found.letters)
    others = max((found.letters for found in begun if found.rule.cause != best.rule.cause), default=0)
    return best if others <= best.letters - MARGIN else None


def _likely(match: LogMatch, text: str, there: set[str]) -> bool:
    """Whether a match is worth a closer look: its anchor, or a beginning of it or of its pattern, stands there."""
    if match.anchor in there or overlap(text, match.anchor) >= OVERLAP:
        return True
    opening = _OPENING.match(match.pattern)
    return opening is not None and opening[0] in text


def overlap(text: str, anchor: str) -> int:
    """How many of its first letters, but not all, an anchor shares with the end of a text."""
    return next((size for size in range(min(len(anchor) - 1, len(text)), 0, -1) if text.endswith(anchor[:size])), 0)


def _met(match: LogMatch, rule: Rule, event: Event) -> _Begun | None:
    if event.kind not in match.kinds or not fits_place(match, event) or match.also or match.never:
        return None
    try:
        if match.unless and search(re.compile(match.unless), event.text):
            return None
        if not match.pattern:
            size = overlap(event.text, match.anchor)
            broken = size >= LETTERS and breaks(match.anchor[:size], match.anchor[size:])
            return _Begun(rule, {}, size, match.anchor[:size]) if broken else None
        found, letters = begins(match.pattern, event.text)
    except TimedOut:
        return None
    if found is None or letters < LETTERS:
        return None
    params = {
        name: f"{value.strip()}…" if found.end(name) == len(event.text) else value.strip()
        for name, value in found.groupdict().items()
        if value and name != "cut"
    }
    return _Begun(rule, params, letters, found[0])


def begins(pattern: str, text: str) -> tuple[re.Match[str] | None, int]:
    """The match of the longest beginning of ``pattern`` that reaches the end of ``text``, and its plain letters."""
    best: re.Match[str] | None = None
    letters = 0
    for parts in branches(pattern):
        for index in range(len(parts) - 1, -1, -1):
            head = "".join(part for part, _ in parts[:index])
            shown = sum(plain for _, plain in parts[:index])
            # What follows a name that is cut could be anything, so only plain text may be cut.
            found = None
            for end, more in _cuts(*parts[index]):
                try:
                    found = search(re.compile(f"{head}{end}\\Z", re.DOTALL), text)
                except re.error:  # a reference to a group that is not there any more
                    continue
                if found:
                    more += len(found["cut"])
                    if shown + more > letters:
                        best, letters = found, shown + more
                    break
            if found:
                break
    return best, letters


def _cuts(part: str, plain: int) -> Iterator[tuple[str, int]]:
    """The ways to cut a part in its plain text, which may stand in a group, and the plain letters before that text."""
    if plain:
        yield _shortened(part), 0
    group = _GROUP.match(part)
    if group is None:
        return
    for parts in branches(group["inner"]):
        for index in range(len(parts) - 1, -1, -1):
            before = "".join(text for text, _ in parts[:index])
            for end, more in _cuts(*parts[index]):
                yield before + end, more + sum(letters for _, letters in parts[:index])


def _shortened(run: str) -> str:
    """A group ``cut`` that takes the beginnings of a run of plain letters at which no text ends, the longest first."""
    units = _units(run)
    sizes = [size for size in range(len(units), 0, -1) if breaks("".join(units[:size]), "".join(units[size:]))]
    return f"(?P<cut>{'|'.join(''.join(units[:size]) for size in sizes) or NEVER})"


def breaks(before: str, after: str) -> bool:
    """Whether a text that ends between these two is broken there: inside a word, or where something must follow."""
    return before[-1] in OPEN or (before[-1].isalnum() and after[:1].isalnum())


def _units(run: str) -> list[str]:
    return re.findall(r"\\.|[^\\]", run, re.DOTALL)


def branches(pattern: str) -> list[list[tuple[str, int]]]:
    """The alternatives of a pattern, each as its parts in order: the part, and its letters if it is plain text."""
    found: list[list[tuple[str, int]]] = [[]]
    at = 0
    while at < len(pattern):
        end, plain = _part(pattern, at)
        if pattern[at] == "|":
            found.append([])
            at = end
            continue
        quantifier = _QUANTIFIER.match(pattern, end)
        if quantifier:
            end, plain = quantifier.end(), False
        part = pattern[at:end]
        held = found[-1]
        if plain and held and held[-1][1]:
            held[-1] = (held[-1][0] + part, held[-1][1] + 1)
        else:
            held.append((part, 1 if plain else 0))
        at = end
    return found


def _part(pattern: str, at: int) -> tuple[int, bool]:
    """Where the part that begins at ``at`` ends, and whether it is one plain letter."""
    char = pattern[at]
    if char == "\\":
        code = re.match(r"\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}", pattern[at:])
        size = len(code[0]) if code else 2
        return at + size, not code and not pattern[at + 1].isalnum()
    if char == "[":
        end = at + (2 if pattern[at + 1] == "^" else 1)
        end += pattern[end] == "]"
        while pattern[end] != "]":
            end += 2 if pattern[end] == "\\" else 1
        return end + 1, False
    if char == "(":
        end = at + 1
        while pattern[end] != ")":
            end = _part(pattern, end)[0]
        return end + 1, False
    return at + 1, char not in _SPECIAL
