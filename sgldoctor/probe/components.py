"""Optional parts that a launch line may ask for: where they are, if they are, found by their files alone."""

from __future__ import annotations

import os
import re

from sgldoctor.facts import Row
from sgldoctor.probe import rooted
from sgldoctor.probe.elf import BadElf, Elf
from sgldoctor.probe.target import Target

PARTS = {
    "deepep": (r"(?:sgl-)?deep-ep(?:-cu\d+)?", "deep_ep"),
    "nvshmem": (r"nvidia-nvshmem-cu\d+", ""),
    "mooncake": (r"mooncake-transfer-engine(?:-.+)?", "mooncake"),
    "nixl": (r"nixl(?:-cu\d+)?", "nixl"),
    "vllm": (r"vllm", "vllm"),
}
"""Component to the names of its distributions and of its module."""

LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
)


def components(target: Target, installed: list[Row]) -> list[Row]:
    """Rows of fact ``components``, one for each known part, also for those that are absent."""
    rows = [_part(target, installed, name, *PARTS[name]) for name in ("deepep", "nvshmem", "mooncake", "nixl", "vllm")]
    for row in rows:
        row["registers"] = _registers(target) if row["name"] == "mooncake" and row["present"] else ""
    rows.append(_gdrcopy(target))
    return rows


def _row(name: str, where: str, version: str = "", variant: str = "") -> Row:
    return {
        "name": name,
        "present": bool(where),
        "version": version,
        "where": where,
        "variant": variant,
        "registers": "",
    }


def _part(target: Target, installed: list[Row], name: str, pattern: str, module: str) -> Row:
    found = [row for row in installed if re.fullmatch(pattern, row["name"])]
    if found:
        variants = sorted({match[0] for row in found if (match := re.search(r"cu\d+$", row["name"]))})
        first = found[0]
        return _row(name, first["name"], first["version"], " ".join(variants))
    for site in target.sites if module else ():
        for path in (f"{site}/{module}/__init__.py", f"{site}/{module}.py"):
            if rooted.is_file(target.root, path):
                return _row(name, os.path.dirname(path) if path.endswith("__init__.py") else path)
    home = target.environ.get("NVSHMEM_HOME") or target.environ.get("NVSHMEM_DIR") if name == "nvshmem" else ""
    if home and rooted.is_folder(target.root, home):
        return _row(name, home)
    return _row(name, "")


def _registers(target: Target) -> str:
    """How Mooncake was built to register GPU memory: what its engine wants of libibverbs, and which variable it reads.

    Wheels of 0.3.6 and 0.3.8 want no ibv_reg_dmabuf_mr; that of 0.3.13 does, and holds the name of the variable.
    """
    for site in target.sites:
        for name in rooted.names(target.root, f"{site}/mooncake"):
            if not (name.startswith("engine.") and name.endswith(".so")):
                continue
            try:
                engine = Elf(rooted.resolve(target.root, f"{site}/mooncake/{name}"))
                wanted = {name for name, _ in engine.undefined() if name.startswith(b"ibv_reg_")}
                if not wanted:
                    return ""
                if b"ibv_reg_dmabuf_mr" not in wanted:
                    return "peermem"
                return "variable" if engine.holds(b"WITH_NVIDIA_PEERMEM\0") else "dmabuf"
            except (BadElf, OSError):  # said by the probe of libraries
                return ""
    return ""


def _gdrcopy(target: Target) -> Row:
    """GDRCopy: its library, in the loader's usual places, and the version in the library's file name."""
    asked = [folder for folder in target.environ.get("LD_LIBRARY_PATH", "").split(":") if folder.startswith("/")]
    for folder in (*asked, *LIBRARY_FOLDERS, "/opt/gdrcopy/lib"):
        hits = [entry for entry in rooted.names(target.root, folder) if entry.startswith("libgdrapi.so")]
        if hits:
            longest = max(hits, key=len)
            return _row("gdrcopy", f"{folder}/{hits[0]}", longest[len("libgdrapi.so.") :])
    device = "/dev/gdrdrv"
    return _row("gdrcopy", device if os.path.exists(target.path(device)) else "")
