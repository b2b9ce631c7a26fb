"""Known defects: in which releases they stand, and what the rules about them say."""

from __future__ import annotations

import pytest
from packaging.version import Version

from sgldoctor.derive.when import holds
from sgldoctor.facts import Facts
from sgldoctor.knowledge.defects import defect, names, stands
from sgldoctor.knowledge.releases import versions
from sgldoctor.rules.load import load


def release(version: str) -> Facts:
    facts = Facts()
    facts.put("sglang", {"version": version}, "log")
    return facts


def test_a_defect_stands_from_its_first_release_to_its_last() -> None:
    """#8668: the name was used where it was not imported, from 0.4.10 to 0.4.10.post1."""
    assert [stands("hicache-mooncake-name", version) for version in ("0.4.9.post6", "0.4.10", "0.4.10.post1")] == [
        False,
        True,
        True,
    ]
    assert stands("hicache-mooncake-name", "0.4.10.post2") is False
    assert stands("hicache-mooncake-name", "0.4.10.post1+cu126") is True
    assert defect("hicache-mooncake-name").cured == "0.4.10.post2"
    assert defect("hicache-mooncake-name").range == "SGLang 0.4.10 to 0.4.10.post1"


def test_a_build_between_two_releases_is_judged_only_where_both_agree() -> None:
    assert stands("deep-gemm-renamed-helper", "0.5.2.dev7") is None
    assert stands("eagle-filter-length", "0.5.9.dev3") is True
    assert stands("eagle-filter-length", "0.5.2rc1") is False


def test_outside_of_what_is_known_nothing_is_claimed() -> None:
    newest = versions()[-1]
    beyond = newest.rpartition(".")[0] + ".999"
    assert stands("swa-free-group", newest) is True
    assert stands("swa-free-group", beyond) is None
    assert stands("hicache-mooncake-name", beyond) is False
    assert stands("chunk-cache-disable", "0.3.0") is None
    assert stands("swa-free-group", "0.3.0") is False
    assert stands("swa-free-group", "main") is None


def test_every_range_is_of_known_releases_in_order() -> None:
    for name in names():
        found = defect(name)
        ends = [Version(end) for span in found.spans for end in span if end]
        assert ends == sorted(ends), name
        assert (found.cured == "") == (found.spans[-1][1] == versions()[-1]), name


def test_every_defect_has_a_rule_with_its_thread_and_is_no_fault_of_the_environment() -> None:
    rules = {rule.when["defect"]: rule for rule in load() if "defect" in rule.when}
    only_fixes = {recipe.when.get("defect", "").removeprefix("!") for rule in load() for recipe in rule.fixes}
    assert set(rules) | (only_fixes - {""}) == set(names())
    for rule in rules.values():
        assert rule.cause == "sglang-bug"
        assert rule.references, rule.slug
        assert any("{releases}" in str(action) for recipe in rule.fixes for action in recipe.actions), rule.slug


def test_a_rule_holds_by_the_release_that_is_known() -> None:
    when = {"defect": "eagle-filter-length"}
    assert holds(when, release("0.5.9")) is True
    assert holds(when, release("0.5.20")) is False
    assert holds(when, Facts()) is None


@pytest.mark.parametrize(("by", "answer"), [("lines", False), ("texts", None)])
def test_only_source_lines_rule_a_defect_out(by: str, answer: bool | None) -> None:
    """A text may be older than the first release that was read, or built from a variable later."""
    facts = Facts()
    facts.put("log.releases", {"first": "0.5.20", "last": "0.5.21", "among": ["0.5.20", "0.5.21"], "by": by}, "derived")
    assert holds({"defect": "eagle-filter-length"}, facts) is answer
    assert holds({"sglang": ">=0.5.20"}, facts) is True


def test_a_fix_may_ask_for_what_a_release_lacks() -> None:
    """The check of cuDNN for vision models came with 0.5.6 and went with 0.5.10."""
    wanted = [
        holds({"defect": "cudnn-conv3d-check"}, release(version)) for version in ("0.5.5.post3", "0.5.6", "0.5.9")
    ]
    assert wanted == [False, True, True]
    refused = [holds({"defect": "!cudnn-conv3d-check"}, release(version)) for version in ("0.5.6", "0.5.10")]
    assert refused == [False, True]
    assert holds({"defect": "!cudnn-conv3d-check"}, Facts()) is None
