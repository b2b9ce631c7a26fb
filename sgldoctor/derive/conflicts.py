"""Arguments that contradict each other, by SGLang's own asserts (``knowledge/data/launch-conflicts.json``).

The data say which release has which check and what it prints; ``parallel_checks`` and ``serving_checks`` hold the
arithmetic, one function per check. A check over a value that is not known (a variable, a default that SGLang decides at
run time) says nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sgldoctor.derive import parallel_checks, serving_checks
from sgldoctor.derive.effective import read, whole_line
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.releases import load

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
    judged = flags.judges(facts.value("sglang", "version") or None)
    rows: list[Row] = []
    for entry in _known():
        if not flags.inside(entry["present"], settings.release):
            continue
        note = CHECKS[entry["name"]](settings)
        if note:
            certain = judged.exact or judged.newer or all(flags.inside(entry["present"], o) for o in judged.others)
            rows.append(
                {
                    "name": entry["name"],
                    "flags": entry["flags"],
                    "note": note,
                    "says": entry["says"],
                    "where": entry["where"],
                    "certain": certain,
                }
            )
    out.put("launch.conflict", rows, "derived")
    return out


@lru_cache(maxsize=1)
def _known() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = load("launch-conflicts.json")["conflicts"]
    return entries
