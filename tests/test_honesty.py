"""Honesty: without its decisive line a log gets no wrong cause, and two faults in one log are both found, in order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pytest

from sgldoctor import log, pipeline
from sgldoctor.cli.fixtures import Case, cases
from sgldoctor.report.model import Report
from sgldoctor.rules.load import load
from sgldoctor.rules.schema import Finding, Rule
from sgldoctor.rules.select import literals

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


@lru_cache(maxsize=1)
def rules() -> Sequence[Rule]:
    return load()


def _faults() -> list[Case]:
    known = {rule.slug for rule in load() if rule.role == "cause" and rule.severity == "error"}
    return [case for case in cases(str(FIXTURES)) if case.fires and case.path.endswith(".log") and case.slug in known]


FAULTS = _faults()


def explain(text: str, folder: Path) -> Report:
    path = folder / "crash.log"
    path.write_text(text, encoding="utf-8")
    reading = log.read([str(path)], literals(rules()))
    return pipeline.conclude("explain", reading.facts, reading.events, rules(), pipeline.Options())


def name(case: Case) -> str:
    return f"{case.slug}/{os.path.basename(case.path)}"


@pytest.mark.parametrize("case", FAULTS, ids=name)
def test_without_its_decisive_lines_no_wrong_cause_is_named(case: Case, tmp_path: Path) -> None:
    """What was only a consequence may now be the best that can be said; anything else would be an invention."""
    text = Path(case.path).read_text(encoding="utf-8")
    whole = explain(text, tmp_path)
    errors = [finding for finding in whole.causes if finding.severity == "error"]
    if not errors:
        pytest.skip("the case is told by facts that were pasted, not by a line")
    decisive = {line for event in errors[0].events for line in range(event.line, max(event.end, event.line) + 1)}
    rest = "\n".join(line for number, line in enumerate(text.split("\n"), 1) if number not in decisive)
    left = [finding for finding in explain(rest, tmp_path).causes if finding.severity == "error"]
    known = {finding.rule.cause for finding in whole.findings}
    assert [finding.rule.slug for finding in left if finding.rule.cause not in known] == []


def _area(case: Case) -> str:
    return next(rule.area for rule in rules() if rule.slug == case.slug)


def _pairs() -> list[tuple[Case, Case]]:
    """Each rule's first log with that of a rule of another area: faults of one area share their context."""
    firsts = list({case.slug: case for case in reversed(FAULTS)}.values())
    half = len(firsts) // 2
    turned = firsts[half:] + firsts[:half]
    return [(one, two) for one, two in zip(firsts, turned, strict=True) if _area(one) != _area(two)]


def _said(finding: Finding) -> bool:
    """Whether a finding stands on a claim: it is less sure than its rule."""
    return all(rule.confidence != finding.rule.confidence for rule in rules() if rule.slug == finding.rule.slug)


@pytest.mark.parametrize(("one", "two"), _pairs(), ids=name)
def test_two_faults_in_one_log_are_both_found(one: Case, two: Case, tmp_path: Path) -> None:
    texts = [Path(case.path).read_text(encoding="utf-8") for case in (one, two)]
    alone = [[finding for finding in explain(text, tmp_path).causes if finding.severity == "error"] for text in texts]
    if not all(causes and causes[0].events for causes in alone):
        pytest.skip("one of them is told by facts, not by a line that a rule knows")
    if any(_said(causes[0]) for causes in alone):
        pytest.skip("one of them is only said, in a title or a sentence, and gives way to what a log shows")
    both = explain("\n".join(texts), tmp_path)
    found = {finding.rule.cause for finding in both.findings}
    assert {causes[0].rule.cause for causes in alone} <= found
    if not alone[0][0].rule.frame:
        assert both.causes[0].rule.cause in {finding.rule.cause for finding in alone[0]}
