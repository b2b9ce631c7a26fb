"""Makes ``sgldoctor/knowledge/data/env-vars.json``: the SGLANG_* and SGL_* variables of each release of SGLang.

    python scripts/variables.py WHEELS          a folder with sglang-*.whl of every release to be known

From syntax trees, nothing imported: what ``class Envs`` in ``sglang/srt/environ.py`` declares, what the code reads
(``envs.NAME``, or a string handed to a function or looked up in a mapping), and what ``environ.py`` treats as
deprecated. A variable that is declared and read nowhere has no effect in that release: ``declared`` without ``read``.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wheels import Wheel, opened, spans, write_json

NAME = re.compile(r"^(SGLANG|SGL)_[A-Z0-9_]+$")
ENVIRON = "sglang/srt/environ.py"
# The texts that environ.py builds at run time: one wording each in every release that has them.
WILL_BE = "Environment variable {old} will be deprecated, please use {new} instead"
IS_TO_FLAG = "Environment variable {old} is deprecated. {note}"
IN_MS = "Environment variable {old} (in ms) is deprecated, please use {new} (in seconds) instead"
GONE = "Environment variable {old} has been deprecated."
PREFIX = "Environment variable {old} is deprecated, please use {new}"
ALIAS = (
    "Environment variable '{old}' is deprecated; use '{new}' instead. The alias will be removed in a future release."
)


READ: dict[bytes, set[str]] = {}
"""What a module reads, by the digest of its text: most stay the same from release to release."""


def declared(tree: ast.Module | None) -> dict[str, dict[str, Any]]:
    """The fields of class Envs: {name: {type, default, alias}}."""
    out = {}
    for node in tree.body if tree else []:
        if not (isinstance(node, ast.ClassDef) and node.name == "Envs"):
            continue
        for item in node.body:
            if not (isinstance(item, ast.Assign) and isinstance(item.value, ast.Call)):
                continue
            call = item.value
            default = next((k.value for k in call.keywords if k.arg == "default"), call.args[0] if call.args else None)
            alias = next((k.value for k in call.keywords if k.arg == "deprecated_name"), None)
            for target in item.targets:
                out[target.id] = {
                    "type": ast.unparse(call.func).removeprefix("Env").removesuffix("WithAlias").lower(),
                    "default": ast.unparse(default) if default is not None else "None",
                    "alias": alias.value if isinstance(alias, ast.Constant) else None,
                }
    return out


def reads(tree: ast.Module) -> set[str]:
    """Variables that a module reads: envs.NAME, or NAME as a call argument, subscript or `in` test."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and NAME.match(node.attr):
            found.add(node.attr)
        operands: list[ast.expr] = []
        if isinstance(node, ast.Call) and not written_by(node):
            operands = [*node.args, *(k.value for k in node.keywords)]
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            operands = [node.slice]
        elif isinstance(node, ast.Compare):
            operands = [node.left]
        for operand in operands:
            if isinstance(operand, ast.Constant) and isinstance(operand.value, str) and NAME.match(operand.value):
                found.add(operand.value)
        # A constant that holds the name and is handed to a getter elsewhere in the module.
        held = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        if isinstance(held, ast.Constant) and isinstance(held.value, str) and NAME.match(held.value):
            found.add(held.value)
    return found


def written_by(call: ast.Call) -> bool:
    """Calls that only set or remove a variable."""
    return getattr(call.func, "attr", "") in ("setenv", "delenv", "pop", "setdefault", "clear", "startswith")


def deprecations(tree: ast.Module | None) -> Iterator[dict[str, Any]]:
    """Every deprecation that environ.py announces, with the text it prints."""
    if tree is None:
        return
    order: dict[str, list[str]] = {
        n.name: [a.arg for a in n.args.args] for n in tree.body if isinstance(n, ast.FunctionDef)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", "")
            args = [a.value for a in node.args if isinstance(a, ast.Constant)]
            if called == "_print_deprecated_env" and args:
                named = dict(zip(order[called], args, strict=False))
                old, new = named["old_name"], named.get("new_name")
                yield {"old": old, "new": new, "kind": "renamed" if new else "removed",
                       "says": (WILL_BE if new else GONE).format(old=old, new=new)}  # fmt: skip
            elif called == "_warn_deprecated_env_to_cli_flag" and len(args) == 2:
                yield {
                    "old": args[0],
                    "new": None,
                    "kind": "flag",
                    "says": IS_TO_FLAG.format(old=args[0], note=args[1]),
                }
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Dict):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            table = getattr(target, "id", "")
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if table == "_deprecated_ms_to_s":
                    yield {"old": key.value, "new": value.value, "kind": "milliseconds to seconds",
                           "says": IN_MS.format(old=key.value, new=value.value)}  # fmt: skip
                elif table == "_DEPRECATED_ENVS":
                    yield registered(key.value, value)
    for name, field in declared(tree).items():
        if field["alias"]:
            yield {
                "old": field["alias"],
                "new": name,
                "kind": "alias",
                "says": ALIAS.format(old=field["alias"], new=name),
            }


