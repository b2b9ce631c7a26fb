"""Makes ``quantization-matches.json`` of the knowledge: which ``--quantization`` each kind of checkpoint takes.

    python scripts/quantization_matches.py WHEEL_DIR

WHEEL_DIR holds one ``sglang-*.whl`` of every release in ``server-args.json``. ``ModelConfig._verify_quantization``
refuses a method that is neither the checkpoint's own, nor listed as compatible with it, nor one for requantising, nor
put in its place by ``override_quantization_method`` of some method. The lists are read from the syntax trees; the
overrides, which look at nothing but the checkpoint's configuration, are run alone, for several configurations of each
kind. What an override does that cannot be run so counts as acceptance.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import json
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

DATA = Path(__file__).resolve().parents[1] / "sgldoctor" / "knowledge" / "data"
FOLDER = "sglang/srt/layers/quantization/"
MODEL = "sglang/srt/configs/model_config.py"
VARIANTS = {
    "bits": (4, 8), "group_size": (128,), "zero_point": (True,), "desc_act": (False, True), "sym": (True, False),
    "quant_algo": ("FP8", "NVFP4", "MIXED_PRECISION"),
}  # fmt: skip
"""Keys that overrides look at, with values of published checkpoints."""


class Release:
    """The quantisation methods of one release."""

    def __init__(self, wheel: zipfile.ZipFile):
        self.classes: dict[str, ast.ClassDef] = {}
        self.methods: dict[str, str] = {}
        self._made: dict[str, Any] = {}
        for name in sorted(wheel.namelist()):
            if not name.startswith(FOLDER) or not name.endswith(".py"):
                continue
            tree = ast.parse(wheel.read(name))
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    self.classes.setdefault(node.name, node)
            if name == f"{FOLDER}__init__.py":
                self._collect(tree.body)
        model = ast.parse(wheel.read(MODEL) if MODEL in wheel.namelist() else b"")
        self.compatible: dict[str, list[str]] = literal(model, "compatible_quantization_methods") or {}
        self.requantising: list[str] = literal(model, "REQUANTIZATION_METHODS") or []

    def _collect(self, body: list[ast.stmt]) -> None:
        """The registry of methods as it is with CUDA."""
        for node in body:
            if isinstance(node, ast.If):
                self._collect(node.body if on_cuda(node.test) else node.orelse)
                continue
            for inner in ast.walk(node):
                if isinstance(inner, ast.Dict) and isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr)):
                    for key, value in zip(inner.keys, inner.values, strict=True):
                        if isinstance(key, ast.Constant) and isinstance(value, ast.Name):
                            self.methods[str(key.value)] = value.id

    def accepted(self, checkpoint: str, choices: Iterable[str] = ()) -> list[str]:
        """The methods that a checkpoint of a kind takes; of "" those that one without a configuration takes."""
        if not checkpoint:
            return sorted(self.methods)
        return [given for given in sorted({*self.methods, *choices}) if self._takes(checkpoint, given)]

    def _takes(self, checkpoint: str, given: str) -> bool:
        alike = given == checkpoint or given in self.requantising or checkpoint in self.compatible.get(given, ())
        if alike and given in self.methods:
            return True
        return any(
            self._overrides(owner, {"quant_method": checkpoint, **config}, given)
            for owner in dict.fromkeys(self.methods.values())
            for config in configurations(checkpoint)
        )

    def _overrides(self, owner: str, config: dict[str, Any], given: str) -> bool:
        """Whether the override of a class may put its own method in place of the one given."""
        try:
            made = self._alone(owner)
            return made is not None and made.override_quantization_method(config, given) is not None
        except Exception:  # noqa: BLE001 - what cannot be run alone is not known to refuse
            return True

    def _alone(self, owner: str) -> Any:
        """The class with nothing but what its override needs; None where it has none."""
        if owner in self._made:
            return self._made[owner]
        lines = self._lineage(owner)
        self._made[owner] = None
        if not any(f.name == "override_quantization_method" for c in lines for f in functions(c)):
            return None
        body = {f.name: f for c in reversed(lines) for f in functions(c) if is_class_method(f)}
        module = ast.parse("class Alone: pass")
        holder = module.body[0]
        assert isinstance(holder, ast.ClassDef)
        tables = [node for c in reversed(lines) for node in c.body if isinstance(node, ast.Assign)]
        holder.body = [*tables, *(plain(function) for function in body.values())]
        namespace = self._namespace(holder)
        exec(compile(ast.fix_missing_locations(module), "<alone>", "exec"), namespace)  # noqa: S102
        self._made[owner] = namespace["Alone"]
        return self._made[owner]

    def _lineage(self, owner: str) -> list[ast.ClassDef]:
        held = self.classes.get(owner)
        if held is None:
            return []
        bases = [base.id for base in held.bases if isinstance(base, ast.Name)]
        return [held, *itertools.chain.from_iterable(self._lineage(base) for base in bases)]

    def _namespace(self, holder: ast.ClassDef) -> dict[str, Any]:
        """Names that the functions use: other devices are off, the rest a dummy."""
        names = {n.id for n in ast.walk(holder) if isinstance(n, ast.Name)}
        space: dict[str, Any] = {}
        for name in names - set(dir(builtins)):
            if name.startswith(("_is_", "is_")):
                space[name] = name.endswith("cuda")
            elif name == "get_device_capability":
                space[name] = lambda *_: (9, 0)
            elif name == "REQUANTIZATION_METHODS":
                space[name] = self.requantising
            elif name == "check_marlin_format":
                space[name] = lambda _: False
            else:
                space[name] = MagicMock()
        if "AWQConfig" in names:
            space["AWQConfig"].get_min_capability.return_value = 75
        return space


def on_cuda(test: ast.expr) -> bool:
    """Whether the condition of a registry entry holds on NVIDIA GPUs."""
    if isinstance(test, ast.BoolOp):
        parts = [on_cuda(value) for value in test.values]
        return any(parts) if isinstance(test.op, ast.Or) else all(parts)
    if isinstance(test, ast.UnaryOp):
        return not on_cuda(test.operand)
    return "cuda" in ast.unparse(test)


def literal(tree: ast.Module, name: str) -> Any:
    """The value that a name is given where it is a plain one; None where it is not there."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == name:
                return ast.literal_eval(node.value)
    return None


