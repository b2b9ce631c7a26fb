"""Conditions over the arguments: expressions, each once, and what can be known of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

COMPARED = {"==", "<", "<=", ">", ">=", "in", "+", "-", "*", "%", "//", "/", "max", "min"}
LEAVES = {
    "c", "a", "model", "model_type", "architecture", "mla", "gpu", "capability", "memory", "env", "env_true",
    "is_set", "?",
}  # fmt: skip
MEMORY = "<memory>"
"""Stands among the arguments of a condition that depends on the size of the GPU."""


class Nodes:
    """Expressions, each once: a list of tuples whose operands are positions in the list."""

    def __init__(self) -> None:
        self.list: list[tuple[Any, ...]] = []
        self.at: dict[tuple[Any, ...], int] = {}
        self.true = self.constant(True)
        self.false = self.constant(False)
        self.unknown = self.make("?")

    def make(self, *parts: Any) -> int:
        """The position of an expression: its operator and operands."""
        key = tuple((type(part).__name__, part) for part in parts)
        if key not in self.at:
            self.at[key] = len(self.list)
            self.list.append(parts)
        return self.at[key]

    def constant(self, value: Any) -> int:
        """The position of a value that JSON can hold."""
        return self.make("c", json.dumps(value))

    def value(self, node: int) -> tuple[bool, Any]:
        """Whether a node is a constant, and its value."""
        parts = self.list[node]
        return (True, json.loads(parts[1])) if parts[0] == "c" else (False, None)

    def show(self, node: int, depth: int = 8) -> str:
        """A node as text, for people."""
        kind, *parts = self.list[node]
        if kind == "c":
            return str(parts[0])
        if kind in LEAVES:
            return " ".join(map(str, (parts if kind == "a" else [kind, *parts])))
        inner = [self.show(int(part), depth - 1) if depth else "..." for part in parts]
        return (
            f" {kind} ".join(inner).join("()")
            if kind in ("and", "or") or kind in COMPARED
            else f"{kind}({', '.join(inner)})"
        )

    def negated(self, node: int) -> int:
        """``not`` of a node."""
        known, value = self.value(node)
        if known:
            return self.constant(not value)
        parts = self.list[node]
        if parts[0] == "?":
            return node
        return int(parts[1]) if parts[0] == "not" else self.make("not", node)

    def both(self, operator: str, operands: Iterable[int]) -> int:
        """``and`` or ``or`` of operands, flattened."""
        out: list[int] = []
        ends = operator == "or"
        for node in operands:
            known, value = self.value(node)
            if known and bool(value) is not ends:
                continue
            if known:
                return self.constant(ends)
            parts = self.list[node]
            out += [int(part) for part in parts[1:]] if parts[0] == operator else [node]
        out = list(dict.fromkeys(out))
        if not out:
            return self.constant(not ends)
        return out[0] if len(out) == 1 else self.make(operator, *out)

    def either(self, test: int, one: int, other: int) -> int:
        """``one if test else other``."""
        known, value = self.value(test)
        if known:
            return one if value else other
        return one if one == other else self.make("if", test, one, other)


def possible(node: int, nodes: Nodes, memo: dict[int, tuple[bool, bool]]) -> tuple[bool, bool]:
    """Whether a node can be known to be true, and known to be false, without the parts that could not be followed."""
    if node not in memo:
        kind, *parts = nodes.list[node]
        inner = [possible(int(part), nodes, memo) for part in parts] if kind in ("and", "or", "not") else []
        if kind == "?":
            memo[node] = (False, False)
        elif parts == ["trait"]:
            memo[node] = (False, True)
        elif kind == "c":
            value = bool(json.loads(parts[0]))
            memo[node] = (value, not value)
        elif kind == "and":
            memo[node] = (all(one for one, _ in inner), any(other for _, other in inner))
        elif kind == "or":
            memo[node] = (any(one for one, _ in inner), all(other for _, other in inner))
        elif kind == "not":
            memo[node] = (inner[0][1], inner[0][0])
        elif kind == "if":
            test, one, other = (possible(int(part), nodes, memo) for part in parts)
            memo[node] = (
                (test[0] and one[0]) or (test[1] and other[0]) or (one[0] and other[0]),
                (test[0] and one[1]) or (test[1] and other[1]) or (one[1] and other[1]),
            )
        else:
            known = all(any(possible(int(part), nodes, memo)) for part in parts) if kind in COMPARED else True
            memo[node] = (known, known)
    return memo[node]


def fields_of(node: int, nodes: Nodes, memo: dict[int, frozenset[str]]) -> frozenset[str]:
    """The arguments that a condition depends on."""
    if node not in memo:
        kind, *parts = nodes.list[node]
        if kind == "a":
            memo[node] = frozenset(parts)
        elif kind == "memory":
            memo[node] = frozenset([MEMORY])
        elif kind in LEAVES:
            memo[node] = frozenset()
        else:
            memo[node] = frozenset().union(*(fields_of(int(part), nodes, memo) for part in parts))
    return memo[node]
