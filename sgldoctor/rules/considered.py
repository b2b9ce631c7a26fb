"""What was ruled out where nothing explains a failure: the rules that know its words, and why none of them fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sgldoctor.events import Event
from sgldoctor.rules.base import RuleBase
from sgldoctor.rules.limit import TimedOut, search
from sgldoctor.rules.schema import LogMatch, Rule
from sgldoctor.rules.select import innermost, placed

NAMED = 4
"""How many rules are named for one reason; the rest is counted."""
RELEASE, ELSEWHERE, TEXT = "of other releases", "about other places", "about other texts"
_REASONS = (RELEASE, ELSEWHERE, TEXT)


def ruled_out(event: Event, rules: Sequence[Rule], holds: Callable[[dict[str, str]], bool | None]) -> str:
    """In words, nearest miss first; ``""`` where every rule that shares a word with it means another text."""
    base = RuleBase.of(rules)
    numbers = sorted({number for anchor, found in base.anchors.items() if anchor in event.text for number in found})
    missed: dict[str, list[str]] = {reason: [] for reason in _REASONS}
    for number in numbers:
        rule = base[number]
        reasons = {_missed(match, rule, event, holds) for match in rule.logs if match.anchor in event.text}
        missed[min(reasons, key=_REASONS.index)].append(rule.slug)
    said = [_said(missed[reason], reason) for reason in (RELEASE, ELSEWHERE) if missed[reason]]
    if said and missed[TEXT]:
        said.append(f"{len(missed[TEXT])} {TEXT}")
    count = "1 rule knows" if len(numbers) == 1 else f"{len(numbers)} rules know"
    return f"{count} words of it: {'; '.join(said)}" if said else ""


def _said(slugs: list[str], reason: str) -> str:
    more = f" and {len(slugs) - NAMED} more" if len(slugs) > NAMED else ""
    return f"{', '.join(slugs[:NAMED])}{more} {'is' if len(slugs) == 1 else 'are'} {reason}"


def _missed(match: LogMatch, rule: Rule, event: Event, holds: Callable[[dict[str, str]], bool | None]) -> str:
    try:
        fits = not match.pattern or search(re.compile(match.pattern), event.text)
        if not fits or (match.unless and search(re.compile(match.unless), event.text)):
            return TEXT
    except TimedOut:
        return TEXT
    if (match.place and not placed(match.place, event)) or (
        match.inner and not any(text in innermost(event) for text in match.inner)
    ):
        return ELSEWHERE
    return RELEASE if rule.when and holds(rule.when) is False else TEXT
