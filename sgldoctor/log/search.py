r"""The places worth reading in a large log, found in one pass over its bytes and in constant memory.

A small log is kept whole. Of a larger one, lines with an anchor (a literal that some rule or the reader itself looks
for) are kept with their surroundings, and the beginning and the end. Logs of servers repeat themselves: an engine
looks at each *shape* of line only once (a line without digits and hex letters), and a shape that was kept many times
is not kept again. Line numbers count ``\n``; a line of megabytes is cut to pieces round its anchors.

An engine is a function from a block of whole lines to the offsets of interesting places in it; another one can be
handed to :func:`select` as long as it finds at least the anchors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

WHOLE = 512 << 10
"""Bytes up to which a log is kept whole."""
ENDS = 64 << 10
"""Bytes kept of the beginning and of the end of a large log."""
KEPT = 2 << 20
"""Bytes of passages kept; past half of it, only shapes that were not seen before are added."""
LONG = 32 << 10
"""A line longer than this is cut to pieces round its anchors."""
WINDOW = 4 << 10
"""Bytes kept on each side of an anchor in such a line."""
BEFORE, AFTER = 3, 14
"""Lines kept round the first line of its shape that has an anchor."""
OFTEN, REPEATS = 3, 20
"""How often a shape of line is kept with a little of its surroundings, and at all."""
SEEN_BYTES = 4 << 20
SEEN_LINE = 300

STRUCTURE: tuple[bytes, ...] = (
    b"Traceback (most recent", b'  File "', b"Error", b"error:", b"Exception", b"ERROR", b"FATAL", b"CRITICAL", b"fatal:",
    b"fatal error", b"Fatal", b"NCCL WARN", b"Killed", b"Segmentation", b"core dumped", b"ServerArgs(", b"launch_server",
    b"sglang serve", b"CUDA available", b"Driver Version", b"river version", b"Ignore import", b"terminate called",
    b"xit code", b"xitcode", b"xit status", b"direct cause", b"using nccl==", b"NCCL version", b"PyTorch version",
    b"PyTorch:", b"oom-kill",
)  # fmt: skip
"""What the reader itself looks for, beside the rules' anchors: where tracebacks, deaths and pasted facts begin."""

_HEX = b"0123456789abcdef"

Engine = Callable[[bytes], Iterable[int]]


class Selection(NamedTuple):
    """The kept ``(number, line)`` pairs in order, the number of lines and bytes read; ``whole`` where nothing was left out."""

    lines: list[tuple[int, bytes]]
    total: int
    size: int
    whole: bool


