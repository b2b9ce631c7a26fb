"""The facts that the code names are in the vocabulary: what is misspelt would only ever be "unknown"."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from sgldoctor.facts import Facts
from sgldoctor.vocabulary import FACTS

PACKAGE = Path(__file__).parents[1] / "sgldoctor"
EVERYWHERE = {"text", "line"}
METHODS = {"rows": 1, "one": 1, "known": 1, "value": 2, "put": 3}
"""Methods of :class:`Facts` that take a fact's name, and how many arguments they have."""


def named(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, fact and column (``""`` for none) of everything that a module reads or writes by a literal name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        words = [entry.value if isinstance(entry, ast.Constant) else None for entry in node.args]
        if METHODS.get(node.func.attr) == len(words) and isinstance(words[0], str) and not node.keywords:
            column = words[1] if node.func.attr == "value" and isinstance(words[1], str) else ""
            yield node.lineno, words[0], column
        # facts.one("x").get("column")
        inner = node.func.value
        if (
            node.func.attr == "get"
            and words
            and isinstance(words[0], str)
            and isinstance(inner, ast.Call)
            and isinstance(inner.func, ast.Attribute)
            and inner.func.attr == "one"
            and isinstance(inner.args[0], ast.Constant)
        ):
            yield node.lineno, str(inner.args[0].value), words[0]


FOUND = [(path, *one) for path in sorted(PACKAGE.rglob("*.py")) if path.name != "_rules.py" for one in named(path)]


def test_every_fact_and_column_that_is_named_exists() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: {fact}.{column}"
        for path, line, fact, column in FOUND
        if fact not in FACTS or (column and column not in {*FACTS[fact], *EVERYWHERE})
    ]
    assert wrong == []


def test_the_methods_are_those_of_facts_and_most_of_the_vocabulary_is_met() -> None:
    assert all(hasattr(Facts, name) for name in METHODS)
    assert len({fact for _, _, fact, _ in FOUND}) > 50
