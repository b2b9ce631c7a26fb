"""The functions and constants of one release that its argument checks are made of."""

from __future__ import annotations

import ast
import hashlib
import re
import zipfile

FILES = re.compile(r"sglang/srt/(server_args|runtime_context|dllm/config|arg_groups/.*)\.py$")
# Followed for the values of small functions alone; what they raise is no check of the arguments.
HELPERS = re.compile(r"sglang/srt/utils(/common)?\.py$")


class Source:
    """The functions and constants of one release.

    ``valued`` are the fields that always have a value, ``unset`` the switches that are None and not False without one.
    """

    def __init__(
        self,
        wheel: zipfile.ZipFile,
        fields: set[str],
        valued: set[str],
        switches: set[str],
        trees: dict[str, ast.Module],
    ):
        self.fields, self.valued, self.switches = fields, valued, switches
        self.unset: set[str] = set()
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
                    elif (node.name == "ServerArgs" or "/fields/" in file) and self._is_unset(inner):
                        self.unset.add(ast.unparse(inner.target))
                    elif node.name == "ServerArgs" and isinstance(inner, (ast.Assign, ast.AnnAssign)) and inner.value:
                        targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
                        if isinstance(targets[0], ast.Name) and targets[0].id.isupper():
                            self.constants[targets[0].id] = inner.value
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if isinstance(targets[0], ast.Name):
                    self.constants[targets[0].id] = node.value

    def _is_unset(self, node: ast.stmt) -> bool:
        """Whether a field of ``ServerArgs`` is a switch that is declared as None."""
        none = isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant) and node.value.value is None
        return none and isinstance(node.target, ast.Name) and node.target.id in self.switches
