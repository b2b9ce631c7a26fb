"""Makes ``sgldoctor/knowledge/data/messages.jsonl``: what SGLang's own code can raise, assert or warn, by release.

    python scripts/messages.py WHEELS          a folder with sglang-*.whl of every release to be known

Read are every ``raise X(text)``, ``assert test, text``, ``logger.warning|error|critical(text)`` and
``warnings.warn(text)`` in the syntax trees of ``sglang/srt``, without its back ends for other makers' devices. An
expression inside a text stands as ``{…}``; an assert without a text is kept by its test, the line that a traceback
shows. Kept is what tells something in a log: texts with a literal part of at least 12 characters, releases as indices,
the first place that raises it. The first line names the releases; the others begin with what must stand in a log for
their text, and are sorted, so that a look-up parses only the lines that may fit.

A text that is put together in a variable first is not seen in the syntax tree of the call. So a range goes on as long
as the longest literal part still stands in the same file: a release too many narrows less, a release too few makes a
wrong claim.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from wheels import DATA, Wheel, opened, spans

HOLE = "{…}"
LITERAL = 12
OUT = DATA / "messages.jsonl"
SKIPPED = re.compile(r"/(test|hardware_backend|debug_utils|kv_canary)/|multimodal_gen")
LOGGED = {"warning", "error", "critical", "exception", "warning_once", "warn"}


Message = tuple[str, str, str, str]


def template(node: ast.expr | None) -> str:
    """The text of a message expression, with HOLE for what is only known at run time."""
    match node:
        case None:
            return ""
        case ast.Constant(value=str(text)):
            return re.sub(r"%\(?\w*\)?[-+.0-9]*[sdrfgxi]|\{\w*(?:![rs])?(?::[^{}]*)?\}", HOLE, text)
        case ast.Constant(value=value):
            return str(value)
        case ast.JoinedStr(values=parts):
            return "".join(str(p.value) if isinstance(p, ast.Constant) else HOLE for p in parts)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return template(left) + template(right)
        case ast.BinOp(op=ast.Mod(), left=left):
            return template(left)
        case ast.Call(func=ast.Attribute(value=inner, attr="format" | "join" | "strip")):
            return template(inner)
        case _:
            return HOLE


def messages(tree: ast.Module) -> Iterator[Message]:
    """(kind, text, test, function) of every message in a module."""

    def visit(node: ast.AST, where: str) -> Iterator[Message]:
        for child in ast.iter_child_nodes(node):
            inside = where
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inside = f"{where}.{child.name}" if where else child.name
            if isinstance(child, ast.Assert):
                yield "assert", template(child.msg), ast.unparse(child.test), where
            elif isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
                yield ast.unparse(child.exc.func), template((child.exc.args or [None])[0]), "", where
            elif isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.args:
                owner = ast.unparse(child.func.value)
                if child.func.attr in LOGGED and ("log" in owner or owner == "warnings"):
                    yield f"{owner}.{child.func.attr}", template(child.args[0]), "", where
            yield from visit(child, inside)

    yield from visit(tree, "")


def scan(wheel: Wheel, parsed: dict[str, list[Message]]) -> set[Message]:
    """Every (kind, text, test, module:function) of a release; unchanged files are parsed once."""
    found = set()
    for name in wheel.modules("sglang/srt/"):
        if SKIPPED.search(name):
            continue
        text = wheel.text(name)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest not in parsed:
            tree = wheel.tree(name)
            parsed[digest] = list(messages(tree)) if tree else []
        place = name.removeprefix("sglang/srt/")
        for kind, said, test, where in parsed[digest]:
            if said.replace(HOLE, "").strip() or test:
                found.add((kind, said, test, f"{place}:{where}"))
    return found


def everything(wheels: list[Wheel]) -> list[dict[str, Any]]:
    """Every message of any release: kind, ``text`` or ``test``, ``present`` as ranges, ``where`` it is said last."""
    releases = [wheel.version for wheel in wheels]
    parsed: dict[str, list[Message]] = {}
    seen: dict[tuple[str, str, str], dict[str, set[str]]] = {}
    for wheel in wheels:
        for kind, said, test, place in scan(wheel, parsed):
            # An assert with a text is known by it; one without, by its test.
            key = (kind, said, "" if said.strip() else test)
            seen.setdefault(key, {}).setdefault(wheel.version, set()).add(place)
    rows = []
    for (kind, said, test), by_release in sorted(seen.items(), key=lambda item: (item[0][1], item[0][2], item[0][0])):
        last = max(by_release, key=releases.index)
        rows.append(
            {
                "kind": kind,
                **({"text": said} if said.strip() else {"test": test}),
                "present": spans([release in by_release for release in releases], releases),
                "where": sorted(by_release[last])[:3],
            }
        )
    return rows


def main() -> None:
    """Write what tells something, one message a line."""
    wheels = opened(Path(sys.argv[1]))
    releases = [wheel.version for wheel in wheels]
    place = {release: index for index, release in enumerate(releases)}
    rows = []
    messages_of_all = everything(wheels)
    for entry in messages_of_all:
        text = entry.get("text") or entry.get("test") or ""
        if max(map(len, text.split(HOLE))) < LITERAL:
            continue
        runs = [[place[first], place[last] if last else len(place) - 1] for first, last in entry["present"]]
        kind = "assert" if entry["kind"] == "assert" and "text" not in entry else entry["kind"]
        longest = max((part.strip() for part in text.split(HOLE)), key=len)
        files = dict.fromkeys(where.partition(":")[0] for where in entry["where"])
        runs = _widened(runs, longest, [*files], wheels)
        rows.append([longest, kind, text if text != longest else "", runs, entry["where"][0]])
    lines = sorted(
        (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows), key=lambda line: line.encode()
    )
    head = json.dumps({"source": "syntax trees of sglang/srt in each wheel", "releases": releases}, ensure_ascii=False)
    OUT.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    print(f"{len(rows)} of {len(messages_of_all)} texts, {OUT.stat().st_size:,} bytes")


def _widened(spans: list[list[int]], literal: str, files: list[str], wheels: list[Wheel]) -> list[list[int]]:
    """The ranges with the releases before and after that hold the literal in one of the files; -1 for "still there"."""
    there = {index for first, last in spans for index in range(first, last + 1)}
    for step in (1, -1):
        for start in sorted(there):
            index = start + step
            while 0 <= index < len(wheels) and index not in there and _holds(wheels[index], files, literal):
                there.add(index)
                index += step
    found: list[list[int]] = []
    for index in sorted(there):
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    if found[-1][1] == len(wheels) - 1:
        found[-1][1] = -1
    return found


def _holds(wheel: Wheel, files: list[str], literal: str) -> bool:
    return any(literal in _text(wheel, file) for file in files)


@cache
def _text(wheel: Wheel, file: str) -> str:
    name = f"sglang/srt/{file}"
    return wheel.text(name) if name in wheel.names else ""


if __name__ == "__main__":
    main()
