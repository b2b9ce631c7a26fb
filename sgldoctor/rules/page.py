"""A rule explained to people: as a page of text, and all of them as one Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sgldoctor.rules.schema import FactMatch, LogMatch, Rule
from sgldoctor.typed import Any

ROLES = {
    "cause": "what is wrong",
    "symptom": "an echo of another fault: never told as the cause",
    "notice": "worth knowing, no fault",
}


def describe(rule: Rule) -> str:
    """Everything that a rule says: what it means, where it looks, what it needs, what it advises."""
    return "\n".join([f"{rule.slug}: {rule.title}", *_body(rule)]) + "\n\n"


def _body(rule: Rule) -> Iterator[str]:
    yield f"  cause {rule.cause}, area {rule.area}, {rule.severity}, confidence {rule.confidence}"
    yield f"  {rule.role}: {ROLES[rule.role]}"
    if rule.frame:
        yield "  frame: wraps other faults, and gives way to any that is found inside or before it"
    if rule.generic:
        yield "  generic: gives way to every rule that knows the same event better"
    if rule.subject:
        yield f"  at fault: {rule.subject}"
    if rule.when:
        yield f"  only: {_pairs(rule.when)}"
    yield ""
    yield from (f"  {line}".rstrip() for line in rule.about.splitlines())
    for number, match in enumerate(rule.logs):
        yield from ["", "In a log:" if number == 0 else "or:"]
        yield from (f"  {line}" for line in _log(match))
    for number, fact in enumerate(rule.facts):
        yield from ["", "As a fact:" if number == 0 else "or:", f"  {_fact(fact)}"]
    if rule.needs:
        yield from ["", "Only where also:", *(f"  {_fact(fact)}" for fact in rule.needs)]
    for recipe in rule.fixes:
        yield from ["", f"Fix ({recipe.safety}): {recipe.title}"]
        if recipe.when:
            yield f"  only: {_pairs(recipe.when)}"
        yield from (f"  {_action(action)}" for action in recipe.actions)
        if recipe.note:
            yield f"  {recipe.note}"
    if rule.explains:
        yield from ["", f"Explains: {', '.join(rule.explains)}"]
    if rule.before:
        yield from ["", f"Told before: {', '.join(rule.before)}"]
    if rule.references:
        yield from ["", *(f"See {entry}" for entry in rule.references)]


def _log(match: LogMatch) -> Iterator[str]:
    yield match.pattern or match.anchor
    yield f"in: {', '.join(match.kinds)}"
    if match.type:
        yield f"exception type: {match.type}"
    if match.place:
        yield f"raised under one of: {', '.join(match.place)}"
    if match.inner:
        yield f"raised in one of: {', '.join(match.inner)}"
    if match.unless:
        yield f"unless: {match.unless}"
    if match.also:
        yield f"and elsewhere in the log: {', '.join(match.also)}"
    if match.never:
        yield f"and nowhere in the log: {', '.join(match.never)}"


def _fact(match: FactMatch) -> str:
    text = f"{match.each} where {_pairs(match.where) or 'any'}"
    return f"{text}, unless {_pairs(match.unless)}" if match.unless else text


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def _action(action: dict[str, Any]) -> str:
    keys = ", ".join(f"{key} = {value}" for key, value in action.items() if key not in ("do", "verify"))
    return f"{action['do']}: {keys}"


def reference(rules: Iterable[Rule]) -> str:
    """All rules as one Markdown page, by area; the text of a rule cannot act as markup."""
    by_area: dict[str, list[Rule]] = {}
    for rule in sorted(rules, key=lambda rule: rule.slug):
        by_area.setdefault(rule.area, []).append(rule)
    areas = sorted(by_area)
    out = ["# Rules", "", f"{sum(map(len, by_area.values()))} rules, made by `sgldoctor rules docs`.", ""]
    out += [f"- [{area}](#{area}): {len(by_area[area])}" for area in areas]
    for area in areas:
        out += ["", f"## {area}", "", "| rule | severity | what it says |", "|---|---|---|"]
        out += [f"| [`{rule.slug}`](#{rule.slug}) | {rule.severity} | {_cell(rule.title)} |" for rule in by_area[area]]
        for rule in by_area[area]:
            fence = "`" * (3 + max(map(len, _ticks(rule)), default=0))
            out += ["", f"### {rule.slug}", "", f"{fence}text", *_lines(rule), fence]
    return "\n".join(out) + "\n"


def _lines(rule: Rule) -> list[str]:
    return [rule.title, *_body(rule)]


def _ticks(rule: Rule) -> list[str]:
    import re

    return re.findall("`+", "\n".join(_lines(rule)))


def _cell(text: str) -> str:
    for sign in "\\`|*_[]<":
        text = text.replace(sign, f"\\{sign}")
    return text
