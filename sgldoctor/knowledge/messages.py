"""The texts that SGLang can raise, assert, warn or log as an error, with the releases that hold them.

Read from the syntax trees of every wheel (``data/messages.json``, made by ``scripts/messages.py``). A text
found in a log tells which function printed it, and which releases can have done so.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from sgldoctor.knowledge.files import read_json

HOLE = "{…}"
TELLING = 20
"""A match of fewer literal characters may be a coincidence: "not supported" stands in many programs."""


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
def _data() -> dict[str, Any]:
    found: dict[str, Any] = read_json("messages.json")
    return found


def releases() -> tuple[str, ...]:
    """The releases that were read, oldest first."""
    return tuple(_data()["releases"])


def matching(text: str) -> list[Message]:
    """The messages that ``text`` may be, the one with the most literal characters first."""
    # A row ends with its longest literal where holes divide its text: one search each rules out nearly all of 14,000.
    rows = [row for row in _data()["messages"] if (row[4] if len(row) > 4 else row[1]) in text]
    found = [_message(row) for row in rows]
    fitting = [message for message in found if message.literal >= TELLING and _in_order(message, text)]
    return sorted(fitting, key=lambda message: -message.literal)


def _message(row: list[Any]) -> Message:
    kind, text, spans, where = row[:4]
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


def fitting(texts: Iterable[str]) -> tuple[int, int, list[str]] | None:
    """The first and last release (as indices) that hold every text that SGLang is known to print, and those texts.

    None where no text is known or none of the releases holds them all (several releases in one log). The same words in
    several functions count as one text: any of them may have printed it.
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
    if not possible or not because:
        return None
    return min(possible), max(possible), because
