"""Judging rule files before they run: everything that would make a rule wrong, slow or dangerous, in words."""

from __future__ import annotations

import os
import re
import sys

from sgldoctor import template
from sgldoctor.actions import kind
from sgldoctor.actions.base import PACKAGES
from sgldoctor.errors import RuleError
from sgldoctor.facts import Facts
from sgldoctor.knowledge import defects
from sgldoctor.knowledge.causes import causes
from sgldoctor.rules.load import parse_folder
from sgldoctor.rules.schema import FactMatch, Rule, build
from sgldoctor.rules.select import RAISED, standing
from sgldoctor.typed import Any
from sgldoctor.vocabulary import FACTS

ANCHOR_BYTES = 4
"""Shorter anchors hit everywhere and make the search of a large log slow."""
REPEAT_LIMIT = 1000
"""Largest bound of a quantifier: times the length of a text it stays linear in practice."""
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_VERSION = re.compile(r"(?:==|>=|<=|~=)\s*\d")


def lint_folder(folder: str, fixtures: str | None = None, others: tuple[Rule, ...] = ()) -> list[str]:
    """Every problem of every rule file below ``folder``, one line each; empty where all is well.

    ``fixtures``: folder in which each rule must have a case that fires and one that stays quiet; None: not asked.
    ``others``: rules of other folders, to which ``explains`` may refer.
    """
    problems: list[str] = []
    rules: list[Rule] = []
    try:
        parsed = parse_folder(folder)
    except RuleError as error:
        return [str(error)]
    for slug, area, path, data in parsed:
        try:
            rules.append(build(data, slug, area, path))
        except RuleError as error:
            problems.append(str(error))
    known = {rule.slug for rule in (*rules, *others)}
    seen: dict[str, str] = {rule.slug: rule.path for rule in others}
    for rule in rules:
        if rule.slug in seen:
            problems.append(f"{rule.path}: a rule named {rule.slug!r} exists already: {seen[rule.slug]}")
        seen[rule.slug] = rule.path
        problems += [f"{rule.path}: {problem}" for problem in lint(rule, known)]
        if fixtures is not None:
            problems += [f"{rule.path}: {problem}" for problem in _fixtures(rule, fixtures)]
    return problems


def lint(rule: Rule, known: set[str]) -> list[str]:
    """The problems of one rule; ``known`` holds the slugs that ``explains`` may name besides causes."""
    problems = []
    if not _SLUG.match(rule.slug):
        problems.append("the file name must be words of a-z and 0-9 joined by '-'")
    vocabulary = causes()
    if rule.cause not in vocabulary:
        problems.append(f"cause {rule.cause!r} is not in the vocabulary (sgldoctor/knowledge/data/causes.tsv)")
    if not rule.about:
        problems.append("'about' must say why it happens")
    problems += [f"names {name!r}, which is neither a rule nor a cause" for name in (*rule.explains, *rule.before)
                 if name not in known and name not in vocabulary]  # fmt: skip
    problems += _lint_when(rule.when)
    names: set[str] = set()
    for match in rule.logs:
        if len(match.anchor.encode()) < ANCHOR_BYTES:
            problems.append(f"anchor {match.anchor!r} is shorter than {ANCHOR_BYTES} bytes")
        try:
            names |= set(re.compile(match.pattern).groupindex)
        except re.error:
            pass  # reported by lint_regex
    problems += lint_patterns(rule)
    problems += _lint_title(rule)
    for fact in (*rule.facts, *rule.needs):
        problems += _lint_fact(fact)
    for fact in rule.facts:
        names |= set(FACTS.get(fact.each, {}))
    names |= set(standing(rule.when))
    texts = [rule.title, rule.subject]
    for recipe in rule.fixes:
        texts += [recipe.title, recipe.note]
        problems += _lint_when(recipe.when)
        if recipe.safety != "manual" and not recipe.actions:
            problems.append(f"fix {recipe.title!r} is {recipe.safety} but has no action")
        for action in recipe.actions:
            texts += _texts(action)
            if kind(action["do"]).scope == PACKAGES and any(_VERSION.search(text) for text in _texts(action)):
                problems.append(f"fix {recipe.title!r} holds a version: take it from {{pin:NAME}} or from a fact")
    for text in texts:
        problems += [f"placeholder {{{name}}} is neither a group, a column nor a fact" for name in template.names(text)
                     if not _placeholder(name, names)]  # fmt: skip
    return problems


def lint_patterns(rule: Rule) -> list[str]:
    """The problems of a rule's regular expressions alone."""
    return [
        problem for match in rule.logs for pattern in (match.pattern, match.unless) for problem in lint_regex(pattern)
    ]


def _lint_title(rule: Rule) -> list[str]:
    """A title that some text of a log would leave with a hole: ``{wanted}`` where a pattern need not catch it."""
    problems = []
    asked = [name for name in template.bare(rule.title) if "." not in name]
    for match in rule.logs if asked else ():
        caught = _caught(match.pattern)
        problems += [f"the title's {{{name}}} is not always known from anchor {match.anchor!r}: write {{{name}|words}}"
                     for name in asked if name not in caught]  # fmt: skip
    return problems


