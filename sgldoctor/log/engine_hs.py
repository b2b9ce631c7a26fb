"""The engine for large logs where the extra ``fast`` is installed: all anchors at once, by hyperscan.

Only literals are given to it, in block mode: they compile in milliseconds, and a hit only says which line is worth
keeping, so that both engines keep the same. (Expressions with the start of each match would be slower by far, and no
captures come with them anyway.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sgldoctor.log.engine_py import HEX, Engine, request

DENSE = 512
"""A block with more than one hit for this many bytes is left to the other engine, which counts shapes, not hits."""


WASTED = 5_000
"""Hits of witnesses that were seen often enough, after which a search without these pays."""


def hyperscan(literals: Sequence[bytes], wanted: dict[bytes, int], other: Engine) -> Engine:
    """An engine for ``literals`` and witnesses, or ``other`` where hyperscan is absent or does not work.

    ``wanted`` says of each witness how many more lines with it are; it is counted down. ``other`` is also asked about
    blocks full of hits, as a flood of one error makes them, and shares ``wanted``.
    """
    texts = [*wanted, *literals]
    witnesses = len(wanted)
    try:
        scan = _compiled(texts, [number for number, text in enumerate(texts) if wanted.get(text, 1)])
    except Exception:  # noqa: BLE001 - whatever a compiled module may raise, the log can be read without it
        return other
    works = True
    wasted = 0

    def find(block: bytes) -> Iterable[int]:
        nonlocal scan, works, wasted
        offsets: list[int] = []
        seen: dict[int, list[int]] = {}  # witnesses to the ends of their first occurrences, one in each line
        barred = 0  # where the request ends that was met last
        room = 64 + len(block) // DENSE

        def hit(number: int, _begin: int, end: int, _flags: int, _context: object) -> bool:
            nonlocal barred, wasted
            if number < witnesses:
                ends = seen.setdefault(number, [])
                if len(ends) >= wanted[texts[number]]:
                    wasted += 1
                elif not ends or block.find(b"\n", ends[-1], end) >= 0:
                    if end <= barred:
                        return False
                    line = _line(block, end)
                    if request(line.translate(None, HEX)):
                        barred = block.rfind(b"\n", 0, end) + 1 + len(line)
                    else:
                        ends.append(end)
                return False
            offsets.append(end - 1)  # the last byte of the literal
            return len(offsets) > room  # True ends the scan

        if not works:
            return other(block)
        try:
            if wasted > WASTED:
                wasted = 0
                scan = _compiled(texts, [number for number, text in enumerate(texts) if wanted.get(text, 1)])
            scan(block, match_event_handler=hit)
        except Exception:  # noqa: BLE001 - also how a scan that was ended is told
            works = len(offsets) > room
            return other(block)
        for number, ends in seen.items():
            wanted[texts[number]] -= len(ends)
            offsets += (end - 1 for end in ends)
        return offsets

    return find


def _line(block: bytes, at: int) -> bytes:
    """The line round a place."""
    end = block.find(b"\n", at)
    return block[block.rfind(b"\n", 0, at) + 1 : end if end >= 0 else len(block)]


def _compiled(texts: Sequence[bytes], numbers: Sequence[int]) -> Callable[..., object]:
    """The scanner for some of ``texts``, which it calls by their numbers."""
    import hyperscan as hs

    database = hs.Database(mode=hs.HS_MODE_BLOCK)
    database.compile(
        expressions=[texts[number] for number in numbers],
        ids=list(numbers),
        elements=len(numbers),
        flags=[0] * len(numbers),
        literal=True,
    )
    scan: Callable[..., object] = database.scan
    return scan
