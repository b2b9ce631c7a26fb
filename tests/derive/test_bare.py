"""SGLang without what it requires is one fault, with one requirement that brings it all."""

from __future__ import annotations

from typing import Any

import pytest

from sgldoctor.derive import derive
from sgldoctor.facts import Facts
from sgldoctor.knowledge import releases
from sgldoctor.pipeline import Options, conclude
from sgldoctor.report.human import SYMPTOMS, render
from sgldoctor.rules.load import load

KNOWN = releases.versions()


def facts(version: str, *others: str, **columns: Any) -> Facts:
    made = Facts()
    row = {"name": "sglang", "version": version, "location": "/v/lib", "editable": False, **columns}
    made.put("packages", [row, *({"name": name, "version": "1.0", "location": "/v/lib"} for name in others)], "probe")
    made.put("python", {"version": "3.12.3", "executable": "/v/bin/python", "prefix": "/v", "chosen": ""}, "probe")
    derive(made)
    return made


@pytest.mark.parametrize("version", KNOWN)
def test_of_every_release_by_itself_all_is_absent(version: str) -> None:
    row = facts(version).one("packages.bare")
    assert row["missing"] == row["required"] > 20
    assert str(row["pin"]).partition("==")[2] == version
    # Before the server was the plain install, only an extra brings torch.
    assert ("[" in str(row["pin"])) is not any(line.startswith("torch==") for line in _release(version).pins)


def _release(version: str) -> releases.Release:
    found = releases.release(version)
    assert found is not None
    return found


def test_torch_or_most_of_the_others_make_it_an_ordinary_fault() -> None:
    newest = KNOWN[-1]
    assert not facts(newest, "torch").rows("packages.bare")
    names = [line.partition("==")[0].partition("[")[0] for line in _release(newest).pins]
    ordinary = [name for name in names if name.replace("-", "").isalnum() and name != "torch"]
    assert not facts(newest, *ordinary).rows("packages.bare")
    assert not facts(newest, editable=True).rows("packages.bare")


def test_the_report_names_one_cause_and_not_every_symptom_of_it() -> None:
    found = conclude("check", facts(KNOWN[-1]), (), load(), Options())
    (cause,) = [finding for finding in found.causes if finding.severity == "error"]
    assert cause.rule.slug == "sglang-without-requirements"
    symptoms = sum(finding.role == "symptom" for finding in found.findings)
    assert symptoms > SYMPTOMS
    assert f"and {symptoms - SYMPTOMS} more (-v shows them)" in " ".join(render(found, 100).split())
    assert render(found, 100, 1).count("\nsymptom ") == symptoms
