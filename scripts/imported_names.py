"""Writes which names SGLang imports from other packages, for errors that name a function and not its package.

    python scripts/imported_names.py FOLDER...

Each FOLDER holds a ``sglang`` package (site-packages, or an unpacked wheel); the releases are joined. A name that two
packages have is left out, and so is every name of torch and of the standard library: they tell nothing.
"""

from __future__ import annotations

import ast
import json
import sys
import warnings
from collections import defaultdict
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "sgldoctor/knowledge/data/imported-names.json"
LEFT_OUT = {"sglang", "torch", "torch_npu", "typing_extensions", "sglang_router", "test", "tests", "__future__"}
OTHER_DEVICES = set(
    "aiter amdsmi flydsl habana_frameworks inference mindie_turbo mindspore mori sgl_kernel_npu sailify torch_musa "
    "torchair memfabric_hybrid memcache_hybrid".split()
)
"""Packages for accelerators of other makers, which repeat the names of those for NVIDIA."""
SHORT = 5
"""Letters of the shortest name that is kept: shorter ones are words."""


def main(*folders: str) -> None:
    """Read every module and write the data anew."""
    owners: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        for path in sorted(Path(folder, "sglang").rglob("*.py")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    tree = ast.parse(path.read_text(encoding="utf-8"))
                except (SyntaxError, UnicodeDecodeError):
                    continue
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    package = node.module.partition(".")[0]
                    for alias in node.names:
                        owners[alias.name].add(package)
    kept: dict[str, list[str]] = defaultdict(list)
    for name, packages in sorted(owners.items()):
        package, *more = sorted(packages - OTHER_DEVICES) or [""]
        if (
            package
            and not more
            and package not in LEFT_OUT | sys.stdlib_module_names
            and len(name) >= SHORT
            and name != "__version__"
        ):
            kept[package].append(name)
    lines = ",\n".join(
        f"  {json.dumps(package)}: {json.dumps(' '.join(names))}" for package, names in sorted(kept.items())
    )
    DATA.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
