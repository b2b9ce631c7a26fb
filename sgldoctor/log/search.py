r"""The places worth reading in a large log, found in one pass over its bytes and in constant memory.

A small log is kept whole. Of a larger one, lines with an anchor (a literal that some rule or the reader itself looks
for) are kept with their surroundings, and the beginning and the end. Logs of servers repeat themselves: an engine
looks at each *shape* of line only once (a line without digits and hex letters), and a shape that was kept many times
is not kept again. Line numbers count ``\n``; a line of megabytes is cut to pieces round its anchors.

An engine is a function from a block of whole lines to the offsets of interesting places in it; another one can be
handed to :func:`select` as long as it finds at least the anchors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

WHOLE = 512 << 10
"""Bytes up to which a log is kept whole."""
GATHERED = 64 << 10
"""Bytes that are searched at once, at least."""
ENDS = 64 << 10
"""Bytes kept of the beginning and of the end of a large log."""
KEPT = 2 << 20
"""Bytes of passages kept; past half of it, only shapes that were not seen before are added."""
LONG = 8 << 10
"""A line longer than this is cut to pieces round its anchors: no event carries more."""
DUMP = 32 << 10
"""Bytes kept of a ``ServerArgs(...)`` dump, which is one line."""
ENDLESS = 1 << 20
"""A line of which this much has been read is taken in parts."""
WINDOW = 4 << 10
"""Bytes kept on each side of an anchor in such a line."""
BEFORE, AFTER = 3, 14
"""Lines kept round the first line of its shape that has an anchor."""
OFTEN, REPEATS = 3, 20
"""How often a shape of line is kept with a little of its surroundings, and at all."""
SEEN_BYTES = 4 << 20
SEEN_LINE = 300

STRUCTURE: tuple[bytes, ...] = (
    b"Traceback (most recent", b'  File "', b"Error", b"error:", b"Exception", b"ERROR", b"FATAL", b"CRITICAL",
    b"fatal:", b"fatal error", b"Fatal", b"NCCL WARN", b"Killed", b"Segmentation", b"core dumped", b"ServerArgs(",
    b"launch_server", b"sglang serve", b"CUDA available", b"Driver Version", b"river version", b"Ignore import",
    b"terminate called", b"xit code", b"xitcode", b"xit status", b"direct cause", b"using nccl==", b"NCCL version",
    b"PyTorch version", b"PyTorch:", b"oom-kill",
)  # fmt: skip
"""What the reader itself looks for, beside the rules' anchors: where tracebacks, deaths and pasted facts begin."""

_HEX = b"0123456789abcdef"
_WORDS = bytes(code if chr(code).isalnum() and code < 128 else 32 for code in range(256))
"""Everything that is no ASCII letter or digit becomes a blank."""

Engine = Callable[[bytes], Iterable[int]]


class Selection(NamedTuple):
    """The kept ``(number, line)`` pairs in order, and how much was read; ``whole`` where nothing was left out."""

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
    if size <= WHOLE:
        return _whole(b"".join(held), anchors)
    literals = _needed(anchors)
    return _large(_chain(b"".join(held), stream), literals, engine or templates(literals))


