"""Rules about known defects, against the release of the log: inside the range they fire, outside they are silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.knowledge.defects import defect
from sgldoctor.knowledge.releases import versions
from sgldoctor.pipeline import Options, explain
from sgldoctor.report.model import Report
from sgldoctor.rules.load import load

FIXTURES = Path(__file__).parents[1] / "fixtures"


def fires(name: str) -> str:
    return str(min((FIXTURES / name).glob("fires-*.log")))


def report(name: str, version: str = "") -> Report:
    return explain([fires(name)], Options(), sglang=version)


RULES = [rule.slug for rule in load() if "defect" in rule.when]
"""The defects that have a rule; of some only fixes ask."""


@pytest.mark.parametrize("name", RULES)
def test_it_fires_in_the_releases_that_have_it(name: str) -> None:
    for version in {defect(name).spans[0][0], defect(name).spans[-1][1]}:
        found = [finding for finding in report(name, version).causes if finding.rule.slug == name]
        assert found, version
        assert found[0].params["releases"] == defect(name).range


@pytest.mark.parametrize("name", [name for name in RULES if defect(name).cured])
def test_it_is_silent_in_the_release_that_cured_it(name: str) -> None:
    assert all(finding.rule.slug != name for finding in report(name, defect(name).cured).findings)


@pytest.mark.parametrize("name", RULES)
def test_an_unknown_release_gets_the_range(name: str) -> None:
    said = report(name)
    found = next(finding for finding in said.causes if finding.rule.slug == name)
    assert not said.facts.value("sglang", "version")
    assert found.params["releases"].startswith("SGLang ")
    assert found.params.get("cured", "") == defect(name).cured


def test_the_range_is_said_to_people() -> None:
    from sgldoctor.report.human import render

    text = render(report("eagle-filter-length"), 200)
    known = defect("eagle-filter-length")
    assert f"stands in {known.range}; cured in {known.cured}" in text
    open_one = render(report("swa-free-group"), 200)
    assert f"stands in {defect('swa-free-group').range}; no release known here cures it" in open_one


def test_a_failure_in_a_cured_release_says_what_was_ruled_out(tmp_path: Path) -> None:
    log = tmp_path / "crash.log"
    log.write_text(
        "Traceback (most recent call last):\n"
        '  File "/opt/lib/sglang/srt/managers/example.py", line 9, in run\n    raise ValueError(text)\n'
        "ValueError: length of new_indices: 7 != length of topk_p: 8, in my own words\n"
    )
    said = explain([str(log)], Options(), sglang=versions()[-1])
    assert said.status == "unknown"
    assert "eagle-filter-length is of other releases" in said.failures[0].ruled_out


def test_a_failure_says_since_when_its_function_is_there(tmp_path: Path) -> None:
    log = tmp_path / "crash.log"
    log.write_text(
        "Traceback (most recent call last):\n"
        '  File "/opt/lib/sglang/srt/managers/scheduler.py", line 9, in pause_generation\n    stop(everything)\n'
        "MyError: nobody has ever seen this\n"
    )
    failure = explain([str(log)], Options()).failures[0]
    assert failure.known == "srt/managers/scheduler.py has pause_generation in SGLang 0.5.6 and later"
    assert failure.ruled_out == ""
