"""Arguments that contradict each other, by SGLang's own asserts (``knowledge/data/launch-conflicts.json``).

The data say which release has which check and what it prints; ``parallel_checks`` and ``serving_checks`` hold the
arithmetic, one function per check. A check over a value that is not known (a variable, a default that SGLang decides at
run time) says nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sgldoctor.derive import parallel_checks, serving_checks
from sgldoctor.derive.effective import Settings, read, release_of, whole_line
from sgldoctor.derive.quantization import mismatched, too_new
from sgldoctor.derive.refusals import refusals
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.releases import load
from sgldoctor.typed import Any

CHECKS = {**parallel_checks.CHECKS, **serving_checks.CHECKS}


def conflicts(facts: Facts) -> Facts:
    """``launch.conflict`` from ``launch.option`` and the release in ``sglang``."""
    out = Facts()
    # A dump in a log shows what SGLang made of the arguments, after these checks.
    if not facts.known("launch.option") or facts.source("launch.option") == "log":
        return out
    if not whole_line(facts):
        return out
    settings = read(facts)
    judged = flags.judges(release_of(facts))
    rows: list[Row] = []
    for entry in _known():
        if not flags.inside(entry["present"], settings.release):
            continue
        check = CHECKS.get(entry["name"])
        note = check(settings) if check else _simple(entry, settings)
        if note:
            certain = not judged.older and (
                judged.exact or judged.newer or all(flags.inside(entry["present"], o) for o in judged.others)
            )
            rows.append(
                {
                    "name": entry["name"],
                    "kind": entry.get("kind", "arguments"),
                    "flags": entry["flags"],
                    "note": note,
                    "says": entry["says"],
                    "where": entry["where"],
                    "certain": certain,
                }
            )
    if judged.exact:
        rows += [{**row, "certain": True} for row in (*too_new(facts, settings), *mismatched(settings))]
        # An option whose value argparse refuses is told by launch.invalid; SGLang's own check never comes to see it.
        invalid = [row for row in facts.rows("launch.invalid") if row.get("kind") != "deprecated"]
        refused = {str(row["flag"]) for row in invalid if row.get("certain")}
        rows += [
            {**row, "certain": True}
            for row in refusals(settings)
            if not any(_told(row, one) for one in rows if one["kind"] != "inert") and not set(row["flags"]) <= refused
        ]
    out.put("launch.conflict", [{**_named(row, settings), "text": row["note"]} for row in rows], "derived")
    return out


def _named(row: Row, s: Settings) -> Row:
    """The row with what its rule calls it by: the backend, the quantisation method, or the problem."""
    if row["kind"] in ("backend", "backend-gpu"):
        flag = next((one for one in row["flags"] if one.endswith("-backend") and s.given(one)), row["flags"][0])
        return {**row, "backend": s.text(flag) or flag}
    if row["kind"] == "quantization":
        return {"method": s.text(row["flags"][0]) or row["flags"][0], **row}
    if row["kind"] == "context":
        return {**row, "asked": s.number("--context-length"), "derived": s.model.get("context")}
    if row["kind"] in ("range", "inert"):
        return {**row, "flag": row["flags"][0]}
    return {**row, "problem": row["note"]} if row["kind"] == "deepep" else row


def _told(row: Row, held: Row) -> bool:
    """Whether a refusal is already told in better words: the same message, or nothing but the same options."""
    one, other = (re.sub(r"\b(?:self|cfg|view)\.", "", said["says"])[:40] for said in (row, held))
    return (bool(other) and (one.startswith(other) or other.startswith(one))) or set(row["flags"]) <= set(held["flags"])


def _simple(entry: dict[str, Any], s: Settings) -> str:
    """A check that the data state in full: values out of range, flags that exclude or need others, or another GPU."""
    if "range" in entry:
        return _outside(entry, s)
    for flag, values in entry["when"].items():
        if not s.on(flag) or (values is not True and s.text(flag) not in values):
            return ""
    if any(s.given(flag) for flag in entry.get("unless", ())):
        return ""
    given = " with ".join(
        flag if values is True else f"{flag} {s.text(flag)}" for flag, values in entry["when"].items()
    )
    majors = entry.get("majors")
    if majors:
        wrong = sorted(s.majors - set(majors))
        allowed = " or ".join(f"{major}.x" for major in majors)
        return f"{given} needs compute capability {allowed}, and a GPU here has {wrong[0]}.x" if wrong else ""
    if "needs" not in entry:
        return f"{given} is not possible"
    missing = [flag for flag in entry["needs"] if not s.given(flag) and s.text(flag) in ("", "none")]
    missing += [flag for flag in entry["needs"] if s.given(flag) and s.text(flag) in ("none", "None")]
    return f"{given} needs {' and '.join(missing)}" if missing else ""


def _outside(entry: dict[str, Any], s: Settings) -> str:
    """One sentence where the value given is beyond the least or the most with which a server can work."""
    flag, (least, most) = entry["flags"][0], entry["range"]
    value = s.real(flag) if s.given(flag) else None
    if value is None or (value >= least and (most is None or value <= most)):
        return ""
    must = entry.get("must") or (f"at least {least:g}" if most is None else f"from {least:g} to {most:g}")
    return f"{flag} {value:g} cannot work: it must be {must}"


@lru_cache(maxsize=1)
def _known() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = load("launch-conflicts.json")["conflicts"]
    return entries