def _caught(pattern: str) -> set[str]:
    """Names of the groups that have a text in every match of ``pattern``; empty where it does not compile."""
    try:
        tree = _parser().parse(pattern)
    except (re.error, OverflowError):
        return set()  # reported by lint_regex
    names = {number: name for name, number in tree.state.groupdict.items()}
    return {names[number] for number in _always(tree) if number in names}


def _always(tree: Any) -> set[int]:
    """Numbers of the groups without which no match of a parsed expression is possible."""
    found: set[int] = set()
    for operation, argument in tree:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            found |= _always(argument[2]) if int(argument[0]) else set()
        elif name == "SUBPATTERN":
            found |= _always(argument[-1]) | ({argument[0]} if argument[0] is not None else set())
        elif name == "BRANCH":
            found |= set.intersection(*(_always(branch) for branch in argument[1]))
        elif name == "ASSERT":
            found |= _always(argument[1])
        elif name == "ATOMIC_GROUP":
            found |= _always(argument)
    return found


def _texts(action: dict[str, Any]) -> list[str]:
    texts: list[str] = []
    for key, value in action.items():
        if isinstance(value, str) and key != "do":
            texts.append(value)
        elif isinstance(value, list):
            texts += [entry for entry in value if isinstance(entry, str)]
    return texts


def _placeholder(name: str, names: set[str]) -> bool:
    if name.startswith("pin:") or name in names or name == RAISED:
        return True
    fact, _, column = name.rpartition(".")
    return column in FACTS.get(fact, {})


def _lint_when(when: dict[str, str]) -> list[str]:
    problems = []
    for key, value in when.items():
        if key not in ("sglang", "defect") or not isinstance(value, str):
            problems.append(f'\'when\' knows only sglang = "<range>" and defect = "<name>"; not {key!r}')
            continue
        if key == "defect":
            if value.removeprefix("!") not in defects.names():
                problems.append(f"'when' names the defect {value!r}, which scripts/defects.toml does not know")
            continue
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            SpecifierSet(value)
        except InvalidSpecifier:
            problems.append(f"'when' holds {value!r}, which is no version range")
    return problems


def _lint_fact(match: FactMatch) -> list[str]:
    if match.each not in FACTS:
        return [f"fact {match.each!r} is not in the vocabulary (sgldoctor/vocabulary.py)"]
    return [
        f"fact {match.each!r} has no column {column!r}"
        for column in (*match.where, *match.unless)
        if column not in FACTS[match.each]
    ]


def _fixtures(rule: Rule, fixtures: str) -> list[str]:
    folder = os.path.join(fixtures, rule.slug)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [
        f"needs a case that {what}: fixtures/{rule.slug}/{prefix}*.log or .json"
        for prefix, what in (("fires-", "fires"), ("quiet-", "stays quiet"))
        if not any(
            name.startswith(prefix) and name.endswith((".log", ".json")) for name in names if "finding" not in name
        )
    ]


def lint_regex(pattern: str) -> list[str]:
    """Shapes that are slow on some text or wrong on wrapped logs: unbounded or nested repetition, ``^``."""
    if not pattern:
        return []
    try:
        re.compile(pattern)
        tree = _parser().parse(pattern)
    except (re.error, OverflowError) as error:
        return [f"pattern {pattern!r} is no regular expression: {error}"]
    problems: list[str] = []
    _walk(tree, problems, inside=False)
    return [f"pattern {pattern!r}: {problem}" for problem in dict.fromkeys(problems)]


def _parser() -> Any:
    """The parser of the standard library's regular expressions."""
    if sys.version_info >= (3, 11):
        from re import _parser as parser  # type: ignore[attr-defined]
    else:
        import sre_parse as parser
    return parser


def _walk(tree: Any, problems: list[str], *, inside: bool) -> None:
    for operation, argument in tree:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, body = argument
            if int(high) > REPEAT_LIMIT:
                problems.append(f"bound every quantifier: {{{low},N}} with N of at most {REPEAT_LIMIT}")
            if inside and int(high) > 1:
                problems.append("no repetition inside a repetition")
            _walk(body, problems, inside=inside or int(high) > 1)
        elif name == "SUBPATTERN":
            _walk(argument[-1], problems, inside=inside)
        elif name == "BRANCH":
            for branch in argument[1]:
                _walk(branch, problems, inside=inside)
        elif name in ("ASSERT", "ASSERT_NOT"):
            _walk(argument[1], problems, inside=inside)
        elif name == "ATOMIC_GROUP":
            _walk(argument, problems, inside=inside)
        elif name == "AT" and "BEGINNING" in str(argument):
            problems.append("no ^: a log may wrap every line in something")


def facts_of_fixture(data: dict[str, Any]) -> Facts:
    """Facts from a ``.json`` fixture: an object of fact names to lists of rows; raises RuleError for another shape."""
    facts = Facts()
    for name, rows in data.items():
        if name not in FACTS or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise RuleError(f"a fixture holds fact names with lists of rows; {name!r} is not one")
        unknown = {column for row in rows for column in row} - set(FACTS[name]) - {"text", "line"}
        if unknown:
            raise RuleError(f"fact {name!r} has no column {', '.join(sorted(unknown))}")
        facts.put(name, rows, "probe")
    return facts
