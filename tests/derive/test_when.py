"""For which release a rule or a recipe stands, where the release is known and where a log only leaves some open."""

from __future__ import annotations

import pytest

from sgldoctor.derive.when import holds
from sgldoctor.facts import Facts

OLD, NEW = "0.5.8", "0.5.20"


def installed(version: str) -> Facts:
    facts = Facts()
    facts.put("sglang", {"version": version}, "probe")
    return facts


def log(*among: str, by: str) -> Facts:
    facts = Facts()
    facts.put("log.releases", {"among": list(among), "by": by}, "derived")
    return facts


@pytest.mark.parametrize(
    ("facts", "answer"),
    [
        (installed(OLD), True),
        (installed(NEW), False),
        (installed("no version"), None),
        (Facts(), None),
        (log(OLD, by="lines"), True),
        (log(OLD, by="texts"), True),
        (log(NEW, by="lines"), False),
        (log(NEW, by="texts"), None),
        (log(OLD, NEW, by="lines"), None),
        (log(OLD, NEW, by="texts"), None),
    ],
)
def test_a_release_is_within(facts: Facts, answer: bool | None) -> None:
    assert holds({"sglang": "<0.5.10"}, facts) is answer


def test_nothing_asked_for_always_stands() -> None:
    assert holds({}, Facts()) is True


def test_one_no_outweighs_what_is_not_known() -> None:
    assert holds({"sglang": "<0.5.10", "defect": "swa-free-group"}, installed("0.5.999")) is False
