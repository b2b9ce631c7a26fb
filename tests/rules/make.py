"""Small builders for rules, events and facts, so that a test shows only what it is about."""

from __future__ import annotations

from typing import Any

from sgldoctor.events import Event
from sgldoctor.facts import Facts
from sgldoctor.rank import rank
from sgldoctor.rules.schema import Finding, Rule, build
from sgldoctor.rules.select import select


def rule(slug: str, **keys: Any) -> Rule:
    """A rule with everything that is not under test filled in."""
    data: dict[str, Any] = {"title": slug, "cause": slug, "severity": "error", "about": "why"}
    return build(data | keys, slug, "test", f"{slug}.toml")


def log_rule(slug: str, anchor: str, **keys: Any) -> Rule:
    """A rule that selects exceptions holding ``anchor``."""
    return rule(slug, log=[{"anchor": anchor}], **keys)


def exceptions(*texts: str, chain: int = -1) -> list[Event]:
    """One exception event for each text, in order; with ``chain`` they form one chained traceback."""
    return [
        Event("exception", text, line=10 * order + 1, order=order, chain=chain, depth=order if chain >= 0 else 0)
        for order, text in enumerate(texts)
    ]


def findings(events: list[Event], *rules: Rule, facts: Facts | None = None) -> list[Finding]:
    """What the rules find, ranked."""
    return rank(select(facts or Facts(), events, rules, lambda _when: None))


def roles(found: list[Finding]) -> dict[str, str]:
    """Rule slugs with their roles, in rank order."""
    return {finding.rule.slug: finding.role for finding in found}
