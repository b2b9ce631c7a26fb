"""Server arguments given as values: a ``ServerArgs(...)`` or ``Engine(...)`` call, a YAML or JSON mapping."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping

from sgldoctor.knowledge import flags
from sgldoctor.launch.command import Command, command_of
from sgldoctor.launch.shell import Word
from sgldoctor.typed import Any, NamedTuple

CALLS = ("ServerArgs", "Engine")
_UNKNOWN = object()


class Values(NamedTuple):
    """A mapping of argument names to values, the line on which it begins, and the call or file that it stands in."""

    values: Mapping[str, Any]
    line: int
    where: str


def command(values: Mapping[str, Any], line: int = 1) -> Command:
    """The command line that ``values`` amount to; names are those of ``ServerArgs``, with ``_`` or ``-``.

    A value that is not a plain one (``UNKNOWN``) is kept as not known; None and False are what is left out.
    """
    words: list[Word] = []
    for name, value in values.items():
        flag = flags.by_dest(str(name).replace("-", "_").lstrip("_")) or "--" + str(name).replace("_", "-").lstrip("-")
        if value is None or value is False:
            continue
        words.append(Word(flag, True, line))
        if value is _UNKNOWN:
            words.append(Word("<value>", False, line))
        elif isinstance(value, (list, tuple)):
            words += [Word(_text(item), item is not _UNKNOWN, line) for item in value]
        elif value is not True:
            words.append(Word(_text(value), True, line))
    return command_of("options", tuple(words))


def _text(value: Any) -> str:
    if value is _UNKNOWN:
        return "<value>"
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str)
    return str(value)


def of_python(text: str) -> list[Values]:
    """Every ``ServerArgs(...)``, ``Engine(...)`` and dictionary of server arguments in a Python source; never run."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[Values] = []
    spread: dict[str, dict[str, Any]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and isinstance(node.targets[0], ast.Name):
            spread[node.targets[0].id] = _dictionary(node.value)
    used: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in CALLS or not node.keywords:
            continue
        values: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg:
                values[keyword.arg] = literal(keyword.value)
            elif isinstance(keyword.value, ast.Name) and keyword.value.id in spread:
                used.add(keyword.value.id)
                values.update(spread[keyword.value.id])
        found.append(Values(values, node.lineno, name))
    # A dictionary that no call here takes, but whose keys are a server's.
    for name, values in spread.items():
        if name not in used and "model_path" in values:
            found.append(Values(values, 1, name))
    return found


def _dictionary(node: ast.Dict) -> dict[str, Any]:
    return {
        key.value: literal(value)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def literal(node: ast.expr) -> Any:
    """The value of a literal in a syntax tree, or the mark of one that only running the program would tell."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return _UNKNOWN


def is_arguments(values: Mapping[Any, Any]) -> bool:
    """Whether a mapping reads like server arguments: it names a model, or most of its keys are a server's."""
    names = [str(name).replace("-", "_") for name in values]
    known = sum(bool(flags.by_dest(name)) for name in names)
    return "model_path" in names or (known >= 2 and known * 2 > len(names))
