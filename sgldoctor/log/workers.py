"""Two processes for a large file: they search it piece by piece in turn, the first process keeps what they name.

Python searches in one thread, so the second core only helps a second process. A worker inherits the engine as it stands
(what it has seen, what it has compiled), looks for the whole lines that begin in its pieces, and sends numbers only:
where a block stands, how many lines it has, and the offsets of what is worth keeping. Whoever starts them takes the
answers in the order of the file and reads a block again where there is something in it. Pipes are small, so a worker
that is far ahead waits. Whatever goes wrong (no ``fork``, a worker that was killed, a line of megabytes, a file that
became shorter) ends the answers early, and the reader goes on alone from there.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable, Iterable, Iterator

from sgldoctor.log.blocks import BLOCK
from sgldoctor.typed import NamedTuple

PIECE = 4 << 20
WORKERS = 2
HUGE = 512 << 10
"""A line of which so much was read is left to the reader that can cut it to parts."""

Search = Callable[[bytes], Iterable[int]]
Numbers = tuple[int, int, int, list[int]]
"""The fields of :class:`Found`, as they are sent."""


class Found(NamedTuple):
    """A block of whole lines: where it stands, its bytes and lines, and the offsets in it worth a look, in order."""

    begin: int
    size: int
    lines: int
    offsets: list[int]


def useful() -> bool:
    """Whether this machine lets a second process run beside the first."""
    if not hasattr(os, "fork"):
        return False
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores > 1


def shared(descriptor: int, begin: int, end: int, search: Search) -> Iterator[Found]:
    """Blocks from ``begin``, where a line begins, to the line that reaches ``end``; each follows the one before.

    ``search`` is called in the workers. The answers end early where one cannot go on.
    """
    piece = PIECE
    pipes: list[int] = []
    children: list[int] = []
    try:
        for turn in range(WORKERS):
            reading, writing = os.pipe()
            pipes.append(reading)
            try:
                child = os.fork()
            except OSError:
                os.close(writing)
                return
            if not child:
                _work(pipes, writing, descriptor, range(begin + turn * piece, end, WORKERS * piece), piece, end, search)
            os.close(writing)
            children.append(child)
        for number in range(len(range(begin, end, piece))):
            message = _receive(pipes[number % WORKERS])
            if not message:
                return
            complete, blocks = marshal.loads(message)  # noqa: S302 - our own child wrote it
            yield from (Found(*block) for block in blocks)
            if not complete:
                return
    finally:
        for pipe in pipes:
            os.close(pipe)
        for child in children:
            _end(child)


def _end(child: int) -> None:
    """End a worker that may have work left, and forget it."""
    import signal

    os.kill(child, signal.SIGKILL)  # it cannot have been given to another: nobody has waited for it yet
    os.waitpid(child, 0)


def _work(
    unused: Iterable[int], pipe: int, descriptor: int, begins: range, piece: int, end: int, search: Search
) -> None:
    """What a worker does with its life; never returns."""
    try:
        for other in unused:
            os.close(other)
        for begin in begins:
            answer = _search(descriptor, begin, min(begin + piece, end), search)
            message = marshal.dumps(answer)
            view = memoryview(len(message).to_bytes(8, "little") + message)
            while view:
                view = view[os.write(pipe, view) :]
            if not answer[0]:
                break
    finally:
        os._exit(0)  # an error is told by the answer that is missing


def _receive(pipe: int) -> bytes:
    """The next message of a worker, nothing where it has ended."""
    head = _read(pipe, 8)
    size = int.from_bytes(head, "little")
    message = _read(pipe, size) if len(head) == 8 else b""
    return message if len(message) == size else b""


def _read(pipe: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := os.read(pipe, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _search(descriptor: int, begin: int, end: int, search: Search) -> tuple[bool, list[Numbers]]:
    """The blocks of the lines that begin from ``begin`` (not 0) to before ``end``, and whether these are all."""
    found: list[Numbers] = []
    at = begin - 1  # of the first byte held: a line begins at `begin` if a newline stands there
    after = at
    held = b""
    started = False
    while block := os.pread(descriptor, BLOCK, after):
        after += len(block)
        held += block
        if not started:
            first = held.find(b"\n") + 1
            if first:
                started = True
                at += first
                held = held[first:]
                if at >= end:
                    return True, found
        if started:
            last = held.find(b"\n", end - at - 1) + 1 if after >= end else 0
            whole = last or held.rfind(b"\n") + 1
            if whole:
                data = held[:whole]
                found.append((at, whole, data.count(b"\n"), sorted(search(data))))
                at += whole
                held = held[whole:]
            if last or at >= end:
                return True, found
        if len(held) > HUGE:
            break
    return False, found