def _needed(anchors: Sequence[bytes]) -> tuple[bytes, ...]:
    """What must be looked for: an anchor that holds a literal of the reader's own is found with it."""
    more = (anchor for anchor in dict.fromkeys(anchors) if len(anchor) >= 4)
    return (*STRUCTURE, *(anchor for anchor in more if not any(literal in anchor for literal in STRUCTURE)))


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    for start in range(0, len(first), WHOLE // 2):
        yield first[start : start + WHOLE // 2]
    yield from rest


def _gathered(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small blocks, such as a slow pipe gives, since each costs a search of its own."""
    held: list[bytes] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += len(block)
        if size >= GATHERED:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _whole(data: bytes, anchors: Sequence[bytes]) -> Selection:
    lines: list[tuple[int, bytes]] = []
    present: Callable[[bytes], list[bytes]] | None = None
    for number, line in enumerate(data.split(b"\n"), 1):
        if len(line) <= LONG:
            lines.append((number, line))
        else:
            present = present or finder(_needed(anchors))
            lines += ((number, piece) for piece in pieces(line, present(line)))
    if lines and not lines[-1][1]:
        lines.pop()
    return Selection(lines, data.count(b"\n") + (not data.endswith(b"\n") and bool(data)), len(data), whole=True)


def pieces(line: bytes, literals: Sequence[bytes]) -> list[bytes]:
    r"""A long line as its beginning, its end, and windows round its anchors, cut at ``\r`` where there is one."""
    spans = [(0, WINDOW), (len(line) - WINDOW, len(line))]
    dump = line.find(b"ServerArgs(")
    if dump >= 0:
        spans.append((0 if dump < WINDOW else dump, min(dump + DUMP, len(line))))
    for literal in literals:
        at = line.find(literal)
        for _ in range(REPEATS):
            if at < 0:
                break
            first = max(at - WINDOW, 0)
            left = max(line.rfind(b"\r", first, at) + 1, first)
            right = line.find(b"\r", at, at + WINDOW)
            spans.append((left, right if right >= 0 else min(at + WINDOW, len(line))))
            at = line.find(literal, spans[-1][1])
    spans.sort(key=lambda span: (span[0], -span[1]))
    merged: list[list[int]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1] and (end <= merged[-1][1] or end - merged[-1][0] <= LONG):
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
    present = finder([key for key in stripped if len(key) >= 3])
    seen: set[bytes] = set()
    hot: dict[bytes, _Shape] = {}
    used = 0

    def find(block: bytes) -> Iterable[int]:
        nonlocal used
        shapes = block.translate(None, _HEX).split(b"\n")
        new = set(shapes)
        new -= seen
        new.difference_update(hot)
        there = present(b"\n".join(new)) if new else []
        for shape in new:
            keys = [key for key in there if key in shape]
            if keys:
                hot[shape] = _Shape([literal for key in keys for literal in stripped[key]])
            elif len(shape) < SEEN_LINE and used < SEEN_BYTES:
                seen.add(shape)
                used += len(shape) + 50
        offsets = _raw(block, short)
        if not hot.keys().isdisjoint(shapes):
            lines = block.split(b"\n")
            begins = list(accumulate(map(len, lines), initial=0))
            for index in [index for index, shape in enumerate(shapes) if shape in hot]:
                found = hot[shapes[index]]
                if found.count < REPEATS and any(literal in lines[index] for literal in found.literals):
                    offsets.append(begins[index] + index)
                    found.count += 1
            for shape in [shape for shape, found in hot.items() if found.count >= REPEATS]:
                del hot[shape]
                if len(shape) < SEEN_LINE:
                    seen.add(shape)
            if len(hot) > 20_000:  # a log of ever new failures: forget, do not grow
                hot.clear()
        return offsets

    return find


class _Shape:
    """A shape of lines that may hold literals: which, and how often they did."""

    __slots__ = ("count", "literals")

    def __init__(self, literals: list[bytes]) -> None:
        self.literals = literals
        self.count = 0


def finder(keys: Sequence[bytes]) -> Callable[[bytes], list[bytes]]:
    """A function that says which of ``keys`` a text holds, at a cost that hardly grows with their number.

    A key with a whole word inside is looked for only in a text that has this word. Of the others, a piece of a word is
    first looked for in the distinct words of the text, which are far shorter than the text.
    """
    by_word: dict[bytes, list[bytes]] = {}
    by_part: list[tuple[bytes, bytes]] = []
    for key in keys:
        words = key.translate(_WORDS).split()
        opens = key[:1].translate(_WORDS) == b" "
        closes = key[-1:].translate(_WORDS) == b" "
        word = max(words[0 if opens else 1 : None if closes else -1], key=len, default=b"")
        if len(word) > 2:
            by_word.setdefault(word, []).append(key)
        elif len(words) < 2:
            by_part.append((words[0] if words else b"", key))
        else:
            by_part.append((max(words[0] + b" ", b" " + words[-1], key=len), key))

    def present(text: bytes) -> list[bytes]:
        words = set(text.translate(_WORDS).split())
        spaced = b" " + b" ".join(words) + b" "
        found = [key for part, key in by_part if part in spaced and key in text]
        for word in by_word.keys() & words:
            found += [key for key in by_word[word] if key in text]
        return found

    return present


def _raw(block: bytes, literals: Sequence[bytes]) -> list[int]:
    offsets: list[int] = []
    for literal in literals:
        at = block.find(literal)
        while at >= 0 and len(offsets) < REPEATS:
            offsets.append(at)
            at = block.find(literal, at + len(literal))
    return offsets


def _large(blocks: Iterable[bytes], literals: Sequence[bytes], engine: Engine) -> Selection:
    keep = _Keeper(engine, literals)
    carry = b""
    size = 0
    overlap = WINDOW + max(len(literal) for literal in literals)
    for block in _gathered(blocks):
        size += len(block)
        data = carry + block if carry else block
        cut = data.rfind(b"\n") + 1
        if cut:
            keep.lines(data[:cut].split(b"\n")[:-1], data[:cut])
        carry = data[cut:]
        while len(carry) > ENDLESS:  # a line without an end: take out what its beginning has, go on with the rest
            keep.part(carry[:ENDLESS])
            carry = carry[ENDLESS - overlap :]
    if carry:
        keep.lines([carry], carry)
    return Selection(keep.finish(), keep.number - 1, size, whole=False)


class _Keeper:
    """Decides what is kept, line by line in the order of the file: the size of the blocks makes no difference."""

    def __init__(self, engine: Engine, literals: Sequence[bytes]) -> None:
        self.engine = engine
        self.present = finder(literals)
        self.number = 1  # of the next line
        self.until = 0  # lines below this number are kept in any case
        self.head = ENDS
        self.size = 0
        self.kept: dict[tuple[int, int], bytes] = {}
        self.shapes: dict[bytes, int] = {}
        self.recent: deque[tuple[list[bytes], int]] = (
            deque()
        )  # the last lines, for what comes before a hit and for the end
        self.recent_size = 0

    def lines(self, lines: list[bytes], data: bytes) -> None:
        """Take whole lines; ``data`` are the same as they stand in the file."""
        first = self.number
        index = 0
        while self.head > 0 and index < len(lines):
            self.head -= len(lines[index]) + 1
            self.put(first + index, lines[index])
            index += 1
        done, hit, at = index, 0, 0
        for offset in sorted(self.engine(data)):
            hit += data.count(b"\n", at, offset)
            at = offset
            if hit >= len(lines):
                break
            done = self._follow(lines, done, hit)
            if self.size > 2 * KEPT:
                continue
            before, after = self._room(lines[hit])
            if after:
                for number, line in self._before(lines, hit, before):
                    self.put(number, line)
                self.until = max(self.until, first + hit + after)
        self._follow(lines, done, len(lines))
        self.number = first + len(lines)
        self.recent.append((lines, len(data)))
        self.recent_size += len(data)
        while len(self.recent) > BEFORE and self.recent_size - self.recent[0][1] > 2 * ENDS:
            self.recent_size -= self.recent.popleft()[1]

    def _follow(self, lines: list[bytes], begin: int, end: int) -> int:
        """Keep the lines from ``begin`` to ``end`` that stand behind a hit; returns where to go on."""
        for index in range(begin, min(end, self.until - self.number)):
            self.put(self.number + index, lines[index])
        return max(begin, end)

    def _before(self, lines: list[bytes], hit: int, count: int) -> list[tuple[int, bytes]]:
        """The ``count`` lines before a hit, also those of earlier blocks."""
        found: list[tuple[int, bytes]] = []
        index, number = hit, self.number + hit
        blocks = iter(reversed(self.recent))
        while len(found) < count and number > 1:
            if index == 0:
                lines, _ = next(blocks, ([], 0))
                index = len(lines)
                if not lines:
                    break
            index -= 1
            number -= 1
            found.append((number, lines[index]))
        return found

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

    def put(self, number: int, line: bytes) -> None:
        """Keep one whole line."""
        if (number, 0) in self.kept:
            return
        for part, piece in enumerate(pieces(line, self.present(line)) if len(line) > LONG else (line,)):
            self.kept[number, part] = piece
            self.size += len(piece) + 50

    def part(self, line: bytes) -> None:
        """Keep what a part of an endless line has round its anchors, while there is room."""
        for piece in pieces(line, self.present(line)):
            if self.size < KEPT:
                self.kept[self.number, len(self.kept)] = piece
                self.size += len(piece) + 50

    def finish(self) -> list[tuple[int, bytes]]:
        """Keep the end of the log too, and return everything in the order of the file."""
        room, number = ENDS, self.number
        for lines, _ in reversed(self.recent):
            for line in reversed(lines):
                number -= 1
                room -= len(line) + 1
                if room >= 0 or number == self.number - 1:
                    self.put(number, line)
        return [(number, self.kept[number, part]) for number, part in sorted(self.kept)]
