"""Lines too long to be kept whole, cut to pieces round what somebody looks for."""

from __future__ import annotations

from collections.abc import Sequence

from sgldoctor.log.engine_py import REPEATS

LONG = 8 << 10
"""A line longer than this is cut to pieces round its anchors: no event carries more."""
DUMP = 32 << 10
"""Bytes kept of a ``ServerArgs(...)`` dump, which is one line."""
WINDOW = 4 << 10
"""Bytes kept on each side of an anchor in such a line."""


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
