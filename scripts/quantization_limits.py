"""Makes ``quantization-limits.json`` of the knowledge: the least compute capability of each quantisation method.

    python scripts/quantization_limits.py WHEEL_DIR

WHEEL_DIR holds one ``sglang-*.whl`` of every release in ``server-args.json``. Read are the syntax trees of
``sglang/srt/layers/quantization``: which class a method names, and the number that ``get_min_capability`` of the class,
or of the class that it derives from, returns. A method whose number is no plain one is left out.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "sgldoctor" / "knowledge" / "data"
FOLDER = "sglang/srt/layers/quantization/"


def limits(wheel: zipfile.ZipFile) -> dict[str, int]:
    """Method to least capability, as ``major * 10 + minor``."""
    own: dict[str, int | None] = {}
    bases: dict[str, list[str]] = {}
    classes: dict[str, str] = {}
    for name in wheel.namelist():
        if not name.startswith(FOLDER) or not name.endswith(".py"):
            continue
        tree = ast.parse(wheel.read(name))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and inner.name == "get_min_capability":
                        own[node.name] = returned(inner)
            elif isinstance(node, ast.Dict) and name == f"{FOLDER}__init__.py":
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(value, ast.Name):
                        classes[str(key.value)] = value.id

    def of(owner: str) -> int | None:
        if owner in own:
            return own[owner]
        return next((found for base in bases.get(owner, ()) if (found := of(base)) is not None), None)

    return {method: least for method, owner in classes.items() if (least := of(owner)) is not None}


def returned(function: ast.FunctionDef) -> int | None:
    """The number that a function always returns, None where it depends on anything."""
    values = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    (value, *more) = values or [None]
    plain = not more and isinstance(value, ast.Constant) and isinstance(value.value, int)
    return value.value if plain and isinstance(value, ast.Constant) else None


def main() -> None:
    """Read every release and write the table, one method a line."""
    releases = json.loads((DATA / "server-args.json").read_text(encoding="utf-8"))["releases"]
    table: dict[str, list[list[int | str | None]]] = {}
    before: dict[str, int] = {}
    for at, release in enumerate(releases):
        (path,) = Path(sys.argv[1]).glob(f"sglang-{release}-*.whl")
        now = limits(zipfile.ZipFile(path))
        for method in before.keys() | now.keys():
            if before.get(method) == now.get(method):
                continue
            if method in before:
                table[method][-1][2] = releases[at - 1]
            if method in now:
                table.setdefault(method, []).append([now[method], release, None])
        before = now
    source = (
        f"get_min_capability of the classes in {FOLDER} of each release: least capability x 10, first and last release"
    )
    lines = ",\n".join(f"{json.dumps(method)}: {json.dumps(rows)}" for method, rows in sorted(table.items()))
    text = f'{{"source": {json.dumps(source)}, "methods": {{\n{lines}\n}}}}\n'
    (DATA / "quantization-limits.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
