"""The engine for large logs where the extra ``fast`` is installed: all anchors at once, by hyperscan.

Only literals are given to it, in block mode: they compile in milliseconds, and a hit only says which line is worth
keeping, so that both engines keep the same. (Expressions with the start of each match would be slower by far, and no
captures come with them anyway.)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from zlib import crc32

from sgldoctor import cache
from sgldoctor.log.engine_py import HEX, Engine, request
from sgldoctor.typed import Any

DENSE = 512
"""A block with more than one hit for this many bytes is left to the other engine, which counts shapes, not hits."""

PREFIX = "hyperscan-"
"""How the files of compiled databases begin."""
DATABASES = 8
"""How many of them are kept: 400 KB each."""
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
    """The scanner for some of ``texts``, which it calls by their numbers; compiled, or as it was compiled before.

    What was compiled is kept in the user's cache folder, by the version of hyperscan, the CPU and the texts; loading it
    takes a hundredth of the time. A cache that cannot be read or written is no error.
    """
    import hyperscan as hs

    name = _name(getattr(hs, "__version__", ""), [(number, texts[number]) for number in numbers])
    try:
        held = cache.read(name)
        if int.from_bytes(held[:4], "little") == crc32(held[4:]):
            database = hs.loadb(held[4:], hs.HS_MODE_BLOCK)
            database.scratch = hs.Scratch(database)
            return _scanner(database)
    except Exception:  # noqa: BLE001 - compiled anew, for whatever reason hyperscan does not take it
        pass
    database = hs.Database(mode=hs.HS_MODE_BLOCK)
    database.compile(
        expressions=[texts[number] for number in numbers],
        ids=list(numbers),
        elements=len(numbers),
        flags=[0] * len(numbers),
        literal=True,
    )
    try:
        _keep(name, hs.dumpb(database))
    except Exception:  # noqa: BLE001 - only the next start is slower
        pass
    return _scanner(database)


def _scanner(database: Any) -> Callable[..., object]:
    """The function that scans with ``database``, tried once."""
    database.scan(b"", match_event_handler=lambda *_: False)
    scan: Callable[..., object] = database.scan
    return scan


def _name(version: str, texts: Sequence[tuple[int, bytes]]) -> str:
    """The file for what is compiled of numbered texts on this CPU."""
    cpu = _cpu()
    key = hashlib.sha256(repr((version, cpu, texts)).encode()).hexdigest()[:32]
    return os.path.join(cache.cache_folder(), f"{PREFIX}{key}")


def _cpu() -> bytes:
    """What tells CPUs apart for a compiler: the machine, and the features that Linux lists."""
    features = os.uname().machine.encode() if hasattr(os, "uname") else b""
    try:
        with open("/proc/cpuinfo", "rb") as stream:
            lines = stream.read(1 << 14).split(b"\n")
    except OSError:
        return features
    return features + next((line for line in lines if line.lower().startswith((b"flags", b"features"))), b"")


def _keep(name: str, database: bytes) -> None:
    """Write a compiled database whole or not at all, and take the oldest of many away."""
    folder = os.path.dirname(name)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    others = [entry.path for entry in os.scandir(folder) if entry.name.startswith(PREFIX)]
    if len(others) >= DATABASES:
        os.unlink(min(others, key=os.path.getmtime))
    cache.write(name, crc32(database).to_bytes(4, "little") + database)
