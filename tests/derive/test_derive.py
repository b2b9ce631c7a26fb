"""Deriving as a whole: stages run where their facts are known, and a defect in one is confined to it."""

from __future__ import annotations

from sgldoctor import derive
from sgldoctor.facts import Facts


def test_nothing_follows_from_nothing() -> None:
    facts = Facts()
    derive.derive(facts)
    assert facts.names() == []
    assert facts.unknown == []


def test_a_row_that_breaks_one_derivation_leaves_the_others() -> None:
    facts = Facts()
    facts.put("driver", {"version": object()}, "snapshot")  # no JSON value: stands for any defect
    facts.put("torch", {"version": "2.9.1", "cuda": object()}, "snapshot")
    facts.put("environment", {"name": "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", "value": "4096"}, "snapshot")
    derive.derive(facts)
    assert facts.rows("environment.range")
