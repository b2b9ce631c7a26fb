"""Writes which names SGLang imports from other packages, for errors that name a function and not its package.

    python scripts/imported_names.py WHEELS          a folder with sglang-*.whl of every release to be known

All releases are joined. A name that two packages have is left out, and so is every name of torch and of the standard
library: they tell nothing. So is what only ever stands for a file beside the importing one (scripts and kernels that
are run from their own folder): no package index knows it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from wheels import opened

DATA = Path(__file__).resolve().parent.parent / "sgldoctor/knowledge/data/imported-names.json"
LEFT_OUT = {"sglang", "torch", "torch_npu", "typing_extensions", "sglang_router", "test", "tests", "__future__"}
OTHER_DEVICES = set(
    "aiter amdsmi flydsl habana_frameworks inference mindie_turbo mindspore mori sgl_kernel_npu sailify torch_musa "
    "torchair memfabric_hybrid memcache_hybrid".split()
)
"""Packages for accelerators of other makers, which repeat the names of those for NVIDIA."""
SHORT = 5
"""Letters of the shortest name that is kept: shorter ones are words."""


def main() -> None:
    """Read every module and write the data anew."""
    owners: dict[str, set[str]] = defaultdict(set)
    seen: set[bytes] = set()
    elsewhere: set[str] = set()
    for wheel in opened(Path(sys.argv[1])):
        for name in wheel.modules():
            text = wheel.text(name)
            digest = hashlib.sha256(text.encode()).digest()
            if digest not in seen:
                seen.add(digest)
                folder = name.rpartition("/")[0]
                for package, imported in _imports(text):
                    owners[imported].add(package)
                    beside = f"{folder}/{package}"
                    if not {f"{beside}.py", f"{beside}/__init__.py"} & wheel.names:
                        elsewhere.add(package)
    for packages in owners.values():
        packages &= elsewhere
    standard = _of_the_standard_library(package for packages in owners.values() for package in packages)
    kept: dict[str, list[str]] = defaultdict(list)
    for name, packages in sorted(owners.items()):
        package, *more = sorted(packages - OTHER_DEVICES) or [""]
        if (
            package
            and not more
            and package not in LEFT_OUT | sys.stdlib_module_names
            and len(name) >= SHORT
            and name not in standard
            and name != "__version__"
        ):
            kept[package].append(name)
    lines = ",\n".join(
        f"  {json.dumps(package)}: {json.dumps(' '.join(names))}" for package, names in sorted(kept.items())
    )
    DATA.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def _of_the_standard_library(packages: Iterable[str]) -> set[str]:
    """Names of the standard library's modules among these: some package hands on ``getLogger``, and does not own it."""
    names: set[str] = set()
    for package in {*packages} & sys.stdlib_module_names:
        try:
            names.update(dir(importlib.import_module(package)))
        except ImportError:  # of another system
            continue
    return names


def _imports(text: str) -> Iterator[tuple[str, str]]:
    """Package and name of each ``from package import name``; none of a file that this Python cannot read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
        except SyntaxError:
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.module.partition(".")[0], alias.name


if __name__ == "__main__":
    main()
