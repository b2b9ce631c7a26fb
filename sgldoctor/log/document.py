"""A passage of raw lines as cleaned lines: what can only be seen over several lines.

Pasted text arrives fenced, indented as a whole, with a blank line after every line, wrapped at the width of a terminal
or with the newest line first; all of that is undone here, with the original line numbers kept.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from sgldoctor.lazy import lazy
from sgldoctor.log.classify import exception
from sgldoctor.log.events import newest_first
from sgldoctor.log.lines import Line, peel, scrub, split_glued
from sgldoctor.log.margin import margin_of, without

WIDTHS = (79, 80, 99, 100, 119, 120, 132, 160, 200)
"""Widths at which terminals and pagers usually wrap; at others a wrap is believed only if it is seen twice."""

_FENCE = lazy(r"^\s*(?:> ?)*(?:```|~~~)[\w+-]*\s*$")
_TASK = lazy(r"^ {0,3}(?P<task>\d{1,4}):(?!\d\d:\d\d) ?")
_STARTS_ANEW = lazy(r"^(?:[\[(#>$<|+*-]|[A-Z]|\d{4}-|\s|File \"|Traceback|$)")


def clean(raw: Sequence[tuple[int, bytes]]) -> list[Line]:
    """Turn ``(number, bytes)`` pairs into cleaned lines; where numbers jump, the next line is marked by ``gap``."""
    passages: list[list[list[tuple[int, str]]]] = []
    begin = 0
    for index in range(1, len(raw) + 1):
        if index == len(raw) or raw[index][0] > raw[index - 1][0] + 1:
            passages.append(_fenced(raw[begin:index]))
            begin = index
    margin = margin_of([text for blocks in passages for block in blocks for _, text in block])
    lines: list[Line] = []
    for number, blocks in enumerate(passages):
        passage = _passage(blocks, margin)
        if number and passage:
            passage[0] = passage[0]._replace(gap=True)
        lines += passage
    return lines


def _passage(blocks: list[list[tuple[int, str]]], margin: re.Pattern[str] | None) -> list[Line]:
    lines = [line for block in blocks for line in _block(without(margin, block) if margin else block)]
    if newest_first(lines):
        lines.reverse()
    return lines


def _fenced(raw: Sequence[tuple[int, bytes]]) -> list[list[tuple[int, str]]]:
    """The visible lines between fences of Markdown: each block was pasted by itself, with a margin of its own."""
    blocks: list[list[tuple[int, str]]] = [[]]
    for number, data in raw:
        for text in scrub(data.decode("utf-8", "backslashreplace")):
            if ("```" in text or "~~~" in text) and _FENCE.match(text):
                blocks.append([])
            else:
                glued = text[:3] == "```" or text[-3:] == "```"
                blocks[-1].append((number, text.strip("`") if glued else text))
    return blocks


def _block(shown: list[tuple[int, str]]) -> list[Line]:
    lines: list[Line] = []
    tasks = _labelled(shown)
    for number, text in shown if tasks else _dedent(_undouble(_unwrap(shown))):
        label = _TASK.match(text) if tasks else None
        line = peel(text[label.end() :] if label else text, number)
        if label:
            line = line._replace(channel=label["task"], rank=line.rank or label["task"])
        lines += split_glued(line) if "[20" in line.text or "[rank" in line.text else [line]
    return lines


def _labelled(texts: list[tuple[int, str]]) -> bool:
    """Whether every line begins with the number of a task, as ``srun --label`` prints."""
    if len(texts) < 4 or not _TASK.match(texts[0][1]):
        return False
    found = [_TASK.match(text) for _, text in texts if text]
    labels = [match["task"] for match in found if match]
    return len(labels) == len(found) and 2 * len(set(labels)) <= len(labels)


def _unwrap(texts: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Join words that a terminal broke: lines that end exactly at its width, inside a word."""
    width = max((len(text) for _, text in texts), default=0)
    if not 60 <= width <= 300:
        return texts
    full = [index for index, (_, text) in enumerate(texts[:-1]) if len(text) == width]
    if not full or sum(width - 4 <= len(text) < width for _, text in texts) > len(full):
        return texts  # lines of many lengths, of which some happen to be the longest
    seams = sum(_broken(texts[index][1]) and _continues(texts[index + 1][1]) for index in full)
    sure = seams > 1 and 2 * seams >= len(full)
    if not seams or not (sure or width in WIDTHS):
        return texts
    out: list[tuple[int, str]] = []
    open_line = False
    for number, text in texts:
        if open_line and _joins(out[-1][1], text, sure):
            out[-1] = (out[-1][0], out[-1][1] + text)
        else:
            out.append((number, text))
        open_line = len(text) == width and _broken(text)
    return out


def _broken(text: str) -> bool:
    """Whether a line ends as if it were cut inside a word."""
    return text[-1].isalnum() or text[-1] in "_-/=([{'\""


def _continues(text: str) -> bool:
    """Whether a line may be the rest of the one before: it begins nothing, and has no prefix of its own."""
    if not text or _STARTS_ANEW.match(text) or exception(text):
        return False
    line = peel(text, 0)
    return not (line.record or line.time or line.channel)


def _joins(before: str, text: str, sure: bool) -> bool:
    """Whether ``text`` is the rest of ``before``; one full line alone proves little, so a word must be broken there."""
    return _continues(text) and (sure or (before[-1].isalpha() and text[0].isalpha() and text[0].islower()))


def _undouble(texts: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Drop the blank lines of a text in which every other line is blank."""
    if len(texts) < 6:
        return texts
    blank: list[bool] = []
    unfollowed = 0
    most = 0.15 * min(len(texts), 400) + 1
    for _, text in texts[:400]:
        blank.append(not peel(text, 0).text)
        unfollowed += len(blank) > 1 and not blank[-1] and not blank[-2]
        if unfollowed > most:  # too many for whatever the rest holds: most logs are told by some sixty lines
            return texts
    written = len(blank) - sum(blank)
    followed = sum(1 for here, after in itertools.pairwise(blank) if not here and after)
    if written < 4 or followed < 0.85 * (written - 1):
        return texts
    return [(number, text) for number, text in texts if text.strip() and peel(text, 0).text]


def _dedent(texts: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Take off the blanks that begin every line (text indented as a Markdown block)."""
    margin = 1 << 30
    for _, text in texts:
        if text:
            blank = len(text) - len(text.lstrip(" "))
            if blank == 0:
                return texts
            margin = min(margin, blank)
    return [(number, text[margin:]) for number, text in texts] if margin < 1 << 30 else texts
