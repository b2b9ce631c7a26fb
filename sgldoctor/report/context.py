"""The lines around a piece of evidence, read once more from its file: what a reader of a page wants to see."""

from __future__ import annotations

import os
import re

from sgldoctor.errors import DoctorError
from sgldoctor.report.model import Report
from sgldoctor.report.redact import REDACTED, redact
from sgldoctor.report.text import clean, shorten

Lines = list[tuple[int, str]]
"""Numbers and texts of consecutive lines, from 1."""

AROUND = 3
LONGEST = 400
"""Characters of a line that are shown."""
WIDEST = 40
"""Lines shown of one event."""
LARGEST = 1 << 30
"""Bytes of a file beyond which nobody waits for its context."""
_KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/=]{40,}")


def of(report: Report) -> dict[tuple[str, int], Lines]:
    """By file and line of a piece of evidence, the lines around it; nothing for what cannot be read again."""
    wanted: dict[str, dict[int, int]] = {}
    for finding in report.findings:
        for entry in finding.evidence:
            if entry.line and entry.file not in ("", "-"):
                held = min(entry.text.count("\n"), WIDEST)
                wanted.setdefault(entry.file, {})[entry.line] = entry.line + held
    found: dict[tuple[str, int], Lines] = {}
    for file, places in wanted.items():
        # Only a plain file is the same when it is read again: not a pipe, and not what has become too large.
        if not os.path.isfile(file) or os.path.getsize(file) > LARGEST:
            continue
        try:
            lines = _lines(file, places)
        except (DoctorError, OSError):
            continue
        for first, last in places.items():
            numbers = range(max(first - AROUND, 1), last + AROUND + 1)
            shown = [(number, lines[number]) for number in numbers if number in lines]
            texts = redact("\n".join(text for _, text in shown)).split("\n")
            if len(texts) == len(shown):
                found[file, first] = [(number, text) for (number, _), text in zip(shown, texts, strict=True)]
    return found


def _lines(file: str, places: dict[int, int]) -> dict[int, str]:
    """The lines near ``places`` (first to last line of an event), cleaned and cut."""
    from sgldoctor.log.blocks import blocks

    near = {number for first, last in places.items() for number in range(first - AROUND, last + AROUND + 1)}
    end = max(near)
    kept: dict[int, str] = {}
    number, rest = 1, b""
    for block in blocks(file):
        pieces = (rest + block).split(b"\n") if number in near else block.split(b"\n")
        for piece in pieces[:-1]:
            if number in near:
                kept[number] = _shown(piece)
            number += 1
        if number > end:
            return kept
        rest = (pieces[-1] if number in near else b"")[: 4 * LONGEST]
    if rest and number in near:
        kept[number] = _shown(rest)
    return kept


def _shown(raw: bytes) -> str:
    text = clean(raw[: 4 * LONGEST].decode("utf-8", "replace")).rstrip()
    text = text.replace("\n", " ")
    if len(text) > LONGEST:
        text = shorten(text, LONGEST)
    # A window may begin inside a private key, where nothing tells that it is one.
    return REDACTED if _KEY_MATERIAL.fullmatch(text.strip()) else text
