"""Optional parts that a launch line may ask for: where they are, if they are, found by their files alone."""

from __future__ import annotations

import os
import re

from sgldoctor.facts import Row
from sgldoctor.probe import rooted
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
    rows.append(_gdrcopy(target))
    return rows


def _row(name: str, where: str, version: str = "", variant: str = "") -> Row:
    return {"name": name, "present": bool(where), "version": version, "where": where, "variant": variant}


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
