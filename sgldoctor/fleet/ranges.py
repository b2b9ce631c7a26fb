"""Names of nodes in short, as Slurm writes them: ``node[001-061,064]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SHOWN = 12
"""Parts of a list that are shown."""
_NUMBERED = re.compile(r"(.*?)(\d{1,15})(\D*)")


def short(names: Iterable[str], limit: int = SHOWN) -> str:
    """The names in short; after ``limit`` parts only how many more there are."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    plain: list[str] = []
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match is None:
            plain.append(name)
            continue
        digits = match[2]
        width = len(digits) if digits[0] == "0" else 0
        groups.setdefault((match[1], match[3], width), []).append(int(digits))
    parts = list(dict.fromkeys(plain))
    # A width is only told by names with a leading zero: node008 to node012 belong together.
    for (before, behind, width), numbers in sorted(groups.items()):
        if width == 0:
            padded = {key for key in groups if key[:2] == (before, behind) and key[2]}
            if any(len(str(number)) == key[2] for key in padded for number in numbers):
                continue
        own = set(numbers)
        if width:
            loose = groups.get((before, behind, 0), [])
            own |= {number for number in loose if len(str(number)) == width}
        parts += _parts(before, behind, width, sorted(own))
    if len(parts) > limit:
        return ", ".join(parts[:limit]) + f" and {len(parts) - limit} more"
    return ", ".join(parts)


def _parts(before: str, behind: str, width: int, numbers: Sequence[int]) -> list[str]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}" for first, last in runs]
    if len(texts) == 1 and runs[0][0] == runs[0][1]:
        return [f"{before}{texts[0]}{behind}"]
    return [f"{before}[{','.join(texts[at : at + 20])}]{behind}" for at in range(0, len(texts), 20)]
