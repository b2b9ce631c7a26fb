"""The texts that SGLang can raise, assert, warn or log as an error, with the releases that hold them.

Read from the syntax trees of every wheel (``data/messages.jsonl``, made by ``scripts/messages.py``). A text
found in a log tells which function printed it, and which releases can have done so.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import lru_cache

from sgldoctor.knowledge.files import read_bytes
from sgldoctor.typed import Any, NamedTuple

HOLE = "{…}"
PYTHON = ("object has no attribute", "got an unexpected keyword argument", "list index out of range")
"""What Python itself says: SGLang raises these as well, but their place and release tell nothing."""
TELLING = 20
"""A match of fewer literal characters may be a coincidence: "not supported" stands in many programs."""

BEGIN = 10
"""How many bytes of its longest literal lead to a message; no literal is shorter."""
OPENS = b'["'
"""What stands before that literal."""
STRIDE = 4096


class Message(NamedTuple):
    """One text with holes; ``spans`` are ranges of releases as indices into :func:`releases`, -1 for "still there"."""

    kind: str
    text: str
    spans: tuple[tuple[int, int], ...]
    where: str
    parts: tuple[str, ...]

    @property
    def literal(self) -> int:
        """How many characters of the text are literal."""
        return sum(map(len, self.parts))

    def in_release(self, index: int) -> bool:
        """Whether the release at ``index`` holds this text."""
        return any(first <= index and (last < 0 or index <= last) for first, last in self.spans)

    def range(self) -> str:
        """The releases in words: ``0.5.9 and later``, ``0.5.2 to 0.5.8``."""
        names = releases()
        said = [
            f"{names[first]} and later"
            if last < 0
            else names[first]
            if first == last
            else f"{names[first]} to {names[last]}"
            for first, last in self.spans
        ]
        return ", ".join(said)


@lru_cache(maxsize=1)
def _data() -> bytes:
    """The file; cutting it to lines, or parsing them, would take many times as long as reading it."""
    return read_bytes("messages.jsonl")


@lru_cache(maxsize=1)
def _marks() -> tuple[list[bytes], list[int]]:
    """How the line at every :data:`STRIDE` bytes begins, and where: lines are sorted, so these lead to any line."""
    data = _data()
    first = data.index(b"\n") + 1  # behind the head
    begins = [first, *(data.rfind(b"\n", 0, at) + 1 for at in range(first + STRIDE, len(data), STRIDE))]
    return [data[begin : begin + len(OPENS) + BEGIN] for begin in begins], begins


@lru_cache(maxsize=1)
def releases() -> tuple[str, ...]:
    """The releases that were read, oldest first."""
    return tuple(json.loads(_data()[: _marks()[1][0]])["releases"])


def _beginning(begin: bytes) -> list[int]:
    """Where lines begin with ``begin``, which is as long as the marks."""
    data = _data()
    keys, places = _marks()
    last = bisect_right(keys, begin)
    at = places[max(bisect_left(keys, begin) - 1, 0)] - 1
    end = places[last] if last < len(places) else len(data)
    found = []
    while (at := data.find(b"\n" + begin, at, end)) >= 0:
        at += 1
        found.append(at)
    return found


def matching(text: str) -> list[Message]:
    """The messages that ``text`` may be, the one with the most literal characters first."""
    # A line begins with the longest literal of its text, and lines are sorted: each place of ``text`` leads to those
    # whose first bytes stand there.
    data = _data()
    escaped = json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "replace")
    likely: set[int] = set()
    for begin in {OPENS + escaped[at : at + BEGIN] for at in range(len(escaped) - BEGIN + 1)}:
        likely.update(_beginning(begin))
    rows = [json.loads(data[at : data.find(b"\n", at)]) for at in sorted(likely)]
    found = [_message(row) for row in rows if row[0] in text]
    fitting = [
        message
        for message in found
        if message.literal >= TELLING
        and _in_order(message, text)
        and not any(words in message.text and message.literal < len(words) + TELLING // 2 for words in PYTHON)
    ]
    return sorted(fitting, key=lambda message: -message.literal)


def _message(row: list[Any]) -> Message:
    literal, kind, text, spans, where = row
    text = text or literal
    parts = tuple(part.strip() for part in text.split(HOLE) if part.strip())
    return Message(kind, text, tuple((first, last) for first, last in spans), where, parts)


def _in_order(message: Message, text: str) -> bool:
    at = 0
    for part in message.parts:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def fitting(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """The releases that hold every text that SGLang is known to print, and the texts that ruled others out.

    No release where none holds them all (several releases in one log). The same words in several functions count as one
    text: any of them may have printed it.
    """
    possible = set(range(len(releases())))
    because: list[str] = []
    for text in texts:
        messages = matching(text)
        if not messages:
            continue
        same = [message for message in messages if message.literal == messages[0].literal]
        fit = {index for index in possible if any(message.in_release(index) for message in same)}
        if fit != possible:
            because.append(messages[0].text)
        possible = fit
    return [releases()[index] for index in sorted(possible)], because
