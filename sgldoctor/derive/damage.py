"""Damaged and shared files, completed with the requirement that puts the right wheel back."""

from __future__ import annotations

from sgldoctor.derive import variant
from sgldoctor.derive.needs import EXTRA, KERNELS, Table, installed, look_up
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge.releases import normalise
from sgldoctor.lazy import lazy
from sgldoctor.versions import valid

REQUIRED = lazy(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def derive(facts: Facts, known: Table, result: Facts) -> None:
    """Add ``packages.damaged`` and ``packages.overlapping`` where RECORD was read."""
    if facts.known("record.damaged"):
        needed = closure(facts)
        rows = [_damaged(row, known, facts, needed) for row in facts.rows("record.damaged")]
        result.put("packages.damaged", rows, "derived")
    if facts.known("packages.leftovers"):
        result.put("packages.broken", _broken(known, facts), "derived")
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
    return f"{name}=={version}" if valid(version) else ""


def closure(facts: Facts) -> set[str]:
    """SGLang and all that it needs, by the requirement lines that were kept; markers apart, extras left out."""
    have = installed(facts)
    found: set[str] = set()
    todo = ["sglang", *KERNELS]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for line in (have.get(name) or {}).get("requires") or ():
            match = REQUIRED.match(line)
            if match and not EXTRA.search(line):
                todo.append(normalise(match[0]))
    return found


def _damaged(row: Row, known: Table, facts: Facts, needed: set[str]) -> Row:
    name = str(row["name"])
    # A kernel brings a build for each kind of GPU, and only one of them is loaded.
    spare = name in KERNELS and all(variant.unused(str(file), facts) for file in row.get("files") or [row["file"]])
    return {**row, "needed": name in needed and not spare, "pin": cure(name, str(row["version"]), known, facts)}


def _broken(known: Table, facts: Facts) -> list[Row]:
    """Distributions whose metadata is damaged, with who requires them and what puts them back."""
    needed, have = closure(facts), installed(facts)
    rows = []
    for row in facts.rows("packages.leftovers"):
        name, path = str(row["name"]), str(row["path"])
        if path.rpartition("/")[2].startswith("~"):
            # pip renames what it is about to replace: its first letter becomes a tilde.
            whole = sorted(other for other in needed | known.pins.keys() if other[1:] == name)
            name = whole[0] if whole else name
        needs_it = name in needed or name in known.pins
        version = str(have[name]["version"]) if name in have else ""
        rows.append(
            {
                "name": name,
                "path": path,
                "problem": row["problem"],
                "needed": needs_it and name not in have,
                "pin": cure(name, version, known, facts) or ("" if name in have else look_up(name, known, facts) or ""),
                "text": f"{path}: {row['problem']}",
            }
        )
    return rows


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
