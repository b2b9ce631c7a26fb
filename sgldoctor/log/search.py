r"""The places worth reading in a large log, found in one pass over its bytes and in constant memory.

A small log is kept whole. Of a larger one, lines with an anchor (a literal that some rule or the reader itself looks
for) are kept with their surroundings, and the beginning and the end. Logs of servers repeat themselves: an engine
looks at each *shape* of line only once (a line without digits and hex letters), and a shape that was kept many times
is not kept again. Line numbers count ``\n``; a line of megabytes is cut to pieces round its anchors.

An engine is a function from a block of whole lines to the offsets of interesting places in it; another one can be
handed to :func:`select` as long as it finds at least the anchors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from sgldoctor.log.engine_py import ENOUGH, HEX, Engine, templates
from sgldoctor.log.literals import finder, without
from sgldoctor.log.pieces import LONG, WINDOW, pieces
from sgldoctor.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sgldoctor.log.blocks import Plain
    from sgldoctor.log.keeper import Keeper

WHOLE = 512 << 10
"""Bytes up to which a log is kept whole."""
GATHERED = 64 << 10
"""Bytes that are searched at once, at least."""
ENDLESS = 1 << 20
"""A line of which this much has been read is taken in parts."""
LARGE = 4 << 20
"""Bytes of a log after which loading and compiling a faster engine pays."""

STRUCTURE: tuple[bytes, ...] = (
    b"Traceback (most recent", b'  File "', b"Error", b"error:", b"Exception", b"ERROR", b"FATAL", b"CRITICAL",
    b"fatal:", b"fatal error", b"Fatal", b"NCCL WARN", b"Killed", b"Segmentation", b"core dumped", b"ServerArgs(",
    b"launch_server", b"sglang serve", b"CUDA available", b"Driver Version", b"river version", b"Ignore import",
    b"terminate called", b"xit code", b"xitcode", b"xit status", b"direct cause", b"using nccl==", b"NCCL version",
    b"PyTorch version", b"PyTorch:", b"oom-kill",
)  # fmt: skip
"""What the reader itself looks for, beside the rules' anchors: where tracebacks, deaths and pasted facts begin."""


class Selection(NamedTuple):
    """The kept ``(number, line)`` pairs in order, and how much was read; ``whole`` where nothing was left out."""

    lines: list[tuple[int, bytes]]
    total: int
    size: int
    whole: bool


def select(
    blocks: Iterable[bytes],
    anchors: Sequence[bytes],
    witnesses: Sequence[bytes] = (),
    engine: Engine | None = None,
    file: Plain | None = None,
) -> Selection:
    """Read all blocks and keep what is worth parsing; of a log of at most :data:`WHOLE` bytes, everything.

    Lines with an anchor are worth it; of those with a witness, of which only the presence counts, the first few.
    ``file`` is where the blocks come from, if they stand there just so: two processes may then read it.
    """
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
    from sgldoctor.log.keeper import Keeper

    literals = needed(anchors)
    if engine is None:
        engine, wanted = _engine(literals, witnesses, file.size if file else 0)
    else:
        wanted = {}
    return _large(_chain(b"".join(held), stream), Keeper(engine, literals, wanted), file)


def needed(anchors: Sequence[bytes]) -> tuple[bytes, ...]:
    """What must be looked for: an anchor that holds a literal of the reader's own is found with it."""
    return (*STRUCTURE, *without([anchor for anchor in dict.fromkeys(anchors) if len(anchor) >= 4], STRUCTURE))


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
            present = present or finder(needed(anchors))
            lines += ((number, piece) for piece in pieces(line, present(line)))
    if lines and not lines[-1][1]:
        lines.pop()
    return Selection(lines, data.count(b"\n") + (not data.endswith(b"\n") and bool(data)), len(data), whole=True)


def _engine(literals: tuple[bytes, ...], witnesses: Sequence[bytes], size: int) -> tuple[Engine, dict[bytes, int]]:
    """The engine that fits the size of the log (0: nobody knows before it is read), and the witnesses that it counts.

    ``SGLDOCTOR_ENGINE`` chooses: ``py``, ``hs`` (hyperscan from the first block on) or ``auto``. What is kept is the
    same in each case; where hyperscan is absent or fails, the other engine goes on.
    """
    choice = os.environ.get("SGLDOCTOR_ENGINE", "auto")
    further = without([word for word in witnesses if len(word) >= 4], literals)
    short = [word for word in further if len(word.translate(None, HEX)) < 3]  # frequent in no log; not worth counting
    literals = (*literals, *short)
    wanted = {word: ENOUGH for word in further if word not in short}
    made: list[Engine] = []

    def slow(block: bytes) -> Iterable[int]:
        if not made:
            made.append(templates(literals, wanted))
        return made[0](block)

    if choice == "py":
        return slow, wanted
    engine: Engine = slow
    left = 0 if choice == "hs" or size > 2 * LARGE else LARGE

    def find(block: bytes) -> Iterable[int]:
        nonlocal engine, left
        if left >= 0:
            left -= len(block)
            if left < 0:
                from sgldoctor.log.engine_hs import hyperscan

                engine = hyperscan(literals, wanted, slow)
        return engine(block)

    return find, wanted


def _large(blocks: Iterable[bytes], keep: Keeper, file: Plain | None) -> Selection:
    carry = b""
    size = 0
    overlap = WINDOW + max(len(literal) for literal in keep.literals)
    parts = False  # whether the beginning of this line was taken already
    stream = _gathered(blocks)
    while block := next(stream, b""):
        size += len(block)
        data = carry + block if carry else block
        cut = data.rfind(b"\n") + 1
        if cut:
            keep.lines(data[:cut])
            parts = False
        carry = data[cut:]
        while len(carry) > ENDLESS:  # a line without an end: take out what its beginning has, go on with the rest
            keep.part(carry[:ENDLESS], first=not parts)
            carry = carry[ENDLESS - overlap :]
            parts = True
        if file and not parts and size >= LARGE:
            size, carry = keep.shared(file, size - len(carry)), b""
            stream = _gathered(file.rest(size))
            file = None
    if carry:
        keep.lines(carry)
    return Selection(keep.finish(), keep.number - 1, size, whole=False)
