"""What the lab saw in real environments, judged again: the rules of today on facts recorded there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sgldoctor.report.model import Report
from tests.lab.env import Variant
from tests.lab.replay import FOLDER, assembled, judge, load, told
from tests.lab.variants import ALL

BY_NAME = {variant.name: variant for variant in ALL}
RECORDED = sorted(path.stem for path in FOLDER.glob("*.json"))


def as_expected(report: Report, variant: Variant) -> str:
    """What is wrong with the verdict on a variant, ``""`` if nothing is: the right cause, first, and no false one."""
    found = [
        finding for finding in report.findings if finding.role != "symptom" and finding.rule.slug != "no-nvidia-gpu"
    ]
    first = found[0] if found else None
    if not variant.cause:
        wrong = [finding.title for finding in found if finding.severity == "error"]
        return f"a sound environment, and: {wrong}" if wrong else ""
    if first is None:
        return "nothing was found"
    if (first.rule.cause, first.severity) != (variant.cause, variant.severity):
        return f"first is {first.severity} {first.rule.cause}: {first.title}"
    if variant.subject not in first.subject and variant.subject not in first.title:
        return f"the subject is {first.subject}"
    return ""


def test_every_variant_was_recorded() -> None:
    assert set(RECORDED) == BY_NAME.keys()


@pytest.mark.parametrize("name", RECORDED)
def test_the_cause_is_found_named_and_first(name: str, tmp_path: Path) -> None:
    variant, kept = BY_NAME[name], load(name)
    data = kept if name.startswith("sound-") else assembled(load(f"sound-{kept['good']}"), kept)
    data = {key: value for key, value in data.items() if key != "findings"}
    report = judge(data, tmp_path)
    assert as_expected(report, variant) == ""
    assert told(report) == kept["findings"]


@pytest.mark.parametrize("name", RECORDED)
def test_nothing_of_the_machine_is_kept(name: str) -> None:
    text = (FOLDER / f"{name}.json").read_text()
    assert not re.search(r"/(?:work|tmp|home)/|SGLDOCTOR_LAB|simple/", text)
