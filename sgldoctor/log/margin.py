"""What a viewer, a collector or a search puts before every line, whatever it is: line numbers, a pod, ``file.log:12:``.

Known wrappings are the table of :mod:`~sgldoctor.log.prefixes`, which knows what they tell. This takes off the rest,
and only where it uncovers something: text of one shape that stands before the lines of tracebacks, and before nearly
all other lines as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor.lazy import lazy
from sgldoctor.log.lines import peel

_HEADER = "Traceback (most recent call last)"
_PLACE = '  File "'
_NUMBER = lazy(r" *\d+")
ENOUGH = 40
"""Lines of tracebacks that are looked at."""
SHAPES = 4
"""How many shapes there may be, of several pods for instance."""
NEARLY_ALL = 0.9
LONGEST = 160
"""Characters that stand before a line; what is longer is the line itself."""


def margin_of(texts: Sequence[str]) -> re.Pattern[str] | None:
    """The pattern of what stands before the lines of a text; None where the known wrappings uncover its tracebacks."""
    shapes: dict[str, int] = {}
    seen = 0
    for text in texts:
        at = text.find(_HEADER) if _HEADER in text else text.find(_PLACE)
        if not 0 < at <= LONGEST:
            continue
        if text.startswith(_PLACE, at):
            at = text.index('File "', at) - len("  ")  # the blanks before are the margin's
        seen += 1
        if not _hidden(text, at):
            return None
        shape = _shape(text[:at])
        shapes[shape] = shapes.get(shape, 0) + 1
        if seen == ENOUGH:
            break
    if not seen:
        return None
    common = sorted(shapes, key=shapes.__getitem__, reverse=True)[:SHAPES]
    pattern = re.compile("|".join(common))
    # One line of a traceback proves little: then all others must have it, too.
    return pattern if _covers(pattern, texts, NEARLY_ALL if seen > 1 else 1.0) and len(texts) > 2 else None


def without(margin: re.Pattern[str], texts: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The lines of a block without the margin, where nearly all of them have it."""
    if not _covers(margin, [text for _, text in texts]):
        return texts
    return [(number, text[match.end() :] if (match := margin.match(text)) else text) for number, text in texts]


def _hidden(text: str, at: int) -> bool:
    """Whether what begins ``at`` is still behind something once the known wrappings are off."""
    return not peel(text.lstrip(" "), 0).text.lstrip().startswith(text[at:].lstrip()[:6])


def _shape(prefix: str) -> str:
    """A pattern for prefixes that differ in their numbers alone; empty lines have lost the blanks at its end."""
    ends = f"|{_numbered(prefix.rstrip())}$" if prefix[-1:].isspace() else ""
    return _numbered(prefix) + ends


def _numbered(text: str) -> str:
    r"""The pattern of a text with any numbers, which may be aligned by blanks; two have something between them."""
    first, *others = _NUMBER.split(text)
    made = re.escape(first)
    for number, part in zip(_NUMBER.findall(text), others, strict=True):
        # Optional blanks between two numbers would make the pattern try all ways to divide a long row of digits.
        after_number = made.endswith(r"\d+")
        made += (" +" if after_number and number[0] == " " else " *") + r"\d+" + re.escape(part)
    return made


def _covers(margin: re.Pattern[str], texts: Sequence[str], share: float = NEARLY_ALL) -> bool:
    written = [text for text in texts if text.strip()]
    return bool(written) and sum(margin.match(text) is not None for text in written) >= share * len(written)
