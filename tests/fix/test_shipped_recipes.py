"""The recipes of the shipped rules can be carried out: only what comes from a log may be refused."""

from __future__ import annotations

import pytest

from sgldoctor.actions.kinds.remove_flag import RemoveFlag
from sgldoctor.actions.kinds.set_flag import SetFlag
from sgldoctor.facts import Facts
from sgldoctor.fix.recipe import fixes
from sgldoctor.knowledge import flags
from sgldoctor.rules.load import load
from sgldoctor.rules.schema import Finding, Rule
from sgldoctor.template import names

RULES = [rule for rule in load() if rule.fixes]


def pin(name: str) -> str | None:
    return f"{name}==1.0"


def finding(rule: Rule) -> Finding:
    return Finding(rule, {}, "", rule.title, rule.role, (), 1)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.slug)
def test_literal_recipes_are_formed(rule: Rule) -> None:
    for recipe, fix in zip(rule.fixes, fixes(finding(rule), Facts(), pin), strict=True):
        for table, action in zip(recipe.actions, fix.actions, strict=True):
            texts = [str(text) for text in table.values()]
            if not any(name for text in texts for name in names(text) if not name.startswith("pin:")):
                assert action.do == table["do"], f"{table}: {fix.note}"
            if isinstance(action, SetFlag | RemoveFlag):
                assert flags.canonical(action.flag), f"{action.flag} is a flag of no release"


def test_there_are_rules_to_check() -> None:
    assert RULES
