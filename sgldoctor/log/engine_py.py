"""The engine of the standard library: each shape of line is searched once, then only counted.

Logs of servers repeat themselves. A line without its digits and hex letters is its shape, and lines of a shape that
holds no anchor (less its digits and hex letters, too) hold none either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from sgldoctor.log.literals import finder

Engine = Callable[[bytes], Iterable[int]]
"""From a block of whole lines to the offsets of what is worth keeping in it, in any order.

An offset lies in the line that it stands for; several in one line count once. Every line with an anchor must be named,
except that of one shape no more than the first :data:`REPEATS` in the whole log need be, and the first :data:`ENOUGH`
lines with each witness. What a line says that logs a request (:func:`request`) counts for neither.
"""

HEX = b"0123456789abcdef"
REPEATS = 20
"""How often a shape of line is kept at all."""
ENOUGH = 3
"""How many lines with a literal suffice where only its presence counts."""
SEEN_BYTES = 4 << 20
SEEN_LINE = 300
HOT_BYTES = 4 << 20
REQUEST = b"ReqInput(".translate(None, HEX)
"""What the shape of a line that logs a request has at its beginning: all that follows was written by users."""
TRACEBACK = b"Traceback (most recent".translate(None, HEX)


def request(shape: bytes) -> bool:
    """Whether a shape of line is that of a logged request: what users write there is no news of the server."""
    return REQUEST in shape[:SEEN_LINE] and TRACEBACK not in shape


def templates(literals: Sequence[bytes], wanted: dict[bytes, int] | None = None) -> Engine:
    """An engine for ``literals`` and witnesses; it remembers shapes, so a log needs one of its own.

    ``wanted`` says of each witness how many more lines with it are; it is counted down.
    """
    wanted = {} if wanted is None else wanted
    stripped: dict[bytes, list[bytes]] = {}
    short: list[bytes] = []  # too little is left of them to search for
    for literal in dict.fromkeys((*literals, *wanted)):
        key = literal.translate(None, HEX)
        if len(key) < 3:
            short.append(literal)
        else:
            stripped.setdefault(key, []).append(literal)
    present = finder(list(stripped))
    seen: set[bytes] = set()
    hot: dict[bytes, _Shape] = {}
    used = used_hot = 0

    def find(block: bytes) -> Iterable[int]:
        nonlocal used, used_hot
        shapes = block.translate(None, HEX).split(b"\n")
        distinct = set(shapes)
        new = distinct - seen
        new.difference_update(hot)
        new = {shape for shape in new if not request(shape)}
        there = present(b"\n".join(new)) if new else []
        for shape in new:
            likely = [literal for key in there if key in shape for literal in stripped[key] if wanted.get(literal, 1)]
            if likely:
                used_hot += len(shape) + 300
                hot[shape] = _Shape(
                    [literal for literal in likely if literal not in wanted],
                    [literal for literal in likely if literal in wanted],
                )
            elif len(shape) < SEEN_LINE and used < SEEN_BYTES:
                seen.add(shape)
                used += len(shape) + 50
        offsets = _raw(block, short)
        here = hot.keys() & distinct
        if here:
            lines = block.split(b"\n")
            begins = list(accumulate(map(len, lines), initial=0))
            for index in [index for index, shape in enumerate(shapes) if shape in here]:
                found = hot[shapes[index]]
                line = lines[index]
                hit = found.count < REPEATS and any(literal in line for literal in found.literals)
                found.count += hit
                for literal in found.witnesses:
                    if wanted[literal] and literal in line:
                        wanted[literal] -= 1
                        hit = True
                if hit:
                    offsets.append(begins[index] + index)
            for shape in here:
                found = hot[shape]
                if (found.count >= REPEATS or not found.literals) and not any(wanted[w] for w in found.witnesses):
                    del hot[shape]
                    used_hot -= len(shape) + 300
                    if len(shape) < SEEN_LINE:
                        seen.add(shape)
            if used_hot > HOT_BYTES:  # a log of ever new failures: forget, do not grow
                hot.clear()
                used_hot = 0
        return offsets

    return find


class _Shape:
    """A shape of lines that may hold literals: which, and how often a line of it was named for an anchor."""

    __slots__ = ("count", "literals", "witnesses")

    def __init__(self, literals: list[bytes], witnesses: list[bytes]) -> None:
        self.literals = literals
        self.witnesses = witnesses
        self.count = 0


def _raw(block: bytes, literals: Sequence[bytes]) -> list[int]:
    """Where ``literals`` stand, once for each line."""
    offsets: list[int] = []
    for literal in literals:
        at = block.find(literal)
        while at >= 0:
            offsets.append(at)
            end = block.find(b"\n", at)
            at = block.find(literal, end) if end >= 0 else -1
    return offsets
