"""Whether SGLang's own argument checks stop a launch line, by ``knowledge/data/launch-refusals.json``.

The file holds, per release, the condition of every ``raise`` and ``assert`` among SGLang's argument checks, over what
the command line gives: nodes ``operator operand...`` that name each other by position. Here they are evaluated with
three values: what is not known (a variable, a GPU that was not named, a part that could not be read from the source)
makes no refusal. Where the model is unknown it is taken to be none of those that SGLang treats specially.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache

from sgldoctor.derive.arguments import whole
from sgldoctor.derive.effective import Settings
from sgldoctor.facts import Row
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.flags import Flag
from sgldoctor.knowledge.releases import load
from sgldoctor.lazy import lazy
from sgldoctor.typed import Any


class _Unknown:
    """What is not known; ``presumed`` is what is taken where a value has to be chosen, None where nothing is."""

    def __init__(self, presumed: bool | None) -> None:
        self.presumed = presumed


_MEMORY = "<memory>"
"""Stands among the arguments of a condition that depends on the size of the GPU."""

_SIZES_GIB = (12, 16, 24, 32, 40, 48, 80, 96, 141, 180, 288)
"""Sizes of NVIDIA's GPUs; where a check of SGLang depends on the size and none is known, all of them are tried."""

UNKNOWN = _Unknown(None)
PRESUMED_FALSE, PRESUMED_TRUE = _Unknown(False), _Unknown(True)
_HOLE = lazy(r"\{(\w{1,80})\}")
_FAILED = lazy(r"(ZeroDivisionError|TypeError): \{…\} in (.+)", re.DOTALL)
_ATTRIBUTE = lazy(r"\.(\w{1,80})")
_WHOLE_NAME = lazy(r"(?:ForCausalLM|ForConditionalGeneration|Model)")
_SIZES = lazy(
    r"(?:(?:tp|pp|dp|ep|dcp|dwdp|attn_\w+|moe_\w+|\w+_parallel)_size|nnodes|node_rank|enable_dp_attention|enable_dp_lm_head"
    r"|dist_init_addr|enable_eplb|base_gpu_id|gpu_id_step)\Z"
)
_BACKENDS = lazy(r"(?:(?!linear_)\w*attn?(?:ention)?|mamba|moe_runner|sampling|dsa\w*|nsa\w*|fp\d\w*gemm\w*)_backend\Z")


def refusals(s: Settings) -> list[Row]:
    """Rows for the fact ``launch.conflict``: each check of the release that stops the line, one per message."""
    given = {dest for flag in s.values if flag != "--model-path" and (dest := _dest(s, flag))}
    if not given or s.text("--device") not in ("", "cuda", "auto"):
        return []
    data = load("launch-refusals.json")
    at = data["releases"].index(s.release)
    evaluate = _evaluator(s, data["nodes"], at)
    on_any = _on_any(s, data["nodes"], at)
    rows: dict[str, Row] = {}
    for text in data["refusals"]:
        spans, number, names, where, says = text.split("\t")
        fields, node = names.split(" "), int(number)
        # With no option of the condition given, every line would be refused.
        if given.isdisjoint(fields) or not _inside(spans, at):
            continue
        if says in rows:
            continue
        if (on_any if _MEMORY in fields and not s.memory else evaluate)(node) is True:
            guilty, by_gpu = _guilty(s, given & set(fields), data, node, at)
            rows[says] = {
                "name": "argument-check",
                "kind": _kind(guilty, by_gpu),
                "flags": [_flag(s, dest) for dest in guilty],
                "note": _note(says, s),
                "says": _HOLE.sub("{…}", says),
                "where": where,
            }
    return list(rows.values())


def _on_any(s: Settings, nodes: list[str], at: int) -> Callable[[int], bool]:
    """Whether a condition holds on a GPU of any size, for a line whose GPUs are not known."""
    each = [_evaluator(s._replace(memory=frozenset([gib * 1024])), nodes, at) for gib in _SIZES_GIB]
    return lambda node: all(evaluate(node) is True for evaluate in each)