def select(blocks: Iterable[bytes], anchors: Sequence[bytes], engine: Engine | None = None) -> Selection:
    """Read all blocks and keep what is worth parsing; of a log of at most :data:`WHOLE` bytes, everything."""
    stream = iter(blocks)
    held: list[bytes] = []
    size = 0
    for block in stream:
        held.append(block)
        size += len(block)
        if size > WHOLE:
            break
    literals = tuple(dict.fromkeys((*STRUCTURE, *(a for a in anchors if len(a) >= 4))))
    if size <= WHOLE:
        return _whole(b"".join(held), literals)
    return _large(_chain(b"".join(held), stream), literals, engine or templates(literals))


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    for start in range(0, len(first), WHOLE // 2):
        yield first[start : start + WHOLE // 2]
    yield from rest


def _whole(data: bytes, literals: Sequence[bytes]) -> Selection:
    lines: list[tuple[int, bytes]] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if len(line) <= LONG:
            lines.append((number, line))
        else:
            lines += ((number, piece) for piece in pieces(line, literals))
    if lines and not lines[-1][1]:
        lines.pop()
    return Selection(lines, data.count(b"\n") + (not data.endswith(b"\n") and bool(data)), len(data), whole=True)


def pieces(line: bytes, literals: Sequence[bytes]) -> list[bytes]:
    r"""A long line as its beginning, its end, and windows round its anchors, cut at ``\r`` where there is one."""
    spans = [(0, WINDOW), (len(line) - WINDOW, len(line))]
    if line.find(b"ServerArgs(") >= 0:
        begin = line.find(b"ServerArgs(")
        spans.append((begin, begin + LONG))
    for literal in literals:
        at = line.find(literal)
        for _ in range(REPEATS):
            if at < 0:
                break
            left = max(line.rfind(b"\r", at - WINDOW, at) + 1, at - WINDOW, 0) if at else 0
            right = line.find(b"\r", at, at + WINDOW)
            spans.append((left, right if right >= 0 else min(at + WINDOW, len(line))))
            at = line.find(literal, spans[-1][1])
    spans.sort()
    merged: list[list[int]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1] and end - merged[-1][0] <= LONG:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([max(begin, merged[-1][1] if merged else 0), end])
    return [line[begin:end] for begin, end in merged if begin < end]


def templates(literals: Sequence[bytes]) -> Engine:
    """The engine of the standard library: search each shape of line once, then only count it.

    Sound because an anchor that is in a line is, stripped of digits and hex letters, in the stripped line.
    """
    stripped: dict[bytes, list[bytes]] = {}
    for literal in literals:
        stripped.setdefault(literal.translate(None, _HEX), []).append(literal)
    short = [literal for key, group in stripped.items() if len(key) < 3 for literal in group]
    shapes = [key for key in stripped if len(key) >= 3]
    seen: set[bytes] = set()
    hot: dict[bytes, int] = {}
    used = 0

    def find(block: bytes) -> Iterable[int]:
        nonlocal used
        shape = block.translate(None, _HEX).split(b"\n")
        new = set(shape)
        new -= seen
        new.difference_update(hot)
        if new:
            text = b"\n".join(new)
            present = [key for key in shapes if key in text]
            for line in new:
                for key in present:
                    if key in line:
                        hot[line] = 0
                        break
                else:
                    if len(line) < SEEN_LINE and used < SEEN_BYTES:
                        seen.add(line)
                        used += len(line) + 50
        offsets = _raw(block, short)
        if not hot.keys().isdisjoint(shape):
            raws = block.split(b"\n")
            begins = list(accumulate(map(len, raws), initial=0))
            for index in [index for index, line in enumerate(shape) if line in hot]:
                if any(literal in raws[index] for literal in literals):
                    offsets.append(begins[index] + index)
                line = shape[index]
                hot[line] = hot.get(line, 0) + 1
            for line in [line for line, count in hot.items() if count >= REPEATS]:
                del hot[line]
                if len(line) < SEEN_LINE:
                    seen.add(line)
            if len(hot) > 20_000:  # a log of ever new failures: forget, do not grow
                hot.clear()
        return offsets

    return find


def _raw(block: bytes, literals: Sequence[bytes]) -> list[int]:
    offsets: list[int] = []
    for literal in literals:
        at = block.find(literal)
        while at >= 0 and len(offsets) < REPEATS:
            offsets.append(at)
            at = block.find(literal, at + len(literal))
    return offsets


def _large(blocks: Iterable[bytes], literals: Sequence[bytes], engine: Engine) -> Selection:
    keep = _Keeper()
    number, size = 1, 0
    carry = b""
    longest = max(len(literal) for literal in literals)
    tail: list[tuple[int, bytes]] = []
    for block in blocks:
        size += len(block)
        data = carry + block if carry else block
        cut = data.rfind(b"\n") + 1
        if cut:
            number = keep.chunk(data[:cut], number, engine, literals)
            tail = [*tail[-1:], (number, data[:cut])]
            carry = data[cut:]
        else:
            carry = data
        if len(carry) > 2 * WHOLE:  # a line without an end: take out what it has, go on with its last bytes
            for piece in pieces(carry, literals):
                keep.add(number, piece)
            carry = carry[-longest - WINDOW :]
    if carry:
        keep.chunk(carry, number, engine, literals)
        tail = [*tail[-1:], (number + 1, carry)]
        number += 1
    keep.last(tail, literals)
    return Selection(keep.sorted(), number - 1, size, whole=False)


class _Keeper:
    """The passages kept so far."""

    def __init__(self) -> None:
        self.lines: dict[tuple[int, int], bytes] = {}
        self.size = 0
        self.context: list[bytes] = []
        self.after = 0
        self.shapes: dict[bytes, int] = {}

    def chunk(self, data: bytes, number: int, engine: Engine, literals: Sequence[bytes]) -> int:
        """Take a block of whole lines that begins with line ``number``; returns the number of the line after it."""
        lines = data.split(b"\n")
        if data.endswith(b"\n"):
            lines.pop()
        wanted = self._wanted(data, lines, number, engine)
        for index in sorted(wanted):
            if index < 0:
                self.put(number + index, self.context[index], literals)
            else:
                self.put(number + index, lines[index], literals)
        self.context = [*self.context, *lines[-BEFORE:]][-BEFORE:]
        return number + len(lines)

    def _wanted(self, data: bytes, lines: list[bytes], number: int, engine: Engine) -> set[int]:
        wanted: set[int] = set(range(min(self.after, len(lines))))
        self.after = max(0, self.after - len(lines))
        if number == 1:
            wanted |= set(_within(lines, ENDS))
        offsets = sorted(engine(data))
        if not offsets or self.size > 2 * KEPT:
            return wanted
        at, index, last = 0, 0, -1
        first = -min(len(self.context), number - 1)
        for offset in offsets:
            index += data.count(b"\n", at, offset)
            at = offset
            if index == last or index >= len(lines):
                continue
            last = index
            before, after = self._room(lines[index])
            if after:
                wanted.update(range(max(index - before, first), min(index + after, len(lines))))
                self.after = max(self.after, index + after - len(lines))
        return wanted

    def _room(self, line: bytes) -> tuple[int, int]:
        """How many lines before and from this one on are kept: fewer, the more often its shape was kept already."""
        long = len(line) > 4 * SEEN_LINE  # a dump of a request or of arguments: unique, so known by its beginning
        shape = line.translate(None, _HEX)[: 45 if long else SEEN_LINE]
        count = self.shapes.get(shape, 0)
        if count >= REPEATS or len(self.shapes) > 20_000:
            return 0, 0
        self.shapes[shape] = count + 1
        if self.size > KEPT:
            return (0, OFTEN) if count == 0 else (0, 0)
        if count == 0:
            return (0, 1) if long else (BEFORE, AFTER)
        if self.size > KEPT // 2:
            return 0, 0
        return (1, OFTEN) if count < OFTEN else (0, 1)

    def put(self, number: int, line: bytes, literals: Sequence[bytes]) -> None:
        """Keep one whole line."""
        if (number, 0) in self.lines:
            return
        for part, piece in enumerate(pieces(line, literals) if len(line) > LONG else (line,)):
            self.lines[number, part] = piece
            self.size += len(piece) + 50

    def add(self, number: int, piece: bytes) -> None:
        """Keep one piece of a line that never ends, if there is room."""
        if self.size < KEPT and piece not in self.lines.values():
            self.lines[number, len(self.lines)] = piece
            self.size += len(piece) + 50

    def last(self, tail: list[tuple[int, bytes]], literals: Sequence[bytes]) -> None:
        """Keep the end of the log: blocks with the number of the line after each."""
        room = ENDS
        for after, data in reversed(tail):
            lines = data.split(b"\n")
            if data.endswith(b"\n"):
                lines.pop()
            for index in range(len(lines) - 1, -1, -1):
                room -= len(lines[index]) + 1
                if room < 0:
                    return
                self.put(after - len(lines) + index, lines[index], literals)

    def sorted(self) -> list[tuple[int, bytes]]:
        """Everything kept, in the order of the file."""
        return [(number, self.lines[number, part]) for number, part in sorted(self.lines)]


def _within(lines: list[bytes], room: int) -> Iterator[int]:
    """Indices of the first lines that fit into ``room`` bytes."""
    for index, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return
        yield index
