"""Makes ``sgldoctor/knowledge/data/launch-refusals.json``: when SGLang's own argument checks stop a launch.

    python scripts/launch_refusals.py WHEEL_DIR

WHEEL_DIR holds one ``sglang-*.whl`` of every release in ``server-args.json``; ``--lost`` lists what is left out.
Nothing is imported or run: the checks of ``sglang/srt/server_args.py`` and ``sglang/srt/arg_groups`` are read as syntax
trees and followed symbolically, in the order in which SGLang runs them, from the values that the command line gives.
What a check tests then is a condition over those values, the GPU's generation, the model's architecture and variables;
a part that cannot be followed is "?", and a check that cannot be certain without such a part is left out.

The conditions share their parts: ``nodes`` is a list of expressions that name each other by position (see
``sgldoctor/derive/refusals.py`` for the operators). Each refusal has the node of its condition per range of releases.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "sgldoctor" / "knowledge" / "data"
FILES = re.compile(r"sglang/srt/(server_args|runtime_context|arg_groups/.*)\.py$")
# Followed for the values of small functions alone; what they raise is no check of the arguments.
HELPERS = re.compile(r"sglang/srt/utils(/common)?\.py$")
AVAILABLE = {"is_flashinfer_available", "has_flashinfer"}
ENTRIES = ("ServerArgs.__post_init__", "run_resolution_pipeline", "check_server_args", "ServerArgs.check_server_args")
VIEWS = re.compile(r"(resolv(ed|ing)_view|record_of|\._resolved)$")
BASES = {"self", "cfg", "server_args", "args", "view"}
# What asks for hardware other than NVIDIA's.
OTHERS = re.compile(
    r"(is_hip|is_npu|is_xpu|is_hpu|is_musa|is_mps|is_cpu|is_gfx\w*|_is_hip|_is_npu|use_mlx|is_tpu"
    r"|is_out_of_tree|is_rocm|is_sail)$"
)
GENERATIONS = {
    "is_sm90_supported": [9], "is_sm90": [9], "is_hopper_with_cuda_12_3": [9],
    "is_sm100_supported": [10], "is_sm100": [10], "is_sm120_supported": [12], "is_sm120": [12],
    "is_blackwell_supported": [10, 12], "is_blackwell": [10, 12], "is_sm110": [11], "is_sm100_or_sm110": [10, 11],
}  # fmt: skip
# Addresses of models and names in object stores (srt/utils, srt/connector).
ADDRESSES = {
    "is_runai_obj_uri": ("s3://", "gs://", "az://"),
    "is_remote_url": ("s3://", "gs://", "redis://", "instance://"),
}
MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "remove", "discard", "clear", "sort"}
DEPTH = 12
SWALLOWED = {"Exception", "BaseException", "ValueError", "AssertionError", ""}
OPERATORS = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Is: "==", ast.IsNot: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">",
    ast.GtE: ">=", ast.In: "in", ast.NotIn: "not in",
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Mod: "%", ast.FloorDiv: "//",
}  # fmt: skip


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


class Source:
    """The functions and constants of one release."""

    def __init__(self, wheel: zipfile.ZipFile, fields: set[str], trees: dict[str, ast.Module]):
        self.fields = fields
        self.functions: dict[str, tuple[ast.FunctionDef, str]] = {}
        self.constants: dict[str, ast.expr] = {}
        self.renamed: dict[str, str] = {}
        helping = [name for name in wheel.namelist() if HELPERS.match(name)]
        for name in [*helping, *sorted(name for name in wheel.namelist() if FILES.match(name))]:
            text = wheel.read(name)
            digest = hashlib.sha256(text).hexdigest()
            if digest not in trees:
                trees[digest] = ast.parse(text)
            self._collect(trees[digest], name.removeprefix("sglang/srt/"))
        held = self.functions.get("ServerArgs.from_cli_args")
        # args.tp_size = args.tensor_parallel_size
        for node in ast.walk(held[0]) if held else ():
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and node.value.attr in fields:
                target = node.targets[0]
                if isinstance(target, ast.Attribute) and target.attr != node.value.attr:
                    self.renamed[target.attr] = node.value.attr
        self.fields = fields | set(self.renamed)

    def _collect(self, tree: ast.Module, file: str) -> None:
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                self.functions[node.name] = (node, file)
            elif isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        self.functions[f"{node.name}.{inner.name}"] = (inner, file)
                    elif node.name == "ServerArgs" and isinstance(inner, (ast.Assign, ast.AnnAssign)) and inner.value:
                        targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
                        if isinstance(targets[0], ast.Name) and targets[0].id.isupper():
                            self.constants[targets[0].id] = inner.value
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if isinstance(targets[0], ast.Name):
                    self.constants[targets[0].id] = node.value


class Frame:
    """One function while it is followed: its variables, and the states at its returns."""

    def __init__(self, variables: dict[str, int], depth: int, where: str, stack: tuple[str, ...]):
        self.variables, self.depth, self.where, self.stack = variables, depth, where, stack
        self.returns: list[tuple[int, dict[str, int], int]] = []
        self.aliases = set(BASES)


class Follower:
    """Follows the checks of one release and collects what they refuse."""

    def __init__(self, source: Source, nodes: Nodes):
        self.source, self.nodes = source, nodes
        # Lines for other devices are not judged; without the option the device is found at run time.
        self.state: dict[str, int] = {"device": nodes.constant("cuda")}
        self.found: dict[tuple[str, str], list[int]] = {}

    def run(self) -> dict[tuple[str, str], int]:
        """For each message and place the condition under which it stops the launch."""
        for entry in ENTRIES:
            held = self.source.functions.get(entry)
            if held:
                self._call(entry, held, {}, self.nodes.true, 0, (), False)
        return {key: self.nodes.both("or", nodes) for key, nodes in self.found.items()}

    def _call(
        self, name: str, held: tuple[ast.FunctionDef, str], given: dict[str, int], path: int, depth: int,
        stack: tuple[str, ...], doubtful: bool,
    ) -> int:  # fmt: skip
        function, file = held
        if depth > DEPTH or name in stack:
            self._spoil(function)
            return self.nodes.unknown
        frame = Frame(dict(given), depth, f"{file}:{name}", (*stack, name))
        end = self._block(function.body, path, self.nodes.true, frame, doubtful)
        value = self.nodes.constant(None)
        for condition, state, returned in reversed(frame.returns):
            if end is None:
                self.state, value, end = dict(state), returned, self.nodes.true
                continue
            self.state = self._merged(condition, state, self.state)
            value = self.nodes.either(condition, returned, value)
        return value

    def _spoil(self, node: ast.AST) -> None:
        for inner in ast.walk(node):
            for field in self._written(inner):
                self.state[field] = self.nodes.unknown

    def _written(self, node: ast.AST) -> list[str]:
        if isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return [t.attr for t in targets if isinstance(t, ast.Attribute) and t.attr in self.source.fields]
        return []

    def _merged(self, test: int, one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
        out = dict(other)
        for name in one.keys() | other.keys():
            left = one.get(name, self._initial(name))
            right = other.get(name, self._initial(name))
            if left != right:
                out[name] = self.nodes.either(test, left, right)
        return out

    def _initial(self, name: str) -> int:
        if name not in self.source.fields:
            return self.nodes.unknown
        return self.nodes.make("a", self.source.renamed.get(name, name))

    def _read(self, name: str) -> int:
        return self.state.get(name, self._initial(name))

    def _refuse(self, message: str, frame: Frame, condition: int) -> None:
        self.found.setdefault((message, frame.where), []).append(condition)

    def _block(self, body: list[ast.stmt], path: int, here: int, frame: Frame, doubtful: bool) -> int | None:
        """Follow statements; ``here`` is the condition within the function. None where the end is never reached."""
        nodes = self.nodes
        for statement in body:
            reached = nodes.both("and", [path, here])
            if isinstance(statement, ast.If):
                test = self._condition(statement.test, frame, reached, doubtful)
                before, names = dict(self.state), dict(frame.variables)
                one = self._block(statement.body, path, nodes.both("and", [here, test]), frame, doubtful)
                state, variables = self.state, frame.variables
                self.state, frame.variables = dict(before), dict(names)
                no = nodes.negated(test)
                other = self._block(statement.orelse, path, nodes.both("and", [here, no]), frame, doubtful)
                if one is None and other is None:
                    return None
                if one is None:
                    if self._raises(statement.body):
                        continue
                    here = nodes.both("and", [here, no])
                elif other is None:
                    self.state, frame.variables = state, variables
                    if not self._raises(statement.orelse):
                        here = nodes.both("and", [here, test])
                else:
                    self.state = self._merged(test, state, self.state)
                    frame.variables = self._joined(test, variables, frame.variables)
            elif isinstance(statement, ast.Return):
                value = (
                    self._expression(statement.value, frame, reached, doubtful)
                    if statement.value
                    else nodes.constant(None)
                )
                if isinstance(statement.value, ast.Dict):
                    self._declare(statement.value, frame)
                frame.returns.append((here, dict(self.state), value))
                return None
            elif isinstance(statement, ast.Raise):
                if not doubtful and statement.exc is not None:
                    arguments = statement.exc.args if isinstance(statement.exc, ast.Call) else []
                    message = self._message(arguments[0], frame) if arguments else ""
                    self._refuse(message, frame, reached)
                return None
            elif isinstance(statement, ast.Assert):
                test = self._condition(statement.test, frame, reached, doubtful)
                if not doubtful:
                    message = (
                        self._message(statement.msg, frame)
                        if statement.msg
                        else f"assert {ast.unparse(statement.test)}"
                    )
                    self._refuse(message, frame, nodes.both("and", [reached, nodes.negated(test)]))
            elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                self._assign(statement, frame, reached, doubtful)
            elif isinstance(statement, ast.Expr):
                self._expression(statement.value, frame, reached, doubtful)
            elif isinstance(statement, ast.With):
                if self._block(statement.body, path, here, frame, doubtful) is None:
                    return None
            elif isinstance(statement, ast.Try):
                self._try(statement, path, here, frame, doubtful)
            elif isinstance(statement, (ast.For, ast.While, ast.Match)):
                self._loop(statement, path, frame)
            elif isinstance(statement, (ast.Continue, ast.Break)):
                return None
        return here

    @staticmethod
    def _raises(body: list[ast.stmt]) -> bool:
        return isinstance(body[-1], ast.Raise) if body else False

    def _joined(self, test: int, one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
        unknown = self.nodes.unknown
        return {
            name: self.nodes.either(test, one.get(name, unknown), other.get(name, unknown))
            for name in one.keys() | other.keys()
        }

    def _try(self, statement: ast.Try, path: int, here: int, frame: Frame, doubtful: bool) -> None:
        def caught(handler: ast.ExceptHandler) -> bool:
            kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            return any((ast.unparse(kind) if kind else "") in SWALLOWED for kind in kinds)

        swallowed = any(caught(handler) for handler in statement.handlers)
        count = len(frame.returns)
        self._block(statement.body, path, here, frame, doubtful or swallowed)
        before, names = dict(self.state), dict(frame.variables)
        for handler in statement.handlers:
            self._block(handler.body, path, self.nodes.unknown, frame, True)
            self.state = self._merged(self.nodes.unknown, self.state, before)
            frame.variables = self._joined(self.nodes.unknown, frame.variables, names)
            before, names = dict(self.state), dict(frame.variables)
        if len(frame.returns) > count and not swallowed:
            return
        self._block([*statement.orelse, *statement.finalbody], path, here, frame, doubtful)

    def _loop(self, statement: ast.stmt, path: int, frame: Frame) -> None:
        before, names = dict(self.state), dict(frame.variables)
        blocks = (
            [case.body for case in statement.cases]
            if isinstance(statement, ast.Match)
            else [getattr(statement, "body", [])]
        )
        for inner in ast.walk(statement):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                frame.variables[inner.id] = self.nodes.unknown
        for block in blocks:
            self._block(block, path, self.nodes.unknown, frame, True)
            self.state = self._merged(self.nodes.unknown, self.state, before)
        frame.variables = self._joined(self.nodes.unknown, frame.variables, names)

    def _assign(
        self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign, frame: Frame, path: int, doubtful: bool
    ) -> None:
        if statement.value is None:
            return
        if isinstance(statement, ast.AugAssign):
            name = self._field(statement.target, frame)
            if name:
                self.state[name] = self.nodes.unknown
            elif isinstance(statement.target, ast.Name):
                frame.variables[statement.target.id] = self.nodes.unknown
            return
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if isinstance(targets[0], ast.Name) and self._is_view(statement.value, frame):
            frame.aliases.add(targets[0].id)
            return
        value = self._expression(statement.value, frame, path, doubtful)
        for target in targets:
            self._bind(target, value, frame)

    def _bind(self, target: ast.expr, value: int, frame: Frame) -> None:
        if isinstance(target, ast.Name):
            frame.variables[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            parts = self.nodes.list[value]
            for at, element in enumerate(target.elts):
                known = parts[0] == "tuple" and len(parts) == len(target.elts) + 1
                self._bind(element, int(parts[at + 1]) if known else self.nodes.unknown, frame)
        elif isinstance(target, ast.Subscript):
            # Declarations of a pass: overrides["page_size"] = 64.
            key = target.slice.value if isinstance(target.slice, ast.Constant) else None
            if isinstance(key, str) and key in self.source.fields and isinstance(target.value, ast.Name):
                self.state[key] = value
        else:
            name = self._field(target, frame)
            if name:
                self.state[name] = value

    def _declare(self, node: ast.Dict, frame: Frame) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value in self.source.fields:
                self.state[str(key.value)] = self._expression(value, frame, self.nodes.unknown, True)

    def _is_view(self, node: ast.expr, frame: Frame) -> bool:
        if isinstance(node, ast.Name):
            return node.id in frame.aliases
        if isinstance(node, ast.BoolOp):
            return all(self._is_view(value, frame) for value in node.values)
        return isinstance(node, ast.Call) and bool(VIEWS.search(ast.unparse(node.func)))

    def _field(self, node: ast.expr, frame: Frame) -> str:
        if isinstance(node, ast.Attribute) and node.attr in self.source.fields and self._is_view(node.value, frame):
            return node.attr
        return ""

    def _expression(self, node: ast.expr | None, frame: Frame, path: int, doubtful: bool) -> int:
        nodes = self.nodes
        if node is None:
            return nodes.unknown

        def of(inner: ast.expr | None) -> int:
            return self._expression(inner, frame, path, doubtful)

        if isinstance(node, ast.Constant):
            return (
                nodes.constant(node.value)
                if isinstance(node.value, (str, int, float, bool, type(None)))
                else nodes.unknown
            )
        if isinstance(node, ast.Name):
            if node.id in frame.variables:
                return frame.variables[node.id]
            held = self.source.constants.get(node.id)
            if held is not None and isinstance(held, (ast.List, ast.Tuple, ast.Set, ast.Constant)):
                return of(held)
            return nodes.constant(False) if OTHERS.match(node.id) else nodes.unknown
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return nodes.make("tuple", *(of(element) for element in node.elts))
        if isinstance(node, ast.BoolOp):
            if all(truth_valued(value) for value in node.values):
                return self._condition(node, frame, path, doubtful)
            return self._chosen(node, [of(value) for value in node.values])
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return nodes.negated(self._condition(node.operand, frame, path, doubtful))
            inner = of(node.operand)
            known, value = nodes.value(inner)
            return nodes.constant(-value) if known and isinstance(node.op, ast.USub) else nodes.unknown
        if isinstance(node, ast.IfExp):
            return nodes.either(self._condition(node.test, frame, path, doubtful), of(node.body), of(node.orelse))
        if isinstance(node, ast.Compare):
            # A model fetched from a running server has no files to look at: not asked for by any launch line here.
            if "ConnectorType.INSTANCE" in ast.unparse(node):
                return nodes.false
            return self._compare(node, of)
        if isinstance(node, ast.BinOp):
            left, right = of(node.left), of(node.right)
            operator = OPERATORS.get(type(node.op))
            unknown = not operator or nodes.unknown in (left, right)
            return nodes.unknown if unknown else nodes.make(operator, left, right)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, frame, of)
        if isinstance(node, ast.Subscript):
            inner = of(node.value)
            if nodes.list[inner][0] == "architecture":
                return inner
            if inner != nodes.unknown and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
                return nodes.make("item", inner, nodes.constant(node.slice.value))
            return nodes.unknown
        if isinstance(node, ast.Call):
            return self._called(node, frame, path, doubtful, of)
        return nodes.unknown

    def _condition(self, node: ast.expr, frame: Frame, path: int, doubtful: bool) -> int:
        """An expression of which only the truth matters: its parts may decide it alone."""
        if isinstance(node, ast.BoolOp):
            parts = [self._condition(value, frame, path, doubtful) for value in node.values]
            return self.nodes.both("and" if isinstance(node.op, ast.And) else "or", parts)
        return self._expression(node, frame, path, doubtful)

    def _chosen(self, node: ast.BoolOp, values: list[int]) -> int:
        """``a or b`` and ``a and b`` as the value of the one that Python takes."""
        out = values[-1]
        for value in reversed(values[:-1]):
            one, other = (value, out) if isinstance(node.op, ast.Or) else (out, value)
            out = self.nodes.either(value, one, other)
        return out

    def _compare(self, node: ast.Compare, of: Any) -> int:
        nodes = self.nodes
        sides = [of(side) for side in [node.left, *node.comparators]]
        out = []
        for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if nodes.unknown in (left, right):
                return nodes.unknown
            name = OPERATORS[type(operator)]
            known = nodes.value(left), nodes.value(right)
            if name in ("==", "!=") and known[0][0] and known[1][0]:
                out.append(nodes.constant((known[0][1] == known[1][1]) is (name == "==")))
            elif name in ("!=", "not in"):
                out.append(nodes.negated(nodes.make("==" if name == "!=" else "in", left, right)))
            else:
                out.append(nodes.make(name, left, right))
        return nodes.both("and", out)

    def _attribute(self, node: ast.Attribute, frame: Frame, of: Any) -> int:
        name = self._field(node, frame)
        if name:
            return self._read(name)
        if node.attr in ("architectures", "architecture"):
            return self.nodes.make("architecture")
        if isinstance(node.value, ast.Name) and node.value.id in ("ServerArgs", "self", "cls"):
            held = self.source.constants.get(node.attr)
            return of(held) if held is not None else self.nodes.unknown
        if "platform" in ast.unparse(node.value):
            return self._hardware(node.attr)
        return self.nodes.unknown

    def _hardware(self, name: str) -> int:
        if OTHERS.match(name):
            return self.nodes.false
        if name in ("is_cuda", "is_cuda_alike") or name in AVAILABLE:
            return self.nodes.true
        if name in GENERATIONS:
            return self.nodes.make("gpu", *GENERATIONS[name])
        return self.nodes.unknown

    def _called(self, node: ast.Call, frame: Frame, path: int, doubtful: bool, of: Any) -> int:
        nodes = self.nodes
        text = ast.unparse(node.func)
        last = text.rpartition(".")[2]
        if text == "getattr" and len(node.args) >= 2 and isinstance(node.args[1], ast.Constant):
            name = str(node.args[1].value)
            if name in self.source.fields and self._is_view(node.args[0], frame):
                return self._read(name)
            return nodes.make("architecture") if name == "architectures" else nodes.unknown
        hardware = self._hardware(last)
        if hardware != nodes.unknown:
            return hardware
        if last in ADDRESSES and node.args:
            inner = of(node.args[0])
            schemes = nodes.make("tuple", *(nodes.constant(scheme) for scheme in ADDRESSES[last]))
            return nodes.unknown if inner == nodes.unknown else nodes.make("startswith", inner, schemes)
        if text == "isinstance" and isinstance(node.args[1], ast.Name):
            inner = of(node.args[0])
            return inner if inner == nodes.unknown else nodes.make("isinstance", inner, nodes.constant(node.args[1].id))
        if re.match(r"is_\w+$", last) and "hf_config" in ast.unparse(node):
            return nodes.make("model", last)
        if last == "use_mla_backend":
            return nodes.make("mla")
        if re.match(r"envs\.\w+\.get$", text):
            return nodes.make("env", text.split(".")[1])
        if re.match(r"envs\.\w+\.is_set$", text):
            return nodes.make("is_set", text.split(".")[1])
        if isinstance(node.func, ast.Attribute) and last in ("lower", "upper", "strip", "startswith", "endswith"):
            inner = of(node.func.value)
            if inner == nodes.unknown:
                return inner
            if not node.args:
                return nodes.make(last, inner)
            other = of(node.args[0])
            return nodes.unknown if other == nodes.unknown else nodes.make(last, inner, other)
        if text in ("len", "bool", "int", "str") and len(node.args) == 1:
            inner = of(node.args[0])
            return inner if inner == nodes.unknown else nodes.make(text, inner)
        if isinstance(node.func, ast.Attribute) and last in MUTATORS:
            name = self._field(node.func.value, frame)
            if name:
                self.state[name] = nodes.unknown
            elif isinstance(node.func.value, ast.Name):
                frame.variables[node.func.value.id] = nodes.unknown
            return nodes.unknown
        if last in ("declare_resolution", "override", "apply_override"):
            for keyword in node.keywords:
                if keyword.arg in self.source.fields:
                    self.state[keyword.arg] = of(keyword.value)
                elif keyword.arg is None and isinstance(keyword.value, ast.Dict):
                    self._declare(keyword.value, frame)
            return nodes.unknown
        return self._inlined(node, last, frame, path, doubtful, of)

    def _inlined(self, node: ast.Call, last: str, frame: Frame, path: int, doubtful: bool, of: Any) -> int:
        target, arguments = last, list(node.args)
        if last in ("run_hook", "run_post_process_pass"):
            hook = arguments[0] if last == "run_hook" else arguments[1]
            target = hook.id if isinstance(hook, ast.Name) else ""
            arguments = []
        held = self.source.functions.get(target)
        if held is None and isinstance(node.func, ast.Attribute) and self._is_view(node.func.value, frame):
            held = self.source.functions.get(f"ServerArgs.{target}")
            target = f"ServerArgs.{target}"
        if held is not None and held[1].startswith("utils"):
            doubtful = True
        if held is None or target.endswith(("from_cli_args", "add_cli_args")):
            for argument in [*arguments, *(keyword.value for keyword in node.keywords)]:
                if isinstance(argument, ast.Call):
                    of(argument)
            return self.nodes.unknown
        names = [argument.arg for argument in held[0].args.args]
        if names and names[0] == "self":
            names = names[1:]
        given = dict.fromkeys(names, self.nodes.unknown)
        defaults = held[0].args.defaults
        for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=False):
            given[name] = of(default) if isinstance(default, ast.Constant) else self.nodes.unknown
        for name, argument in zip(names, arguments, strict=False):
            given[name] = of(argument)
        for keyword in node.keywords:
            if keyword.arg in names:
                given[str(keyword.arg)] = of(keyword.value)
        for name in list(given):
            if name in BASES:
                del given[name]
        return self._call(target, held, given, path, frame.depth + 1, frame.stack, doubtful)

    def _message(self, node: ast.expr, frame: Frame) -> str:
        """The text with ``{field}`` where it shows an argument and ``{…}`` for what only SGLang knows."""
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else self._hole(part, frame) for part in node.values
            )
        if isinstance(node, ast.BinOp):
            return self._message(node.left, frame) + self._message(node.right, frame)
        return "{…}"

    def _hole(self, part: ast.expr, frame: Frame) -> str:
        name = self._field(part.value, frame) if isinstance(part, ast.FormattedValue) else ""
        return f"{{{self.source.renamed.get(name, name)}}}" if name else "{…}"


def truth_valued(node: ast.expr) -> bool:
    """Whether an expression is True or False whatever its operands are."""
    if isinstance(node, ast.BoolOp):
        return all(truth_valued(value) for value in node.values)
    return isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))


def possible(node: int, nodes: Nodes, memo: dict[int, tuple[bool, bool]]) -> tuple[bool, bool]:
    """Whether a node can be known to be true, and known to be false, without the parts that could not be followed."""
    if node not in memo:
        kind, *parts = nodes.list[node]
        inner = [possible(int(part), nodes, memo) for part in parts] if kind in ("and", "or", "not") else []
        if kind == "?":
            memo[node] = (False, False)
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


COMPARED = {"==", "<", "<=", ">", ">=", "in", "+", "-", "*", "%", "//"}
LEAVES = {"c", "a", "model", "gpu", "env", "is_set", "architecture", "mla", "?"}


def main() -> None:
    """Follow every release and write the table."""
    args = json.loads((DATA / "server-args.json").read_text(encoding="utf-8"))
    releases: list[str] = args["releases"]
    folder = Path(sys.argv[1])
    nodes, trees = Nodes(), {}
    table: dict[tuple[str, str, int], list[int]] = {}
    sys.setrecursionlimit(20000)
    for at, release in enumerate(releases):
        (path,) = folder.glob(f"sglang-{release}-*.whl")
        fields = {
            history["dest"]
            for entry in args["flags"].values()
            for history in entry["history"]
            if releases.index(history["since"]) <= at
            and (not history["until"] or at <= releases.index(history["until"]))
        }
        memo: dict[int, tuple[bool, bool]] = {}
        found = Follower(Source(zipfile.ZipFile(path), fields, trees), nodes).run()
        kept = {key: node for key, node in found.items() if possible(node, nodes, memo)[0]}
        for (message, where), node in kept.items():
            table.setdefault((message, where, node), []).append(at)
        print(release, len(found), len(kept), len(nodes.list), flush=True)
        if "--lost" in sys.argv:
            for (message, where), node in found.items():
                if (message, where) not in kept:
                    print("   lost:", where, "|", message[:120], "|", nodes.show(node)[:600])
    write(table, nodes, releases)


def write(table: dict[tuple[str, str, int], list[int]], nodes: Nodes, releases: list[str]) -> None:
    """The refusals and the nodes that they reach, renumbered."""
    order: dict[int, int] = {}
    out: list[str] = []

    def add(node: int) -> int:
        if node not in order:
            kind, *parts = nodes.list[node]
            operands = parts if kind in LEAVES else [add(int(part)) for part in parts]
            order[node] = len(out)
            out.append(" ".join(map(str, [kind, *operands])))
        return order[node]

    rows = []
    for (message, where, node), spans in table.items():
        present = ",".join(f"{first}-{last}" for first, last in spread(spans))
        fields = " ".join(sorted(fields_of(node, nodes, {})))
        rows.append("\t".join([present, str(add(node)), fields, where, " ".join(message[:300].split())]))
    source = (
        "sglang/srt/server_args.py and sglang/srt/arg_groups of each release, followed as syntax trees by "
        "scripts/launch_refusals.py; a refusal is, between tabs: releases by position, node of its condition, "
        "arguments that the condition depends on, place, message"
    )
    head = {"source": source, "releases": releases}
    text = json.dumps(head, ensure_ascii=False)[:-1]
    text += ',\n"refusals": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    text += '\n],\n"nodes": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in out)
    new = DATA / "launch-refusals.json.new"
    new.write_text(text + "\n]}\n", encoding="utf-8")
    new.replace(DATA / "launch-refusals.json")
    print(len(rows), "refusals,", len(out), "nodes")


def fields_of(node: int, nodes: Nodes, memo: dict[int, frozenset[str]]) -> frozenset[str]:
    """The arguments that a condition depends on."""
    if node not in memo:
        kind, *parts = nodes.list[node]
        if kind == "a":
            memo[node] = frozenset(parts)
        elif kind in LEAVES:
            memo[node] = frozenset()
        else:
            memo[node] = frozenset().union(*(fields_of(int(part), nodes, memo) for part in parts))
    return memo[node]


def spread(indices: list[int]) -> list[list[int]]:
    """Positions of releases as ranges, both ends included."""
    out: list[list[int]] = []
    for index in sorted(set(indices)):
        if out and out[-1][1] == index - 1:
            out[-1][1] = index
        else:
            out.append([index, index])
    return out


if __name__ == "__main__":
    main()