def _inside(spans: str, at: int) -> bool:
    ends = (span.split("-") for span in spans.split(","))
    return any(int(first) <= at <= int(last) for first, last in ends)


def _guilty(s: Settings, given: set[str], data: dict[str, Any], node: int, at: int) -> tuple[list[str], bool]:
    """The options without which the check would pass, and whether it would on another GPU."""

    def still(other: Settings) -> bool:
        judge = _evaluator if other.memory else _on_any
        return judge(other, data["nodes"], at)(node) is True

    without = {dest: {flag: v for flag, v in s.values.items() if _dest(s, flag) != dest} for dest in sorted(given)}
    found = [dest for dest, values in without.items() if not still(s._replace(values=values))]
    return found or sorted(given), bool(s.majors) and not still(s._replace(capabilities=frozenset()))


def _kind(fields: list[str], by_gpu: bool) -> str:
    """What the refusal is about, by the options that have a part in it."""
    if any(name in ("deepep_mode", "deepep_config") for name in fields):
        return "deepep"
    if any(_BACKENDS.match(name) for name in fields):
        return "backend-gpu" if by_gpu else "backend"
    if "quantization" in fields and (by_gpu or len(fields) == 1):
        return "quantization"
    if "kv_cache_dtype" in fields and by_gpu:
        return "quantization"
    return "sizes" if all(_SIZES.match(name) for name in fields) else "arguments"


def _note(says: str, s: Settings) -> str:
    def filled(match: re.Match[str]) -> str:
        value = _given(s, match[1])
        return "{…}" if isinstance(value, _Unknown) else str(value)

    if failed := _FAILED.match(says):
        return _failure(failed[1], failed[2], s)
    text = " ".join(_HOLE.sub(filled, says).split())
    return text.replace("{…}", "...") or "SGLang refuses this combination without a message"


def _failure(kind: str, expression: str, s: Settings) -> str:
    """What is said where SGLang has no check and fails in its own arithmetic."""
    owners = [owner for name in _ATTRIBUTE.findall(expression) for owner in _by_dest(s.release).get(name, ())[:1]]
    bare = {owner.flag for owner in owners if kind == "TypeError" and _given(s, owner.dest) is None}
    zero = {owner.flag for owner in owners if kind == "ZeroDivisionError" and _given(s, owner.dest) == 0}
    if bare:
        return f"{' and '.join(sorted(bare))} is needed here and not given: SGLang stops with {kind} at {expression}"
    wrong = f"{' and '.join(sorted(zero))} is 0: " if zero else ""
    return f"{wrong}SGLang stops with {kind} at {expression}"


@lru_cache(maxsize=4)
def _by_dest(release: str) -> dict[str, list[Flag]]:
    """The flags of a release by the attribute of ``ServerArgs`` that they set."""
    out: dict[str, list[Flag]] = {}
    for flag in {one.flag: one for one in flags.table(release).values()}.values():
        out.setdefault(flag.dest, []).append(flag)
    return out


def _dest(s: Settings, flag: str) -> str:
    return s.flags[flag].dest if flag in s.flags else ""


def _flag(s: Settings, dest: str) -> str:
    return next(flag.flag for flag in _by_dest(s.release)[dest] if flag.flag in s.values)


def _given(s: Settings, dest: str) -> Any:
    """The value that the command line gives ``ServerArgs`` for an attribute, else its declared default."""
    owners = _by_dest(s.release).get(dest, [])
    named = [flag for flag in owners if flag.flag in s.values]
    if len(named) > 1 or not owners:
        return UNKNOWN
    if named:
        text = s.values[named[0].flag]
        return UNKNOWN if text is None else _typed(named[0], text)
    plain = [flag for flag in owners if not flag.deprecated] or owners
    default = plain[0].default
    if isinstance(default, dict):
        return UNKNOWN
    return False if default is None and plain[0].action == "store_true" else default


