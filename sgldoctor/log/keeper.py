"""What is kept of a large log, line by line, so that neither its size nor that of the blocks makes a difference."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from sgldoctor.log.engine_py import HEX, REPEATS, SEEN_LINE, Engine, request
from sgldoctor.log.literals import finder
from sgldoctor.log.pieces import LONG, pieces
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.log.blocks import Plain

ENDS = 64 << 10
"""Bytes kept of the beginning and of the end of a large log."""
KEPT = 1 << 20
"""Bytes of passages kept; past half of it, only shapes that were not seen before are added."""
DUMPS = KEPT // 8
"""Bytes kept of the beginnings of long lines, each of which is of a shape of its own."""
TELLING = (b"Traceback (most recent", b"Error: ", b"Fatal", b"Killed", b"core dumped")
"""What a line has for which there is room when all else has been kept: the failure may come last."""
BEFORE, AFTER = 3, 14
"""Lines kept round the first line of its shape that has an anchor."""
OFTEN = 3
"""How often a shape of line is kept with a little of its surroundings; at all, :data:`REPEATS` times."""
REMAINS = 1 << 20
"""Bytes at the end of a file that one process reads: the last line may lack its end, and more may be written."""
REMEMBERED = 20_000
"""How many shapes of lines are told apart."""


class Block:
    """Whole lines as they stand in the file; most blocks are never cut to lines, and those of workers never read."""

    __slots__ = ("_data", "_lines", "count", "read", "size")

    def __init__(self, size: int, count: int, data: bytes = b"", read: Callable[[], bytes] | None = None) -> None:
        self.size = size
        self.count = count
        self.read = read
        self._data = data
        self._lines: list[bytes] | None = None

    @property
    def data(self) -> bytes:
        """The bytes; of a file that has become shorter meanwhile, empty lines at their end."""
        if self.read is not None:
            self._data = self.read().ljust(self.size, b"\n")
            self.read = None
        return self._data

    def lines(self) -> list[bytes]:
        """The lines, without their ends."""
        if self._lines is None:
            self._lines = self.data.split(b"\n")
            self._lines += [b""] * (self.count - len(self._lines))
            del self._lines[self.count :]
        return self._lines


class Keeper:
    """Decides what is kept, line by line in the order of the file: the size of the blocks makes no difference."""

    def __init__(self, engine: Engine, literals: Sequence[bytes], wanted: dict[bytes, int]) -> None:
        self.engine = engine
        self.literals = literals
        self.wanted = wanted
        self._present: Callable[[bytes], list[bytes]] | None = None
        self.number = 1  # of the next line
        self.until = 0  # lines below this number are kept in any case
        self.head = ENDS
        self.size = 0
        self.dumps = 0
        self.kept: dict[tuple[int, int], bytes] = {}
        self.shapes: dict[bytes, int] = {}
        self.full: set[bytes] = set()  # those of which no more is kept, to be asked first
        self.recent: deque[Block] = deque()  # the last lines, for what comes before a hit and for the end
        self.recent_size = 0

    def present(self, text: bytes) -> list[bytes]:
        """The literals that stand in ``text``."""
        self._present = self._present or finder(self.literals)
        return self._present(text)

    def lines(self, data: bytes) -> None:
        """Take whole lines as they stand in the file."""
        count = data.count(b"\n") + (not data.endswith(b"\n"))
        self._take(Block(len(data), count, data), sorted(self.engine(data)))

    def shared(self, file: Plain, begin: int) -> int:
        """Take lines from ``begin`` on as far as two processes get; returns where to go on."""
        from sgldoctor.log.workers import shared, useful

        if self.head > 0 or not useful():
            return begin
        done = begin
        end = file.size - REMAINS
        for found in shared(file.descriptor, file.skip + begin, file.skip + end, self._named()):
            at = found.begin - file.skip
            if at != done:
                break
            read = partial(file.read, at, found.size)
            self._take(Block(found.size, found.lines, read=read), found.offsets, confirm=True)
            done = at + found.size
        return done

    def _named(self) -> Engine:
        """The engine as workers run it: it names no logged request and few lines of each shape.

        Each worker counts for itself, so that more is named than one engine would; :meth:`_take` sorts that out.
        """
        counts: dict[bytes, int] = {}  # how often a shape was named for an anchor
        telling: set[bytes] = set()  # shapes that may hold a witness
        stripped = [word.translate(None, HEX) for word in self.wanted]

        def find(data: bytes) -> Iterable[int]:
            end = 0
            for offset in sorted(self.engine(data)):
                if offset < end:
                    continue
                begin = data.rfind(b"\n", end, offset) + 1 or end
                end = data.find(b"\n", offset) + 1 or len(data) + 1
                line = data[begin : end - 1]
                shape = line.translate(None, HEX)
                count = counts.get(shape, -1)
                if count < 0:
                    if request(shape):
                        continue
                    if len(counts) > REMEMBERED:
                        counts.clear()
                        telling.clear()
                    count = counts[shape] = 0
                    if any(word in shape for word in stripped):
                        telling.add(shape)
                if shape in telling and any(word in line for word in self.wanted):
                    yield offset
                elif count < REPEATS:
                    counts[shape] = count + 1
                    yield offset

        return find

    def _counts(self, line: bytes) -> bool:
        """Whether a line holds a witness that is still wanted, counted down."""
        here = [word for word, left in self.wanted.items() if left and word in line]
        for word in here:
            self.wanted[word] -= 1
        return bool(here)

    def _take(self, block: Block, offsets: Sequence[int], *, confirm: bool = False) -> None:
        """Keep what is worth it of a block; ``confirm`` where the offsets may name witnesses that are known by now."""
        first = self.number
        done = 0
        while self.head > 0 and done < block.count:
            line = block.lines()[done]
            self.head -= len(line) + 1
            self.put(first + done, line)
            done += 1
        data = block.data if offsets else b""
        hit = at = end = 0
        for offset in offsets:
            if offset < end:
                continue  # in the line of the hit before
            begin = data.rfind(b"\n", end, offset) + 1 or end
            end = data.find(b"\n", offset) + 1 or len(data) + 1
            if first + done < self.until:
                hit += data.count(b"\n", at, begin)
                at = begin
                done = self._follow(block, done, hit)
            line = data[begin : end - 1]
            counted = confirm and self._counts(line)
            if line.translate(None, HEX) in self.full:
                continue
            if confirm and not counted and not self.present(line):
                continue
            before, after = self._room(line)
            if after:
                hit += data.count(b"\n", at, begin)
                at = begin
                for number, earlier in self._before(block, hit, before):
                    self.put(number, earlier)
                done = max(done, hit)
                self.until = max(self.until, first + hit + after)
        self._follow(block, done, block.count)
        self.number = first + block.count
        self.recent.append(block)
        self.recent_size += block.size
        while len(self.recent) > BEFORE and self.recent_size - self.recent[0].size > 2 * ENDS:
            self.recent_size -= self.recent.popleft().size

    def _follow(self, block: Block, begin: int, end: int) -> int:
        """Keep the lines from ``begin`` to ``end`` that stand behind a hit; returns where to go on."""
        for index in range(begin, min(end, self.until - self.number)):
            self.put(self.number + index, block.lines()[index])
        return max(begin, end)

    def _before(self, block: Block, hit: int, count: int) -> list[tuple[int, bytes]]:
        """The ``count`` lines before a hit, also those of earlier blocks."""
        found: list[tuple[int, bytes]] = []
        index, number = hit, self.number + hit
        blocks = iter(reversed(self.recent))
        while len(found) < count and number > 1:
            if index == 0:
                earlier = next(blocks, None)
                if earlier is None:
                    break
                block, index = earlier, earlier.count
            index -= 1
            number -= 1
            found.append((number, block.lines()[index]))
        return found

    def _room(self, line: bytes) -> tuple[int, int]:
        """How many lines before and from this one on are kept: fewer, the more often its shape was kept already."""
        shape = line.translate(None, HEX)
        if request(shape):
            return 0, 0
        long = len(line) > 4 * SEEN_LINE  # a dump of arguments, say: unique, so known by its beginning
        shape = shape[: 45 if long else SEEN_LINE]
        count = self.shapes.get(shape, 0)
        if count >= REPEATS or len(self.shapes) > REMEMBERED:
            if count >= REPEATS and len(shape) < SEEN_LINE and not long:
                self.full.add(shape)
            return 0, 0
        if long and self.dumps > DUMPS:
            return 0, 0
        if self.size > 2 * KEPT and not (self.size < 5 * KEPT // 2 and any(word in line for word in TELLING)):
            return 0, 0
        self.shapes[shape] = count + 1
        if long:
            self.dumps += min(len(line), LONG)
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

    def part(self, line: bytes, *, first: bool) -> None:
        r"""Keep what a part of an endless line has round its anchors, while there is room; of the ``first``, its begin.

        A progress bar writes such lines: what stands between two ``\r`` has a shape, as a line of its own would have.
        """
        if self.size >= KEPT or not (first or list(self.engine(line.replace(b"\r", b"\n")))):
            return
        for piece in pieces(line, self.present(line)):
            if self.size < KEPT:
                self.kept[self.number, len(self.kept)] = piece
                self.size += len(piece) + 50

    def finish(self) -> list[tuple[int, bytes]]:
        """Keep the end of the log too, and return everything in the order of the file."""
        room, number = ENDS, self.number
        for block in reversed(self.recent):
            for line in reversed(block.lines()):
                number -= 1
                room -= len(line) + 1
                if room >= 0 or number == self.number - 1:
                    self.put(number, line)
        return [(number, self.kept[number, part]) for number, part in sorted(self.kept)]
