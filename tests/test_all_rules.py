"""The rule base as a whole: every rule over every fixture. One that fires where nobody accepted it fails the build."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import jsonschema
import pytest

from sgldoctor.cli.fixtures import Case, accepted, cases, report, verdict
from sgldoctor.report import as_json, schema
from sgldoctor.rules.lint import lint_folder
from sgldoctor.rules.load import load
from sgldoctor.rules.schema import Rule

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "fixtures"
SCHEMA = json.loads(schema.text())
CASES = list(cases(str(FIXTURES)))
HEALTHY = sorted((FIXTURES / "_healthy").glob("*"))


@lru_cache(maxsize=1)
def rules() -> Sequence[Rule]:
    return load()


def name(case: Case) -> str:
    return f"{case.slug}/{os.path.basename(case.path)}"


def test_the_linter_is_content_and_every_rule_has_both_kinds_of_fixture() -> None:
    assert lint_folder(str(ROOT / "rules"), str(FIXTURES)) == []


def test_every_fixture_belongs_to_a_rule() -> None:
    slugs = {rule.slug for rule in rules()}
    assert {entry.name for entry in FIXTURES.iterdir() if not entry.name.startswith("_")} <= slugs


@pytest.mark.parametrize("case", CASES, ids=name)
def test_fixture(case: Case) -> None:
    """The rule fires or stays quiet as its file name says; no other rule names a cause that nobody accepted."""
    found = report(case.path, rules())
    assert verdict(case, found) == ""
    if not case.fires:
        return
    by_slug = {rule.slug: rule for rule in rules()}
    own = by_slug[case.slug]
    errors = [finding for finding in found.findings if finding.role == "cause" and finding.severity == "error"]
    strangers = [finding.rule.slug for finding in errors if finding.rule.slug != case.slug]
    allowed = _accepted_causes(case)
    assert set(strangers) <= allowed, f"also fires: {strangers}"
    if own.role == "cause" and own.severity == "error":
        assert any(finding.rule.slug == case.slug for finding in errors) or allowed, "its own finding is not a cause"


def _accepted_causes(case: Case) -> set[str]:
    """Rules that a review accepted beside the case's own, from ``<case>.finding.json``."""
    path = Path(os.path.splitext(case.path)[0] + ".finding.json")
    if not path.exists():
        return set()
    return {str(finding["rule"]) for finding in json.loads(path.read_text(encoding="utf-8"))}


ACCEPTED = [case for case in CASES if Path(os.path.splitext(case.path)[0] + ".finding.json").exists()]


@pytest.mark.parametrize("case", ACCEPTED, ids=name)
def test_accepted_finding_is_still_what_is_found(case: Case) -> None:
    wanted = json.loads(Path(os.path.splitext(case.path)[0] + ".finding.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(accepted(case, report(case.path, rules())))) == wanted


@pytest.mark.parametrize("case", CASES[::3], ids=name)
def test_the_report_fits_the_schema_that_is_printed(case: Case) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(as_json.render(report(case.path, rules()))))


def test_some_findings_were_accepted() -> None:
    assert ACCEPTED


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.name)
def test_nothing_is_wrong_with_a_healthy_log(path: Path) -> None:
    found = report(str(path), rules())
    assert [finding.rule.slug for finding in found.causes if finding.severity == "error"] == []
    assert found.status == "healthy"


def test_there_are_healthy_logs() -> None:
    assert HEALTHY