def _typed(flag: Flag, text: str) -> Any:
    if flag.nargs == "0":
        if flag.action in ("store_true", "DeprecatedStoreTrueAction", "BooleanOptionalAction"):
            return text not in ("False", "false")
        return UNKNOWN
    if flag.nargs in ("+", "*"):
        words = text.split()
        try:
            if flag.type in ("int", "List[int]"):
                return [int(word) for word in words]
            return [float(word) for word in words] if flag.type in ("float", "List[float]") else words
        except ValueError:
            return UNKNOWN
    try:
        if flag.type in ("int", "human_readable_int"):
            number = whole(text)
            return UNKNOWN if number is None else number
        if flag.type == "float":
            return float(text)
        if flag.type in ("json.loads", "json_list_type"):
            return json.loads(text)
        if flag.type == "str":
            return text
    except (ValueError, RecursionError):
        return UNKNOWN
    return UNKNOWN


def _truth(value: Any) -> Any:
    return value if isinstance(value, _Unknown) else bool(value)


def _not(value: Any) -> Any:
    if isinstance(value, _Unknown):
        return {None: UNKNOWN, True: PRESUMED_FALSE, False: PRESUMED_TRUE}[value.presumed]
    return not value


def _evaluator(s: Settings, nodes: list[str], at: int) -> Callable[[int], Any]:
    """A function from a node to its value for this line: a Python value or an ``_Unknown``; truth values as bool."""
    memo: dict[int, Any] = {}
    named = set(s.model.get("architectures") or ())
    special = not named.isdisjoint(_architectures()) if named else False

    def value(node: int) -> Any:
        if node not in memo:
            kind, _, operands = nodes[node].partition(" ")
            if kind == "c":
                memo[node] = json.loads(operands)
            elif kind in _NAMED:
                memo[node] = named_value(kind, operands)
            else:
                memo[node] = compute(kind, [int(part) for part in operands.split()])
        return memo[node]

    def named_value(kind: str, name: str) -> Any:
        if kind == "a":
            return _given(s, name)
        if kind == "architecture":
            return s.model.get("architectures") or PRESUMED_FALSE
        if kind == "model_type":
            return s.model.get("model_type") or PRESUMED_FALSE
        if kind == "model" and name == "is_multimodal":
            text = named and all(one.endswith("ForCausalLM") for one in named) and not s.model.get("vision_hidden")
            return False if text else UNKNOWN if named else PRESUMED_FALSE
        if kind == "model":
            plain = name.startswith("is_deepseek") and not any(re.match("(?i)deepseek|glm", one) for one in named)
            return UNKNOWN if special else False if named and plain else PRESUMED_FALSE
        if kind == "memory":
            return next(iter(s.memory)) if len(s.memory) == 1 else UNKNOWN
        if kind == "capability":
            return list(next(iter(s.capabilities))) if len(s.capabilities) == 1 else UNKNOWN
        if kind == "mla":
            return bool(s.model.get("mla")) if s.model else UNKNOWN
        if kind == "env_true":
            # As get_bool_env_var reads it.
            return s.environment.get(name, "").lower() in ("true", "1")
        return UNKNOWN if kind == "?" else _variable(s, name, at, is_set=kind == "is_set")

    def compute(kind: str, parts: list[int]) -> Any:
        if kind in ("and", "or"):
            return _combined(kind, (_truth(value(part)) for part in parts))
        if kind == "not":
            return _not(_truth(value(parts[0])))
        if kind == "if":
            test = _truth(value(parts[0]))
            if isinstance(test, _Unknown) and test.presumed is None:
                one, other = value(parts[1]), value(parts[2])
                return one if not isinstance(one, _Unknown) and one == other and type(one) is type(other) else UNKNOWN
            chosen = test.presumed if isinstance(test, _Unknown) else test
            return value(parts[1] if chosen else parts[2])
        if kind == "gpu":
            inside = {major in parts for major in s.majors}
            return inside.pop() if len(inside) == 1 else UNKNOWN
        if kind == "in" and nodes[parts[1]] == "architecture" and isinstance(value(parts[0]), str):
            return in_architecture(value(parts[0]))
        return _applied(kind, [value(part) for part in parts])

    def in_architecture(text: str) -> Any:
        """Whether an architecture is named, or, by a text that is no whole name, has it in its name: ``"Llama4"``."""
        if not named:
            return PRESUMED_FALSE
        return text in named if _WHOLE_NAME.search(text) else any(text in name for name in named)

    return value


