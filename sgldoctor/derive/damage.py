"""Damaged and shared files, completed with the requirement that puts the right wheel back."""

from __future__ import annotations

from sgldoctor.derive.needs import KERNELS, Table, look_up
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge import releases


def derive(facts: Facts, known: Table, result: Facts) -> None:
    """Add ``packages.damaged`` and ``packages.overlapping`` where RECORD was read."""
    if facts.known("record.damaged"):
        result.put("packages.damaged", [_damaged(row, known, facts) for row in facts.rows("record.damaged")], "derived")
    if facts.known("record.shared"):
        pairs = [_overlapping(row, known) for row in facts.rows("record.shared")]
        result.put("packages.overlapping", [row for row in pairs if row is not None], "derived")


def cure(name: str, version: str, known: Table, facts: Facts) -> str:
    """What puts the files of a distribution back: its pin; the release that is there where nobody pins it.

    ``""`` for a distribution that should not be there: a kernel or CUDA wheel whose place another one takes.
    """
    if name in KERNELS and name not in known.pins and any(kernel in known.pins for kernel in KERNELS):
        return ""
    if name in known.pins and known.pins[name].specifier:
        return known.pins[name].pin
    stem = name.rpartition("-cu")[0]
    if stem and name.startswith("nvidia-") and look_up(stem, known, facts):
        return ""
    return f"{name}=={version}" if releases.parse(version) is not None else ""


def _damaged(row: Row, known: Table, facts: Facts) -> Row:
    name = str(row["name"])
    return {**row, "pin": cure(name, str(row["version"]), known, facts)}


def _overlapping(row: Row, known: Table) -> Row | None:
    """A pair of wheels that write the same shared objects; None where both belong there."""
    first, second = str(row["first"]), str(row["second"])
    needed = [name for name in (first, second) if name in known.pins]
    if len(needed) == 2:
        return None
    wanted = needed[0] if needed else ""
    unwanted = (second if wanted == first else first) if wanted else ""
    pin = known.pins[wanted].pin if wanted else ""
    text = f"{first} and {second} both install {row['count']} files, such as {row['example']}"
    return {**row, "wanted": wanted, "unwanted": unwanted, "pin": pin, "text": text}