def registered(old: str, call: ast.Call) -> dict[str, Any]:
    """An entry of _DEPRECATED_ENVS (0.5.18 and later)."""
    given = {k.arg: k.value for k in call.keywords}
    new = ast.literal_eval(given["replacement"]) if "replacement" in given else None
    note = ast.literal_eval(given["note"]) if "note" in given else None
    transform = ast.unparse(given["transform"]) if "transform" in given else None
    says = f"Environment variable {old} is deprecated."
    says += f" Please use {new} instead." if new else ""
    says += f" {note}" if note else ""
    flag = re.search(r"--[a-z][\w-]+", note or "") and not new
    kind = {"_ms_to_s": "milliseconds to seconds", "_invert_bool": "inverted"}.get(
        transform or "", transform or ("renamed" if new else "flag" if flag else "removed")
    )
    return {"old": old, "new": new, "kind": kind, "says": says}


def area(modules: set[str]) -> str:
    """Which part of the package reads a variable."""
    if all(m.startswith("sglang/multimodal_gen/") for m in modules):
        return "diffusion"
    if all(m.startswith(("sglang/test/", "sglang/bench", "sglang/benchmark/")) for m in modules):
        return "test"
    return "server"


def scan(wheel: Wheel) -> tuple[dict[str, dict[str, Any]], dict[str, set[str]], list[dict[str, Any]]]:
    """What a release declares, which modules read what, and what it calls deprecated."""
    tree = wheel.tree(ENVIRON)
    readers: dict[str, set[str]] = {}
    for name in wheel.modules():
        text = wheel.text(name)
        if name == ENVIRON or "SGL" not in text:
            continue
        digest = hashlib.sha256(text.encode()).digest()
        if digest not in READ:
            module = wheel.tree(name)
            READ[digest] = reads(module) if module else set()
        for variable in READ[digest]:
            readers.setdefault(variable, set()).add(name)
    return declared(tree), readers, list(deprecations(tree))


def main() -> None:
    """Read every release and write the file."""
    wheels = opened(Path(sys.argv[1]))
    releases = [w.version for w in wheels]
    scanned = {w.version: scan(w) for w in wheels}

    names = sorted({n for fields, readers, _ in scanned.values() for n in [*fields, *readers] if NAME.match(n)})
    variables = {}
    for name in names:
        fields = [scanned[r][0].get(name) for r in releases]
        readers = [scanned[r][1].get(name, set()) for r in releases]
        history: list[dict] = []
        for release, field in zip(releases, fields, strict=True):
            value = {"type": field["type"], "default": field["default"]} if field else None
            if value and (not history or {k: history[-1][k] for k in value} != value):
                history.append({"since": release, **value})
        latest = next((r for r in reversed(readers) if r), set())
        variables[name] = {
            "declared": spans([f is not None for f in fields], releases),
            "read": spans([bool(r) for r in readers], releases),
            "area": area(latest) if latest else "none",
            "history": history,
            "read_in": sorted(m.removeprefix("sglang/") for m in latest)[:3],
        }

    announced: dict[tuple, set[str]] = {}
    for release in releases:
        for item in scanned[release][2]:
            announced.setdefault(tuple(item.items()), set()).add(release)

    prefix = [w.version for w in wheels if ENVIRON in w.names and 'startswith("SGL_")' in w.text(ENVIRON)]
    write_json(
        "env-vars.json",
        {
            "source": "syntax trees of each wheel; texts from sglang/srt/environ.py",
            "releases": releases,
            "prefix_rule": {
                "since": prefix[0] if prefix else None,
                "says": PREFIX,
                "effect": "every SGL_X in the environment is copied to SGLANG_X (first SGL_ replaced), "
                "overwriting SGLANG_X",
            },
            "deprecated": [
                {**dict(key), "present": spans([r in rs for r in releases], releases)}
                for key, rs in sorted(announced.items(), key=lambda kv: kv[0][0])
            ],
            "variables": variables,
        },
    )


if __name__ == "__main__":
    main()
