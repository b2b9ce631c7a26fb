"""Makes ``sgldoctor/knowledge/data/server-args.json``: the options of ``launch_server`` in each release of SGLang.

    python scripts/flags.py WHEELS          a folder with sglang-*.whl of every release to be known

Read from the syntax trees of ``sglang/srt/server_args.py`` and ``sglang/srt/arg_groups/``; nothing is imported. Two
styles occur and both are read: ``parser.add_argument(...)`` inside ``ServerArgs.add_cli_args``, and fields declared as
``name: A[type, "help" | Arg(...)] = default``. A value that is no literal after constants are looked up is kept as
source text in ``{"expr": ...}``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wheels import Wheel, opened, spans, write_json

ARG_MODULES = re.compile(r"sglang/srt/(server_args\.py|arg_groups/[\w/]+\.py)$")
# Where the choice lists that server_args takes from elsewhere are defined.
CHOICE_MODULES = re.compile(
    r"sglang/(srt/((parser/|)reasoning_parser\w*|function_call/(function_call_parser|parser_names)|"
    r"utils|utils/common|model_executor/cuda_graph_config)|[\w/]*kv_canary/consts)\.py$"
)
# How a help text opens when its flag is on the way out.
OUTDATED = re.compile(r"\W*(note:\s*)?(--[\w-]+ is )?(deprecated|removed)\b", re.IGNORECASE)
ABBREVIATIONS = ("--tp", "--dp", "--pp", "--ep", "--model", "--mem", "--attention", "--quant", "--max-run",
                 "--context", "--chunked", "--dist-init", "--served", "--trust", "--disagg")  # fmt: skip


class UnknownValueError(Exception):
    """The expression has no value that can be read from the source alone."""


class Source:
    """Constants, class attributes and argument definitions of one release."""

    def __init__(self, wheel: Wheel):
        self.trees = {n: t for n in wheel.modules() if ARG_MODULES.match(n) and (t := wheel.tree(n))}
        elsewhere = [t for n in wheel.modules() if CHOICE_MODULES.match(n) and (t := wheel.tree(n))]
        self.constants: dict[str, ast.expr] = {}
        self.attributes: dict[str, ast.expr] = {}
        self.fields: list[ast.AnnAssign] = []
        for tree in [*elsewhere, *self.trees.values()]:
            self._collect(tree)

    def _collect(self, tree: ast.Module) -> None:
        for node in tree.body:
            for name, value in assigned(node):
                self.constants[name] = value
            if isinstance(node, ast.ClassDef):
                if any(ast.unparse(base).endswith("Enum") for base in node.bases):
                    members = [ast.Constant(name) for item in node.body for name, _ in assigned(item)]
                    self.constants[node.name] = ast.List(members)
                for item in node.body:
                    for name, value in assigned(item):
                        self.attributes[f"{node.name}.{name}"] = value
                    if isinstance(item, ast.AnnAssign) and is_annotated(item.annotation):
                        self.fields.append(item)
                    if isinstance(item, ast.FunctionDef) and item.name == "add_cli_args":
                        for name, value in (pair for n in ast.walk(item) for pair in assigned(n)):
                            self.constants.setdefault(name, value)
            if isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return):
                self.constants[f"{node.name}()"] = node.body[-1].value

    def value(self, node: ast.expr, scope: str = "") -> Any:
        """The node's value; raises UnknownValueError where the source alone does not tell.

        `scope` names the class whose body the expression stands in.
        """
        match node:
            case ast.Constant():
                return node.value
            case ast.List() | ast.Tuple() | ast.Set():
                out: list = []
                for item in node.elts:
                    starred = isinstance(item, ast.Starred)
                    out.extend(self.value(item.value) if starred else [self.value(item, scope)])
                return out
            case ast.Dict():
                return [self.value(k) for k in node.keys if k]
            case ast.Name() if f"{scope}.{node.id}" in self.attributes:
                return self.value(self.attributes[f"{scope}.{node.id}"], scope)
            case ast.Name() if node.id in self.constants:
                return self.value(self.constants[node.id])
            case ast.Attribute() if ast.unparse(node) == "argparse.SUPPRESS":
                return None
            case ast.Attribute() if ast.unparse(node) in self.attributes:
                return self.value(self.attributes[ast.unparse(node)], getattr(node.value, "id", ""))
            case ast.Subscript(value=inner, slice=ast.Constant(value=int(index))):
                return self.value(inner)[index]
            case ast.UnaryOp(op=ast.USub()):
                return -self.value(node.operand)
            case ast.BinOp(op=ast.Add()):
                return self.value(node.left) + self.value(node.right)
            case ast.BinOp(op=ast.Mult()):
                return self.value(node.left) * self.value(node.right)
            case ast.Call(func=ast.Name(id="list" | "tuple" | "set" | "sorted" | "frozenset"), args=[inner]):
                return self.value(inner)
            case ast.Call(func=ast.Attribute(value=inner, attr="keys"), args=[]):
                return self.value(inner)
            case ast.Call(func=ast.Name(id=called), args=[]) if f"{called}()" in self.constants:
                return self.value(self.constants[f"{called}()"])
            case ast.ListComp(elt=element, generators=[ast.comprehension(iter=inner, ifs=[])]) if (
                ast.unparse(element).endswith(".name.lower()")  # the members of an enumeration, as words
            ):
                return [str(name).lower() for name in self.value(inner)]
            case ast.Call(keywords=[ast.keyword(arg="default_factory", value=factory)]):
                return [] if ast.unparse(factory) == "list" else self.value(factory.body)
            case ast.Call(func=ast.Name(id="_declared_default"), args=[ast.Constant(value=name)]):
                return self.value(self.field_default(name))
        raise UnknownValueError(ast.unparse(node))

    def field_default(self, name: str) -> ast.expr:
        """The expression that some class gives an attribute of this name."""
        for key, value in self.attributes.items():
            if key.endswith(f".{name}"):
                return value
        raise UnknownValueError(name)

    def plain(self, node: ast.expr | None) -> Any:
        """The node's value, or its source text as {"expr": ...}."""
        if node is None:
            return None
        try:
            return self.value(node)
        except (UnknownValueError, TypeError, AttributeError, RecursionError):
            return {"expr": ast.unparse(node)}

    def flags(self) -> Iterator[dict[str, Any]]:
        """Every option, in both styles."""
        for field in self.fields:
            if flag := self.flag_of_field(field):
                yield flag
        for tree in self.trees.values():
            for func in ast.walk(tree):
                if isinstance(func, ast.FunctionDef) and func.name.startswith("add_cli_args"):
                    for call in ast.walk(func):
                        called = getattr(call.func, "attr", "") if isinstance(call, ast.Call) else ""
                        if called == "add_argument" and (flag := self.flag_of_call(call)):
                            yield flag

    def flag_of_call(self, call: Any) -> dict[str, Any] | None:
        """The option of an ``add_argument`` call."""
        names = [a.value for a in call.args if isinstance(a, ast.Constant)]
        if not names:
            return None
        given = {k.arg: k.value for k in call.keywords if k.arg}
        action = action_name(given.get("action"))
        kind = ast.unparse(given["type"]) if "type" in given else "str"
        return self.flag(names, given, kind, action, self.plain(given.get("default")))

    def flag_of_field(self, field: Any) -> dict[str, Any] | None:
        """The option of an annotated field."""
        inner, *extras = field.annotation.slice.elts
        given: dict[Any, Any] = {}
        documented = False
        for extra in extras:
            if isinstance(extra, ast.Call) and getattr(extra.func, "id", "") == "Arg":
                given, documented = {k.arg: k.value for k in extra.keywords}, True
            elif not documented and not isinstance(extra, ast.Call):
                given, documented = {"help": extra}, True
        if not documented or self.plain(given.get("no_cli")) is True:
            return None
        kind = re.sub(r"^(?:typing\.)?Optional\[(.*)\]$|^(.*?) \| None$", r"\1\2", ast.unparse(inner))
        if literal := re.match(r"(?:typing\.)?Literal\[(.*)\]$", kind):
            given.setdefault("choices", ast.parse(f"[{literal[1]}]", mode="eval").body)
            kind = "str"
        if "type_parser" in given:
            kind = ast.unparse(given["type_parser"])
        action = action_name(given.get("action")) or ("store_true" if kind == "bool" else None)
        if extra := given.get("action_kwargs"):
            given |= {k.value: v for k, v in zip(extra.keys, extra.values, strict=True) if isinstance(k, ast.Constant)}
        name = self.plain(given.get("cli_name")) or "--" + field.target.id.replace("_", "-")
        names = [name, *(self.plain(given.get("aliases")) or [])]
        required = field.value is None
        default = self.plain(field.value)
        return self.flag(names, given, kind, action, default, dest=field.target.id, required=required)

    def flag(
        self,
        names: list[str],
        given: dict[Any, Any],
        kind: str,
        action: str | None,
        default: Any,
        dest: str | None = None,
        *,
        required: bool = False,
    ) -> dict[str, Any]:
        """One row of the history of an option."""
        text = help_text(given.get("help"))
        if "store_true" in (action or "") or (action or "").startswith(("BooleanOptional", "Deprecated")):
            kind = "bool" if "Alias" not in (action or "") else kind
        out = {
            "names": names,
            "dest": dest or self.plain(given.get("dest")) or names[0].lstrip("-").replace("-", "_"),
            "type": kind,
            "default": default,
            "choices": self.plain(given.get("choices")),
            "nargs": self.plain(given.get("nargs")),
            "action": action,
            "required": required or self.plain(given.get("required")) is True,
            "deprecated": None,
            "help": text,
        }
        if (action or "").startswith("Deprecated") or OUTDATED.match(text):
            new = self.plain(given.get("new_flag"))
            pointed = re.search(r"(?:use|set|for) [`'\"]?(--[\w{},=-]+(?: <[\w-]+>)?)", text, re.IGNORECASE)
            out["deprecated"] = {"use": new or (pointed[1] if pointed else None), "says": text}
        return {k: v for k, v in out.items() if v not in (None, False, "") or k == "default"}


def assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Name and value of each plain assignment in a statement."""
    if isinstance(node, ast.Assign):
        yield from ((t.id, node.value) for t in node.targets if isinstance(t, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        yield node.target.id, node.value


def is_annotated(node: ast.expr) -> bool:
    """Whether an annotation is ``A[...]`` or ``Annotated[...]``."""
    return (
        isinstance(node, ast.Subscript)
        and ast.unparse(node.value) in ("A", "Annotated")
        and isinstance(node.slice, ast.Tuple)
    )


def action_name(node: Any) -> str | None:
    """The action of an option: argparse's word, or the name of a class."""
    if node is None:
        return None
    return node.value if isinstance(node, ast.Constant) else ast.unparse(node).rsplit(".", 1)[-1]


def help_text(node: ast.expr | None) -> str:
    """A help text, with {expressions} of an f-string left as written."""
    match node:
        case ast.Constant(value=str(text)):
            return " ".join(text.split())
        case ast.JoinedStr(values=parts):
            return " ".join("".join(p.value if isinstance(p, ast.Constant) else "{…}" for p in parts).split())
        case ast.BinOp(left=left, right=right):
            return f"{help_text(left)} {help_text(right)}"
        case _:
            return ""


def warnings_in(source: Source) -> set[tuple[str, str]]:
    """(text, module:function) of every warning or error about something deprecated or removed."""
    found = set()
    for name, tree in source.trees.items():
        for func in ast.walk(tree):
            if not isinstance(func, ast.FunctionDef):
                continue
            for call in ast.walk(func):
                if not isinstance(call, ast.Call) or not call.args:
                    continue
                called = ast.unparse(call.func)
                if re.search(r"warn|Error|error|print_deprecated", called):
                    text = help_text(call.args[0])
                    if re.search(r"deprecated|has been removed|no longer supported|is removed", text, re.IGNORECASE):
                        found.add((text, f"{name.removeprefix('sglang/srt/')}:{func.name}"))
    return found


