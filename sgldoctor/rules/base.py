"""The rule base: rules that are made when a log or a fact asks for them.

Making all rules would cost more than reading a short log, and more with every rule that is added. So the compiled form
holds each rule as opaque bytes, and an index: which rules look for an anchor, and which for a fact. A start reads the
index only, then makes the few rules whose anchor or fact is there.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sgldoctor.errors import RuleError
from sgldoctor.rules.schema import Rule, build, plain, restored
from sgldoctor.typed import Any

MARSHAL = 2
"""Version of the format of the bytes: plain values in it are read by every Python that the doctor runs on."""

Parsed = tuple[str, str, str, dict[str, Any]]
"""A rule as plain data: slug, area, path, parsed file."""
Stored = tuple[str, str, str, bytes]
"""A rule as it is kept: slug, area, path, all of it as bytes."""
Index = dict[str, tuple[int, ...]]
"""From a text or the name of a fact to the numbers of the rules that ask for it."""
Grams = dict[str, tuple[str, ...]]
"""From four characters, no digit among them, to the anchors that are looked for where these stand; ``""``: the rest."""
Compiled = tuple[list[Stored], Index, tuple[str, ...], Index, tuple[str, ...], Grams]
"""Rules, anchors, the anchors that hold no other one, facts, texts of which only the presence counts, grams."""
GRAM = 4
NUMBERLESS = dict.fromkeys(map(ord, "0123456789"))
"""Translates a text to one without digits, in which all its parts that hold none stand as well."""


class RuleBase(Sequence[Rule]):
    """All rules in the order of their files. A rule is made when it is first asked for."""

    def __init__(self) -> None:
        self._rules: list[Rule | Stored] = []
        self.anchors: dict[str, tuple[int, ...]] = {}
        self.minimal: list[str] = []
        self.facts: dict[str, tuple[int, ...]] = {}
        self.words: dict[str, None] = {}
        self.grams: dict[str, tuple[str, ...]] = {}

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> RuleBase:
        """A rule base of rules that were made already; a rule base as it is."""
        if isinstance(rules, cls):
            return rules
        base = cls()
        held = list(rules)
        base._rules = [*held]
        base.anchors, base.facts, base.words = _index(held)
        base.minimal = searched(held)
        base.grams = _grams(base.anchors)
        return base

    def add(self, compiled: Compiled) -> None:
        """Take over compiled rules, behind those that are there."""
        begin = len(self._rules)
        stored, anchors, minimal, facts, words, grams = compiled
        self._rules += stored
        self.minimal += minimal
        self.words.update(dict.fromkeys(words))
        for gram, held in grams.items():
            self.grams[gram] = (*self.grams[gram], *held) if gram in self.grams else held
        for mine, theirs in ((self.anchors, anchors), (self.facts, facts)):
            if begin:
                for key, numbers in theirs.items():
                    mine[key] = (*mine.get(key, ()), *(begin + number for number in numbers))
            else:
                mine.update(theirs)

    def slugs(self) -> dict[str, str]:
        """The slug of every rule, to its file; makes no rule."""
        return {rule[0]: rule.path if isinstance(rule, Rule) else rule[2] for rule in self._rules}

    def about(self, fact: str) -> list[Rule]:
        """The rules that select rows of ``fact``."""
        return [self[number] for number in self.facts.get(fact, ())]

    def present(self, text: str) -> set[str]:
        """The anchors that stand in ``text``, at a cost that hardly grows with their number."""
        lines = "\n".join(set(text.translate(NUMBERLESS).split("\n")))  # lines of a log differ in numbers, mostly
        grams = {lines[at : at + GRAM] for at in range(len(lines))}
        likely = [anchor for gram in self.grams.keys() & grams for anchor in self.grams[gram]]
        return {anchor for anchor in (*likely, *self.grams.get("", ())) if anchor in text}

    def literals(self) -> list[bytes]:
        """What a large log is searched for: with these, every event that a rule may select is found."""
        return sorted({anchor.encode() for anchor in self.minimal})

    def witnesses(self) -> list[bytes]:
        """Texts of which the rules only ask whether they are in the log as well."""
        return sorted(word.encode() for word in self.words)

    def __len__(self) -> int:
        return len(self._rules)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[place] for place in range(*number.indices(len(self)))]
        rule = self._rules[number]
        if not isinstance(rule, Rule):
            rule = self._rules[number] = restored(marshal.loads(rule[3]))  # noqa: S302 - our own bytes
        return rule

    def __iter__(self) -> Iterator[Rule]:
        return (self[number] for number in range(len(self)))


def compiled(parsed: Iterable[Parsed]) -> Compiled:
    """Parsed rules in the form that a start reads; raises RuleError for a file that is no rule."""
    rules: list[Rule] = []
    stored: list[Stored] = []
    for slug, area, path, data in parsed:
        rule = build(data, slug, area, path)
        rules.append(rule)
        try:
            stored.append((slug, area, path, marshal.dumps(plain(rule), MARSHAL)))
        except ValueError:
            raise RuleError(f"{path}: a rule holds texts, numbers and tables; dates are written in quotes") from None
    anchors, facts, words = _index(rules)
    return stored, anchors, minimal(searched(rules)), facts, tuple(words), _grams(anchors)


def searched(rules: Iterable[Rule]) -> list[str]:
    """The anchors that a large log is searched for: not those that count in claims alone (of short texts)."""
    return list(dict.fromkeys(match.anchor for rule in rules for match in rule.logs if match.kinds != ("claim",)))


def minimal(texts: Iterable[str]) -> tuple[str, ...]:
    """Those of ``texts`` that hold no other one: whoever finds these finds all."""
    kept: list[str] = []
    for text in sorted(texts, key=lambda text: (len(text), text)):
        if not any(other in text for other in kept):
            kept.append(text)
    return tuple(kept)


def _index(rules: Sequence[Rule]) -> tuple[Index, Index, dict[str, None]]:
    anchors: dict[str, list[int]] = {}
    facts: dict[str, list[int]] = {}
    words: dict[str, None] = {}
    for number, rule in enumerate(rules):
        for match in rule.logs:
            anchors.setdefault(match.anchor, []).append(number)
            words.update(dict.fromkeys((*match.also, *match.never)))
        for fact in rule.facts:
            facts.setdefault(fact.each, []).append(number)
    return _unique(anchors), _unique(facts), words


def _grams(anchors: Iterable[str]) -> Grams:
    """Each anchor at those four of its characters, without digits, that the fewest other anchors hold."""
    parts = {}
    for anchor in sorted(anchors):
        grams = [anchor[at : at + GRAM] for at in range(len(anchor) - GRAM + 1)]
        parts[anchor] = [gram for gram in grams if not any(char in "0123456789\n" for char in gram)] or [""]
    count: dict[str, int] = {}
    for grams in parts.values():
        for gram in set(grams):
            count[gram] = count.get(gram, 0) + 1
    found: dict[str, list[str]] = {}
    for anchor, grams in parts.items():
        found.setdefault(min(grams, key=lambda gram: count[gram]), []).append(anchor)
    return {gram: tuple(held) for gram, held in found.items()}


def _unique(index: Mapping[str, Sequence[int]]) -> Index:
    return {key: tuple(dict.fromkeys(numbers)) for key, numbers in index.items()}
