"""The engine for large logs where the extra ``fast`` is installed: all anchors at once, by hyperscan.

Only literals are given to it, in block mode: they compile in milliseconds, and a hit only says which line is worth
keeping, so that both engines keep the same. (Expressions with the start of each match would be slower by far, and no
captures come with them anyway.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sgldoctor.log.engine_py import Engine

DENSE = 512
"""A block with more than one hit for this many bytes is left to the other engine, which counts shapes, not hits."""


def hyperscan(literals: Sequence[bytes], other: Engine) -> Engine:
    """An engine for ``literals``, or ``other`` where hyperscan is not installed or does not work on this machine.

    ``other`` is also asked about blocks full of hits, as a flood of one error makes them.
    """
    try:
        import hyperscan as hs

        database = hs.Database(mode=hs.HS_MODE_BLOCK)
        count = len(literals)
        database.compile(
            expressions=list(literals), ids=list(range(count)), elements=count, flags=[0] * count, literal=True
        )
    except Exception:  # noqa: BLE001 - whatever a compiled module may raise, the log can be read without it
        return other
    works = True

    def find(block: bytes) -> Iterable[int]:
        nonlocal works
        if not works:
            return other(block)
        offsets: list[int] = []
        room = 64 + len(block) // DENSE

        def hit(_literal: int, _begin: int, end: int, _flags: int, _context: object) -> bool:
            offsets.append(end - 1)  # the last byte of the literal
            return len(offsets) > room  # True ends the scan

        try:
            database.scan(block, match_event_handler=hit)
        except Exception:  # noqa: BLE001 - also how a scan that was ended is told
            works = len(offsets) > room
            return other(block)
        return offsets

    return find
