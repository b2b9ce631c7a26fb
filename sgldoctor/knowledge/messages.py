"""The texts that SGLang can raise, assert, warn or log as an error, with the releases that hold them.

Read from the syntax trees of every wheel (``data/messages.jsonl``, made by ``scripts/messages.py``). A text
found in a log tells which function printed it, and which releases can have done so.
"""

from __future__ import annotations

import json
from bisect import bisect_left
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
def _lines() -> list[bytes]:
    """The lines of the file; decoding and parsing them all would take ten times as long as reading them."""
    return read_bytes("messages.jsonl").split(b"\n")


@lru_cache(maxsize=1)
def releases() -> tuple[str, ...]:
    """The releases that were read, oldest first."""
    return tuple(json.loads(_lines()[0])["releases"])


def matching(text: str) -> list[Message]:
    """The messages that ``text`` may be, the one with the most literal characters first."""
    # A line begins with the longest literal of its text, and lines are sorted: each place of ``text`` leads to those
    # whose first bytes stand there.
    lines = _lines()
    escaped = json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "replace")
    likely: set[int] = set()
    for begin in {b'["' + escaped[at : at + BEGIN] for at in range(len(escaped) - BEGIN + 1)}:
        index = bisect_left(lines, begin, 1)
        while index < len(lines) and lines[index].startswith(begin):
            likely.add(index)
            index += 1
    rows = [json.loads(lines[index]) for index in sorted(likely)]
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
