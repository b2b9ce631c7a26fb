"""What is kept of an output of any length: its beginning, the first failures, its end; a few MB in all.

A server's first lines hold its launch line, release and settings, its last ones how it died, and between them, hours
earlier, may stand the first failure, of which the end is only the echo. Everything else is counted and let go.
"""

from __future__ import annotations

from collections import deque

from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple

HEAD = 1 << 20
TAIL = 4 << 20
FAILURES = 1 << 20
"""Bytes kept of the beginning, of the end, and of failures between them."""
_BEFORE, _AFTER = 4 << 10, 16 << 10
"""Bytes kept round a failure, the lines that they reach into included."""
_FAILURE = lazy(
    rb"Traceback \(most recent call last\)|\b[A-Z]\w{2,60}(?:Error|Exception|Interrupt)\b|NCCL WARN|CUDA error"
    rb"|\b[Ee]rror\b[: ]|\bERROR\b|\b[Ff]atal\b|\bFATAL\b|\b[Aa]borted\b|\b[Ss]egmentation fault\b|\b[Kk]illed\b"
    rb"|\b[Aa]ssertion\b"
)
_LITERALS = (b"rror", b"RROR", b"raceback", b"xception", b"nterrupt", b"WARN", b"atal", b"ATAL", b"bort", b"ault",
             b"illed", b"ssert")  # fmt: skip
"""One of these is in whatever the expression finds in a server's usual words; looking for them costs far less."""


class Passage(NamedTuple):
    """Consecutive lines of the output: the number of the first one, and their bytes."""

    line: int
    data: bytes


class Kept:
    """Takes an output piece by piece."""

    def __init__(self, head: int = HEAD, tail: int = TAIL, failures: int = FAILURES) -> None:
        self.size = 0
        """Bytes seen."""
        self._room = (head, tail, failures)
        self._head: list[bytes] = []
        self._head_size = 0
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._tail_line = 1  # number of the line in which the tail begins
        self._found: list[Passage] = []
        self._found_size = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        head, tail, _ = self._room
        if self._head_size < head:
            part, data = data[: head - self._head_size], data[head - self._head_size :]
            self._head.append(part)
            self._head_size += len(part)
            self._tail_line += part.count(b"\n")
            if not data:
                return
        if self._tail and len(self._tail[-1]) < 1 << 14:  # a server prints small pieces: few large ones cost less
            self._tail[-1] += data
        else:
            self._tail.append(data)
        self._tail_size += len(data)
        while self._tail_size - len(self._tail[0]) >= tail:
            self._let_go(self._tail.popleft())

    def passages(self) -> list[Passage]:
        """What is kept, in order; where nothing had to go, one passage with all of it."""
        head, tail = b"".join(self._head), b"".join(self._tail)
        if not tail:
            return [Passage(1, head)]
        if head.count(b"\n") + 1 == self._tail_line and self._head_size + self._tail_size == self.size:
            return [Passage(1, head + tail)]
        return [Passage(1, head), *self._found, Passage(self._tail_line, tail)]

    def last_line(self) -> bytes:
        """The last line that says something."""
        last = b"".join(self._tail)[-8192:] or b"".join(self._head)[-8192:]
        lines = [line for line in last.replace(b"\r", b"\n").split(b"\n") if line.strip()]
        return lines[-1] if lines else b""

    def _let_go(self, data: bytes) -> None:
        """Forget a piece of the middle, but for the failures in it."""
        self._tail_size -= len(data)
        room, at = self._room[2], 0
        likely = self._found_size < room and any(literal in data for literal in _LITERALS)
        while likely and self._found_size < room and (match := _FAILURE.search(data, at)):
            start = data.rfind(b"\n", 0, max(at, match.start() - _BEFORE)) + 1 if match.start() > _BEFORE else 0
            start = max(start, at)
            stop = data.find(b"\n", match.end() + _AFTER) + 1 or len(data)
            self._found.append(Passage(self._tail_line + data.count(b"\n", 0, start), data[start:stop]))
            self._found_size += stop - start
            at = stop
        self._tail_line += data.count(b"\n")


def text_of(passages: list[Passage]) -> tuple[bytes, list[tuple[int, int]]]:
    """The passages as one log, and where in it they begin: (line in the log, line of the output) of each."""
    parts: list[bytes] = []
    starts: list[tuple[int, int]] = []
    line = 1
    for passage in passages:
        data = passage.data if passage.data.endswith(b"\n") or passage is passages[-1] else passage.data + b"\n"
        starts.append((line, passage.line))
        parts.append(data)
        line += data.count(b"\n")
    return b"".join(parts), starts


def line_of(line: int, starts: list[tuple[int, int]]) -> int:
    """The line of the output that a line of :func:`text_of` is."""
    for begin, true in reversed(starts):
        if line >= begin:
            return line - begin + true
    return line
