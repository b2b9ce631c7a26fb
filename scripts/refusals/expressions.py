"""What an expression in the argument checks comes to, as a node."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from refusals.nodes import Nodes
from refusals.source import Source

AVAILABLE = {"is_flashinfer_available", "has_flashinfer"}
# What holds the model's configuration. What is asked of it and cannot be followed is taken for a trait of some models:
# those that SGLang treats specially have it.
CONFIGS = re.compile(r"(get_model_config|model_config_of|hf_config|hf_text_config|model_config|text_config)$")
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
COLLECTIONS = {"set", "frozenset", "list", "tuple", "sorted"}
MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "remove", "discard", "clear", "sort"}
OPERATORS = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Is: "==", ast.IsNot: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">",
    ast.GtE: ">=", ast.In: "in", ast.NotIn: "not in",
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Mod: "%", ast.FloorDiv: "//", ast.Div: "/",
}  # fmt: skip


class Frame:
    """One function while it is followed: its variables, and the states at its returns."""

    def __init__(self, variables: dict[str, int], depth: int, where: str, stack: tuple[str, ...]):
        self.variables, self.depth, self.where, self.stack = variables, depth, where, stack
        self.returns: list[tuple[int, dict[str, int], int]] = []
        self.aliases = set(BASES)


class Expressions:
    """The expressions of one release: their nodes, by the state of the arguments where they stand."""

    def __init__(self, source: Source, nodes: Nodes):
        self.source, self.nodes = source, nodes
        self.trait = nodes.make("model", "trait")
        self.state: dict[str, int] = {}
        self.found: dict[tuple[str, str], list[int]] = {}

    def _call(
        self, name: str, held: tuple[ast.FunctionDef, str], given: dict[str, int], path: int, depth: int,
        stack: tuple[str, ...], doubtful: bool,
    ) -> int:  # fmt: skip
        """Follow a function; its value."""
        raise NotImplementedError

    def _initial(self, name: str) -> int:
        if name not in self.source.fields:
            return self.nodes.unknown
        argument = self.nodes.make("a", self.source.renamed.get(name, name))
        if name in self.source.unset:
            return self.nodes.make("if", argument, self.nodes.true, self.nodes.constant(None))
        return argument

    def _read(self, name: str) -> int:
        # Lines for other devices are not judged; without the option the device is found at run time.
        if name == "device":
            return self.nodes.constant("cuda")
        return self.state.get(name, self._initial(name))

    def _refuse(self, message: str, frame: Frame, condition: int) -> None:
        self.found.setdefault((message, frame.where), []).append(condition)

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
        out = self._value(node, frame, path, doubtful)
        return self.trait if out == self.nodes.unknown and self._of_model(node, frame) else out

    def _of_model(self, node: ast.expr | None, frame: Frame) -> bool:
        """Whether what could not be followed is asked of the model's configuration alone."""
        if isinstance(node, ast.Name):
            return node.id not in frame.variables and bool(CONFIGS.search(node.id))
        if isinstance(node, ast.Attribute):
            return bool(CONFIGS.search(node.attr)) or self._is_trait(node.value, frame)
        if isinstance(node, ast.Subscript):
            return self._is_trait(node.value, frame)
        if isinstance(node, ast.Call):
            text = ast.unparse(node.func)
            return bool(CONFIGS.search(text)) or any(self._is_trait(one, frame) for one in node.args)
        return False

    def _is_trait(self, node: ast.expr, frame: Frame) -> bool:
        if isinstance(node, ast.Name) and node.id in frame.variables:
            return frame.variables[node.id] == self.trait
        return self._of_model(node, frame)

    def _value(self, node: ast.expr | None, frame: Frame, path: int, doubtful: bool) -> int:
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
            if held is not None and self._is_literal(held):
                return of(held)
            return nodes.constant(False) if OTHERS.match(node.id) else nodes.unknown
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return nodes.make("tuple", *(of(element) for element in node.elts))
        if isinstance(node, ast.Dict) and node.keys and all(isinstance(key, ast.Constant) for key in node.keys):
            # Asked only whether a key is there.
            return nodes.make("tuple", *(of(key) for key in node.keys))
        if isinstance(node, ast.BoolOp):
            if all(truth_valued(value) for value in node.values):
                return self._condition(node, frame, path, doubtful)
            return self._chosen(
                node, self._in_turn(node, path, lambda value, at: self._expression(value, frame, at, doubtful))
            )
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return nodes.negated(self._condition(node.operand, frame, path, doubtful))
            inner = of(node.operand)
            known, value = nodes.value(inner)
            return nodes.constant(-value) if known and isinstance(node.op, ast.USub) else nodes.unknown
        if isinstance(node, ast.IfExp):
            test = self._condition(node.test, frame, path, doubtful)
            body = self._expression(node.body, frame, nodes.both("and", [path, test]), doubtful)
            other = self._expression(node.orelse, frame, nodes.both("and", [path, nodes.negated(test)]), doubtful)
            return nodes.either(test, body, other)
        if isinstance(node, ast.Compare):
            # A model fetched from a running server has no files to look at: not asked for by any launch line here.
            if "ConnectorType.INSTANCE" in ast.unparse(node):
                return nodes.false
            return self._compare(node, of, frame, nodes.false if doubtful else path)
        if isinstance(node, ast.BinOp):
            left, right = of(node.left), of(node.right)
            operator = OPERATORS.get(type(node.op))
            if isinstance(node.op, (ast.Mod, ast.FloorDiv, ast.Div)) and not doubtful:
                self._fails("ZeroDivisionError", node, right, 0, frame, path)
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

    def _is_literal(self, node: ast.expr, depth: int = 4) -> bool:
        """Whether a constant of a module is written out: a value, a collection, or such ones put together."""
        if isinstance(node, ast.Call):
            plain = isinstance(node.func, ast.Name) and node.func.id in COLLECTIONS and len(node.args) == 1
            return plain and self._is_literal(node.args[0], depth - 1)
        if isinstance(node, ast.BinOp):
            sides = (node.left, node.right)
            return isinstance(node.op, ast.Add) and all(self._is_literal(side, depth - 1) for side in sides)
        if isinstance(node, ast.Name) and depth > 0:
            held = self.source.constants.get(node.id)
            return held is not None and self._is_literal(held, depth - 1)
        return isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Constant))

    def _condition(self, node: ast.expr, frame: Frame, path: int, doubtful: bool) -> int:
        """An expression of which only the truth matters: its parts may decide it alone."""
        if isinstance(node, ast.BoolOp):
            parts = self._in_turn(node, path, lambda value, at: self._condition(value, frame, at, doubtful))
            return self.nodes.both("and" if isinstance(node.op, ast.And) else "or", parts)
        return self._expression(node, frame, path, doubtful)

    def _in_turn(self, node: ast.BoolOp, path: int, of: Callable[[ast.expr, int], int]) -> list[int]:
        """The parts of ``and`` and ``or``, each under the condition that Python comes to it."""
        parts: list[int] = []
        for value in node.values:
            parts.append(of(value, path))
            reached = parts[-1] if isinstance(node.op, ast.And) else self.nodes.negated(parts[-1])
            path = self.nodes.both("and", [path, reached])
        return parts

    def _fails(self, kind: str, node: ast.expr, operand: int, value: int | None, frame: Frame, path: int) -> None:
        """Python itself refuses an operation where an operand that depends on arguments has a certain value."""
        if self.nodes.list[operand][0] in ("a", "if") and (value is not None or self._may_be_none(operand)):
            equal = self.nodes.make("==", operand, self.nodes.constant(value))
            message = f"{kind}: {{…}} in {ast.unparse(node)}"
            self._refuse(message, frame, self.nodes.both("and", [path, equal]))

    def _may_be_none(self, node: int) -> bool:
        """Whether a value can be None: an argument that is neither given nor has a default, or None itself."""
        kind, *parts = self.nodes.list[node]
        if kind == "a":
            return parts[0] not in self.source.valued
        if kind == "if":
            return any(self._may_be_none(int(part)) for part in parts[1:])
        return self.nodes.value(node) == (True, None)

    def _chosen(self, node: ast.BoolOp, values: list[int]) -> int:
        """``a or b`` and ``a and b`` as the value of the one that Python takes."""
        out = values[-1]
        for value in reversed(values[:-1]):
            one, other = (value, out) if isinstance(node.op, ast.Or) else (out, value)
            out = self.nodes.either(value, one, other)
        return out

    def _compare(self, node: ast.Compare, of: Any, frame: Frame, path: int) -> int:
        nodes = self.nodes
        sides = [of(side) for side in [node.left, *node.comparators]]
        out = []
        for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if isinstance(operator, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
                for side in (left, right):
                    self._fails("TypeError", node, side, None, frame, path)
            if nodes.unknown in (left, right):
                return nodes.unknown
            name = OPERATORS[type(operator)]
            if self.trait in (left, right):
                # A model without the trait has None there, and no value that is asked for.
                absent = nodes.constant(None) in (left, right) and name in ("==", "!=")
                out.append(self.trait if absent is (name in ("!=", "not in")) else nodes.negated(self.trait))
                continue
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
        if node.attr == "model_type":
            return self.nodes.make("model_type")
        if node.attr == "is_multimodal":
            return self.nodes.make("model", node.attr)
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
            named = {"architectures": "architecture", "model_type": "model_type"}
            return nodes.make(named[name]) if name in named else nodes.unknown
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
        if last == "is_in_ci":
            return nodes.make("env_true", "SGLANG_IS_IN_CI")
        if last == "get_bool_env_var" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
            return nodes.make("env_true", str(node.args[0].value))
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
        if last in ("get_device_memory_capacity", "get_nvgpu_memory_capacity"):
            return nodes.make("memory")
        if last == "get_device_capability":
            return nodes.make("capability")
        if text in COLLECTIONS and len(node.args) == 1:
            inner = of(node.args[0])
            return nodes.make("distinct", inner) if inner != nodes.unknown and text.endswith("set") else inner
        if text in ("max", "min") and len(node.args) > 1 and not node.keywords:
            parts = [of(argument) for argument in node.args]
            return nodes.unknown if nodes.unknown in parts else nodes.make(text, *parts)
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
        if held is None and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            target = f"{node.func.value.id}.{last}"
            held = self.source.functions.get(target)
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