def prefix_matches(typed: str, options: set[str]) -> str:
    """What argparse makes of an abbreviated option."""
    if typed in options:
        return typed
    hits = sorted(o for o in options if o.startswith(typed))
    return hits[0] if len(hits) == 1 else "ambiguous: " + ", ".join(hits) if hits else "unrecognized"


def main() -> None:
    """Read every release and write the file."""
    wheels = opened(Path(sys.argv[1]))
    releases = [w.version for w in wheels]
    table: dict[str, dict[str, dict]] = {}
    known_as: dict[str, str] = {}
    seen_warnings: dict[tuple[str, str], set[str]] = {}
    abbreviations: dict[str, dict[str, str]] = {}
    for wheel in reversed(wheels):  # newest first: its main spelling names the flag
        source = Source(wheel)
        spelled: set[str] = set()
        for flag in source.flags():
            names = flag["names"]
            spelled |= set(names)
            key = next((known_as[n] for n in names if n in known_as), names[0])
            known_as.update(dict.fromkeys(names, key))
            table.setdefault(key, {})[wheel.version] = flag
        for key in warnings_in(source):
            seen_warnings.setdefault(key, set()).add(wheel.version)
        abbreviations[wheel.version] = {a: prefix_matches(a, spelled) for a in ABBREVIATIONS}

    flags = {}
    for name, by_release in sorted(table.items()):
        history: list[dict] = []
        for release in releases:
            flag = by_release.get(release)
            if flag is None:
                continue
            stable = {k: v for k, v in flag.items() if k != "help"}
            text = flag.get("help", "")
            index = releases.index(release)
            previous = releases[index - 1] if index else None
            if history and history[-1]["until"] == previous and history[-1]["is"] == stable:
                history[-1]["until"] = release
            else:
                history.append({"since": release, "until": release, "is": stable})
            history[-1]["help"] = text
        for entry in history:
            entry.update(entry.pop("is"))
        for older in history[:-1]:
            older.pop("help", None)
        flags[name] = {
            "present": spans([r in by_release for r in releases], releases),
            "history": [{**e, "until": None if e["until"] == releases[-1] else e["until"]} for e in history],
        }

    write_json(
        "server-args.json",
        {
            "source": "syntax trees of sglang/srt/server_args.py and sglang/srt/arg_groups/ in each wheel",
            "releases": releases,
            "flags": flags,
            "abbreviations": {r: abbreviations[r] for r in releases},
            "deprecation_texts": [
                {"text": text, "where": where, "present": spans([r in rs for r in releases], releases)}
                for (text, where), rs in sorted(seen_warnings.items(), key=lambda kv: kv[0])
            ],
        },
    )


if __name__ == "__main__":
    main()