def functions(holder: ast.ClassDef) -> list[ast.FunctionDef]:
    """The methods of a class."""
    return [node for node in holder.body if isinstance(node, ast.FunctionDef)]


def is_class_method(function: ast.FunctionDef) -> bool:
    """Whether it can be called without an instance."""
    return any(ast.unparse(decorator) in ("classmethod", "staticmethod") for decorator in function.decorator_list)


def plain(function: ast.FunctionDef) -> ast.FunctionDef:
    """A function without annotations and imports, whose names are given to it."""
    for inner in ast.walk(function):
        for part in getattr(inner, "body", ()) if isinstance(inner, ast.stmt) else ():
            if isinstance(part, ast.ImportFrom):
                inner.body[inner.body.index(part)] = ast.Pass()  # type: ignore[attr-defined]
        if isinstance(inner, ast.arg):
            inner.annotation = None
        if isinstance(inner, ast.FunctionDef):
            inner.returns = None
    function.decorator_list = [d for d in function.decorator_list if ast.unparse(d) in ("classmethod", "staticmethod")]
    return function


def configurations(checkpoint: str) -> list[dict[str, Any]]:
    """Configurations of checkpoints of one kind that overrides may tell apart."""
    keys = [key for key in VARIANTS if key != "quant_algo" or checkpoint.startswith("modelopt")]
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*(VARIANTS[key] for key in keys))]


def main() -> None:
    """Read every release and write the table, one kind of checkpoint a line."""
    args = json.loads((DATA / "server-args.json").read_text(encoding="utf-8"))
    releases: list[str] = args["releases"]
    table: dict[str, list[list[str | None]]] = {}
    before: dict[str, str] = {}
    for at, release in enumerate(releases):
        (path,) = Path(sys.argv[1]).glob(f"sglang-{release}-*.whl")
        held = Release(zipfile.ZipFile(path))
        choices = [
            choice
            for history in args["flags"].get("--quantization", {}).get("history", ())
            if releases.index(history["since"]) <= at
            and (not history["until"] or at <= releases.index(history["until"]))
            for choice in history.get("choices") or ()
        ]
        now = {kind: " ".join(held.accepted(kind, choices)) for kind in ("", *held.methods)}
        for kind in before.keys() | now.keys():
            if before.get(kind) == now.get(kind):
                continue
            if kind in before:
                table[kind][-1][1] = releases[at - 1]
            if kind in now:
                table.setdefault(kind, []).append([release, None, now[kind]])
        before = now
        print(release, len(now), flush=True)
    source = (
        f"_verify_quantization of {MODEL} and override_quantization_method of the classes in {FOLDER} of each release "
        "(scripts/quantization_matches.py): per quant_method of a checkpoint, with NVIDIA GPUs, first and last release "
        'and the values of --quantization that it takes; "" is a checkpoint without a configuration'
    )
    lines = ",\n".join(f"{json.dumps(kind)}: {json.dumps(rows)}" for kind, rows in sorted(table.items()))
    text = f'{{"source": {json.dumps(source)}, "methods": {{\n{lines}\n}}}}\n'
    (DATA / "quantization-matches.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
