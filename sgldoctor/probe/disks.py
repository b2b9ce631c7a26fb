"""Room on the file systems that SGLang writes to. A probe of its own: a dead network folder holds whoever asks it."""

from __future__ import annotations

import os

from sgldoctor.facts import Facts, Row
from sgldoctor.probe import rooted
from sgldoctor.probe.hub import cache_folder, user_home
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target


MOVED = (
    "FLASHINFER_WORKSPACE_BASE", "TORCH_EXTENSIONS_DIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR",
    "DG_JIT_CACHE_DIR", "SGLANG_DG_CACHE_DIR", "TVM_FFI_CACHE_DIR",
)  # fmt: skip
"""Variables that put one of the caches for compiled kernels elsewhere."""


MADE = "makedirs(jit_env.FLASHINFER_WORKSPACE_DIR"
"""In flashinfer/jit/core.py (0.6.1 to 0.7.2): its folder is made, and a log opened in it, when it is imported."""


def disks(target: Target) -> Facts:
    """The fact ``disks``: room for models, caches, temporary files and packages; unknown for an unpacked root.

    A folder that does not exist yet is judged by the nearest one above it that does.
    """
    facts = Facts()
    if not target.live:
        return facts
    caches = target.environ.get("XDG_CACHE_HOME") or f"{user_home(target)}/.cache"
    wanted = [("models", cache_folder(target)), ("caches", caches)]
    wanted += [("caches", path) for name in MOVED if (path := target.environ.get(name, "")).startswith("/")]
    wanted += _flashinfer(target)
    wanted += [("temporary files", target.environ.get("TMPDIR") or "/tmp")]  # noqa: S108 - measured, not written to
    wanted += [("packages", site) for site in target.sites[:1]]
    rows: list[Row] = []
    for purpose, path in wanted:
        folder = path
        while folder not in ("", "/") and not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        try:
            status = os.statvfs(folder)
        except OSError:  # also a relative path that leads nowhere
            continue
        rows.append(
            {
                "path": path,
                "for": purpose,
                "free_mib": status.f_frsize * status.f_bavail >> 20,
                "total_mib": status.f_frsize * status.f_blocks >> 20,
                "writable": os.access(folder, os.W_OK),
            }
        )
    facts.put("disks", rows, "probe")
    return facts


def _flashinfer(target: Target) -> list[tuple[str, str]]:
    """The folder without which flashinfer cannot even be imported; it goes by the home, not by XDG_CACHE_HOME."""
    for site in target.sites:
        text = rooted.text(target.root, f"{site}/flashinfer/jit/core.py", 1 << 16)
        if text is not None:
            base = target.environ.get("FLASHINFER_WORKSPACE_BASE") or user_home(target)
            return [("flashinfer", f"{base}/.cache/flashinfer")] if MADE in text else []
    return []
