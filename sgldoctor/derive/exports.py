"""The variables that an environment needs, and why: facts in, exports out. Pure.

Least is best: torch finds the libraries of its wheels by itself, so a folder goes into ``LD_LIBRARY_PATH`` only for a
library that is really not found, and never one that holds another build of a library that a wheel brings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sgldoctor.facts import Facts
from sgldoctor.typed import NamedTuple

SYSTEM = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
"""Folders (and those below them) in which the loader looks by itself."""
SHADOWING = re.compile(
    r"lib(?:cudnn|cublas|cudart|nccl|nvrtc|nvshmem_host|cusparse|cusolver|cufft|curand|nvJitLink|torch|c10)"
)
"""Libraries that wheels bring: a folder with one of these is never put before them."""


class Export(NamedTuple):
    """One variable: set to ``value``, or with ``prepend`` one folder more in a list; ``why`` in words."""

    name: str
    value: str
    prepend: bool
    why: str


def needed(
    facts: Facts, environ: Mapping[str, str], listing: Callable[[str], list[str]]
) -> tuple[list[Export], list[str]]:
    """What has to be exported for the environment that the facts describe, and remarks on what must not be.

    Args:
        facts: of an examination, with what is derived from it.
        environ: the variables of the shell.
        listing: the names in a folder of the target.
    """
    out = _toolkit(facts, environ)
    notes: list[str] = []
    folders: dict[str, str] = {}
    for row in facts.rows("libraries.unresolved"):
        if row.get("place") and row.get("kind") not in ("driver", "no-gpu"):
            folder = str(row["place"]).rpartition("/")[0]
            folders.setdefault(
                folder, f"{row['library']} lies there and {row.get('owner') or 'what needs it'} does not look there"
            )
    for folder, why in _companions(facts, environ):
        folders.setdefault(folder, why)
    for folder, why in folders.items():
        foreign = [] if "/site-packages/" in folder or "/dist-packages/" in folder else shadowing(listing(folder))
        if foreign:
            notes.append(
                f"{folder} is left out although {why}: its {foreign[0]} would be taken before the one of the wheels"
            )
            continue
        out.append(Export("LD_LIBRARY_PATH", folder, prepend=True, why=why))
    for row in facts.rows("environment.library_path"):
        if row.get("problem") in ("shadows", "stubs"):
            library = f" ({row['library']})" if row.get("library") else ""
            notes.append(
                f"take {row['folder']} out of LD_LIBRARY_PATH: it {row['problem']} what should be loaded{library}"
            )
    return out, notes


def shadowing(names: list[str]) -> list[str]:
    """The files among ``names`` that a wheel brings as well."""
    return sorted(name for name in names if SHADOWING.match(name))


def _toolkit(facts: Facts, environ: Mapping[str, str]) -> list[Export]:
    """``CUDA_HOME`` and its ``bin`` for just-in-time builds, where a usable toolkit is there and not named already."""
    row = facts.one("toolkit")
    home = str(row.get("home") or "").rstrip("/")
    if not row.get("exists") or not row.get("nvcc"):
        return []
    ours, theirs = str(row.get("version") or ""), str(facts.value("torch", "cuda") or "")
    if not ours or (theirs and ours.partition(".")[0] != theirs.partition(".")[0]):
        return []  # none by its files, or one of another CUDA major than torch's: naming it would break the builds
    out = [
        Export(
            "CUDA_HOME", home, prepend=False, why="just-in-time builds (flashinfer, DeepGEMM, tvm) look for nvcc there"
        )
    ]
    if f"{home}/bin" not in environ.get("PATH", "").split(":"):
        out.append(Export("PATH", f"{home}/bin", prepend=True, why="nvcc is not on PATH"))
    return out


def _companions(facts: Facts, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Folders of libraries that DeepEP's NVSHMEM opens by name: gdrcopy, and an NVSHMEM of its own."""
    present = {str(row["name"]): row for row in facts.rows("components") if row.get("present")}
    if "deepep" not in present and "nvshmem" not in present:
        return []
    found = []
    where = str(present.get("gdrcopy", {}).get("where") or "")
    if where.endswith(".so") or ".so." in where:
        folder = where.rpartition("/")[0]
        if not _system(folder):
            found.append((folder, "NVSHMEM opens libgdrapi.so by name (gdrcopy)"))
    unresolved = {str(row["library"]) for row in facts.rows("libraries.unresolved")}
    home = environ.get("NVSHMEM_DIR") or environ.get("NVSHMEM_HOME") or ""
    if home.startswith("/") and any(name.startswith("libnvshmem") for name in unresolved):
        found.append((f"{home.rstrip('/')}/lib", "DeepEP was built against this NVSHMEM"))
    return found


def _system(folder: str) -> bool:
    return any(folder == one or folder.startswith(one + "/") for one in SYSTEM)