_NAMED = ("a", "architecture", "model", "model_type", "mla", "env", "env_true", "is_set", "memory", "capability", "?")


@lru_cache(maxsize=1)
def _architectures() -> frozenset[str]:
    """Every text that a condition names, among them the architectures that SGLang treats specially."""
    return frozenset(node[3:-1] for node in load("launch-refusals.json")["nodes"] if node.startswith('c "'))


def _combined(kind: str, values: Any) -> Any:
    """``and`` and ``or`` of truth values: what decides alone wins, then what is presumed to."""
    ends, out = kind == "or", None
    for one in values:
        if one is ends:
            return ends
        if not isinstance(one, _Unknown):
            continue
        if one.presumed is ends or out is None or (out.presumed is not ends and one.presumed is None):
            out = one
    return (not ends) if out is None else out


def _applied(kind: str, values: list[Any]) -> Any:
    """Comparisons, arithmetic and methods; unknown where an operand is, or where Python could not do it."""
    if kind == "tuple":
        return values
    unknown = next((one for one in values if isinstance(one, _Unknown)), None)
    inner = any(isinstance(part, _Unknown) for one in values if isinstance(one, list) for part in one)
    if unknown is not None:
        return unknown if kind in ("==", "in") else UNKNOWN
    if kind == "in" and inner:
        return True if values[0] in values[1] else UNKNOWN
    if inner:
        return UNKNOWN
    try:
        return _METHODS[kind](*values)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError, LookupError):
        return UNKNOWN


def _contains(one: Any, many: Any) -> bool:
    # An architecture is compared as a list of one: "X" in architectures, or architectures[0] in (...).
    if isinstance(one, list) and isinstance(many, list) and not any(isinstance(part, list) for part in many):
        return any(part in many for part in one)
    return bool(one in many)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, str):
        return other in one
    return bool(one == other)


_METHODS: dict[str, Callable[..., Any]] = {
    "==": _equal,
    "in": _contains,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "%": lambda a, b: a % b,
    "//": lambda a, b: a // b,
    "/": lambda a, b: a / b,
    "max": max,
    "min": min,
    "distinct": lambda a: list(dict.fromkeys(a)),
    "item": lambda a, b: a[b],
    "isinstance": lambda a, b: {"list": list, "dict": dict, "str": str, "int": int, "tuple": tuple}[b] is type(a),
    "len": len,
    "bool": bool,
    "int": int,
    "str": str,
    "lower": lambda a: a.lower(),
    "upper": lambda a: a.upper(),
    "strip": lambda a: a.strip(),
    "startswith": lambda a, b: a.startswith(tuple(b) if isinstance(b, list) else b),
    "endswith": lambda a, b: a.endswith(tuple(b) if isinstance(b, list) else b),
}


def _variable(s: Settings, name: str, at: int, *, is_set: bool) -> Any:
    """A variable of the server as ``environ.py`` reads it: its value, else the declared default."""
    from sgldoctor.knowledge.variables import FALSE, TRUE, declaration

    if is_set:
        return name in s.environment
    kind, default = declaration(name, at)
    text = s.environment.get(name, default)
    if kind == "bool":
        low = text.lower()
        return True if low in TRUE else False if low in FALSE else UNKNOWN
    try:
        return {"int": int, "float": float}[kind](text)
    except (ValueError, KeyError):
        return UNKNOWN
