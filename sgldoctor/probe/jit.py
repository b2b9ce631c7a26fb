"""Libraries that were compiled at first use and kept in a cache: do they still fit the torch that is there?

``torch.utils.cpp_extension`` keeps them by Python and CUDA release alone (``torch_extensions/py311_cu128``), so a cache
outlives the torch that it was built with; FlashInfer keeps its own by version and GPU.
"""

from __future__ import annotations

from sgldoctor.facts import Row
from sgldoctor.lazy import lazy
from sgldoctor.probe import rooted, symbols
from sgldoctor.probe.elf import BadElf
from sgldoctor.probe.loader import Node, Process
from sgldoctor.probe.target import Target

MOST = 40
"""Libraries looked at, of all caches together."""
MACHINE = lazy(r"(?:code=|,)\[?sm_(\d{2,3}[af]?)\b")
VIRTUAL = lazy(r"code=(?:\[?sm_\d{2,3}[af]?,)?compute_(\d{2,3}[af]?)\b")
"""Of nvcc's -gencode: a build for one kind of GPU, and the portable form that the driver translates for later ones."""
TORCH = frozenset({"torch"})


def cached(target: Target) -> list[str]:
    """The compiled libraries of this Python in the caches, as the target sees them."""
    home = target.environ.get("HOME") or "/root"
    caches = target.environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    minor = "".join(target.version.split(".")[:2])
    top = target.environ.get("TORCH_EXTENSIONS_DIR") or f"{caches}/torch_extensions"
    folders = [f"{top}/{name}" for name in rooted.names(target.root, top) if name.startswith(f"py{minor}_")]
    base = f"{target.environ.get('FLASHINFER_WORKSPACE_BASE') or home}/.cache/flashinfer"
    for version in rooted.names(target.root, base):
        folders += [f"{base}/{version}/{arch}/cached_ops" for arch in rooted.names(target.root, f"{base}/{version}")]
    found = []
    for folder in folders:
        for name in rooted.names(target.root, folder):
            inner = f"{folder}/{name}"
            found += [f"{inner}/{file}" for file in rooted.names(target.root, inner) if file.endswith(".so")]
    return found[:MOST]


def built(target: Target) -> list[Row]:
    """Rows of ``jit.built``: what the GPUs are for which cached libraries were compiled, as ninja was told."""
    rows: list[Row] = []
    for path in cached(target):
        folder = path.rpartition("/")[0]
        text = rooted.text(target.root, f"{folder}/build.ninja", 1 << 18) or ""
        machines = sorted({match[1] for match in MACHINE.finditer(text)})
        virtual = sorted({match[1] for match in VIRTUAL.finditer(text)})
        if machines or virtual:
            said = ", ".join(f"sm_{one}" for one in machines) or f"compute_{virtual[-1]}"
            rows.append(
                {"file": path, "cache": folder, "machines": machines, "virtual": virtual, "text": f"{path}: {said}"}
            )
    return rows


def stale(process: Process, target: Target, base: dict[str, Node], shared: list[Node]) -> list[Row]:
    """Rows of ``jit.stale``: cached libraries that are no complete file, or want what this torch does not export."""
    rows: list[Row] = []
    for path in cached(target):
        process.loaded = dict(base)
        elf = process.elf(path)
        if isinstance(elf, BadElf):
            rows.append(_row(path, str(elf), ""))
            continue
        scope = process.load(path)
        absent = any(library.startswith(("libtorch", "libc10")) for library, _ in process.missing)
        process.forget()
        if not scope or absent:
            continue
        lacking = symbols.undefined(elf, [*scope, *shared], TORCH, process.exporters)
        rows += [_row(path, "built with another torch", group.names[0].decode("ascii", "replace")) for group in lacking]
    return rows


def _row(path: str, problem: str, symbol: str) -> Row:
    why = f"undefined symbol: {symbol}" if symbol else problem
    return {
        "file": path,
        "cache": path.rpartition("/")[0],
        "problem": problem,
        "symbol": symbol,
        "text": f"{path}: {why}",
    }
