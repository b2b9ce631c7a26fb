"""No launch line of SGLang's documentation is called wrong in any release that takes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.derive.launch import derive
from sgldoctor.facts import Facts
from sgldoctor.knowledge import flags
from sgldoctor.launch import facts_of

TEXT = (Path(__file__).parent / "documented.txt").read_text(encoding="utf-8")
LINES = [line.split(" | ", 1) for line in TEXT.splitlines() if not line.startswith("#")]
SAMPLED = 4
"""Releases judged per line: the first, the last, and some between."""


def between(first: str, last: str) -> list[str]:
    known = flags.releases()
    inside = known[known.index(first) : known.index(known[-1] if last == "-" else last) + 1]
    step = max(1, (len(inside) - 1) // (SAMPLED - 1))
    return list(dict.fromkeys([*inside[::step], inside[-1]]))


def wrong(line: str, release: str, major: str) -> list[str]:
    facts = Facts()
    facts.put("sglang", {"version": release}, "probe")
    capability = f"{9 if major == '0' else major}.0"
    facts.put("gpus", [{"index": index, "capability": capability} for index in range(8)], "probe")
    facts.merge(facts_of(line))
    facts.merge(derive(facts))
    bad = [row["note"] for row in facts.rows("launch.invalid") if row["kind"] != "deprecated"]
    return bad + [row["note"] for row in facts.rows("launch.conflict")]


@pytest.mark.parametrize(("given", "line"), LINES)
def test_documented_lines_are_accepted(given: str, line: str) -> None:
    first, last, major = given.split()
    assert {release: found for release in between(first, last) if (found := wrong(line, release, major))} == {}


def test_there_are_enough_of_them_and_they_are_really_judged() -> None:
    assert len(LINES) >= 60
    assert all(wrong(f"{line} --no-such-option", flags.releases()[-1], "9") for _, line in LINES[:5])
