"""Libraries that the loader would not find or could not map, completed with who should provide them. Pure."""

from __future__ import annotations

import re

from sgldoctor.derive import damage, lanes, needs, variant
from sgldoctor.derive.needs import Table, installed
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge import libraries as known_libraries
from sgldoctor.lazy import lazy

CUDA_VERSIONED = lazy(r"lib(?:cudart|nvrtc|nvrtc-builtins|cublas|cublasLt|nvJitLink|nvrtc|cupti)\.so\.(\d+)(?:\.\d+)*")
"""Libraries whose SONAME carries the CUDA major itself (NVIDIA's wheels of CUDA 12 and 13)."""
FOLLOWS_CUDA = lazy(r"lib(?:cufft|cufftw|cusolver|cusolverMg)\.so\.(\d+)")
"""Libraries whose number is one behind the CUDA major: libcufft.so.11 in CUDA 12, .12 in CUDA 13. Those of cuDNN, NCCL,
cuSPARSELt and NVSHMEM are their own."""


def derive(facts: Facts) -> Facts:
    """``libraries.unresolved`` and ``libraries.corrupt``, from what the probe of the loader found."""
    result = Facts()
    if not facts.known("loader.missing") and not facts.known("loader.corrupt"):
        return result
    known = needs.table(facts)
    have = installed(facts)
    if facts.known("loader.missing"):
        rows = [_unresolved(row, known, have, facts) for row in facts.rows("loader.missing")]
        result.put("libraries.unresolved", _together(rows), "derived")
    if facts.known("loader.corrupt"):
        rows = [_corrupt(row, known, have, facts) for row in facts.rows("loader.corrupt")]
        result.put("libraries.corrupt", rows, "derived")
    return result


def _unresolved(row: Row, known: Table, have: dict[str, Row], facts: Facts) -> Row:
    library = str(row["library"])
    kind = _kind(library, row, known, facts)
    asked = CUDA_VERSIONED.fullmatch(library)
    provider, state = "", "system"
    if kind in {"wheel", "hidden", "cuda-major", "torch-build"}:
        provider = _provider(library, row, known)
        state = "present" if row.get("place") else "file-gone" if provider in have else "absent"
    version = str(have[provider]["version"]) if provider in have else ""
    pin = damage.cure(provider, version, known, facts) if provider and (version or provider in known.pins) else ""
    package = known_libraries.system_package(library) if kind == "system" else {}
    return {
        "library": library,
        "needed_by": row["needed_by"],
        "owner": row["owner"],
        "provider": provider,
        "provider_state": state,
        "kind": kind,
        # A CUDA library of another major is not to be added: the part that asks for it is the wrong one. One that is
        # hidden is there.
        "pin": "" if kind in {"cuda-major", "hidden"} else pin,
        "essential": bool(row["essential"]),
        "place": row.get("place") or "",
        "instead": row.get("instead") or "",
        "instead_owner": row.get("instead_owner") or "",
        "instead_asked_by": lanes.asked_by(str(row["instead_owner"]), have, facts) if kind == "hidden" else "",
        "count": row["count"],
        "major": asked[1] if asked is not None else _other_major(library, row),
        "others": [],
        "system_package": package.get("debian", ""),
        "system_package_rpm": package.get("fedora", ""),
        "text": row["text"],
    }


def _together(rows: list[Row]) -> list[Row]:
    """One row for all the libraries of another CUDA major that one distribution asks for: it is one fault."""
    kept: list[Row] = []
    first: dict[str, Row] = {}
    for row in rows:
        held = first.get(row["owner"]) if row["kind"] == "cuda-major" else None
        if held is not None:
            held["others"].append(row["library"])
            continue
        if row["kind"] == "cuda-major":
            first[row["owner"]] = row
        kept.append(row)
    return kept


def _kind(library: str, row: Row, known: Table, facts: Facts) -> str:
    if known_libraries.of_driver(library):
        # A machine without a GPU lacks the driver too, and rightly: only where hardware is seen is that a fault.
        return "driver" if facts.value("driver", "hardware") else "no-gpu"
    family = known_libraries.family(library)
    if family == "torch" and facts.value("torch", "build") not in (None, "", "cuda"):
        return "torch-build"
    if not family and not row.get("recorded_by") and not row.get("place"):
        return "system"
    match = CUDA_VERSIONED.fullmatch(library)
    cuda = str(facts.value("torch", "cuda") or "").partition(".")[0]
    if match and cuda and match[1] != cuda:
        return "cuda-major"
    if _other_major(library, row):
        return "cuda-major"
    hiding = str(row.get("instead_owner") or "")
    return "hidden" if row.get("place") and hiding and hiding not in known.pins else "wheel"


def _other_major(library: str, row: Row) -> str:
    """The CUDA major for which an extension was built that asks for a library numbered with it; ``""`` for any other.

    What torch itself asks for is never of another major than torch's: there the wheel is absent or another release.
    """
    numbered = FOLLOWS_CUDA.fullmatch(library)
    if numbered is None or row.get("at", "").startswith("torch") or not row.get("siblings") or row.get("place"):
        return ""
    return str(int(numbered[1]) + 1)


def _provider(library: str, row: Row, known: Table) -> str:
    """The distribution that ships the library for the torch that belongs here: by RECORD, else by the pins."""
    if row.get("recorded_by"):
        return str(row["recorded_by"])
    family = known_libraries.family(library)
    suffixed = re.compile(re.escape(family) + r"(?:-cu(\d+))?")
    asked = CUDA_VERSIONED.fullmatch(library)
    for name, need in known.pins.items() if family else ():
        match = suffixed.fullmatch(name)
        if match is None:
            continue
        # Wheels of CUDA 13 carry no suffix: their version tells the major.
        major = match[1] or need.specifier.lstrip("=~<> ").partition(".")[0]
        if asked is None or not need.specifier or major == asked[1]:
            return name
    return family if family and not family.startswith("nvidia-") else ""


def _corrupt(row: Row, known: Table, have: dict[str, Row], facts: Facts) -> Row:
    owner = str(row["owner"])
    pin = damage.cure(owner, str(have[owner]["version"]), known, facts) if owner in have else ""
    # Two wheels, or two folders of one, may hold libraries of the same name: the evidence says which file it is.
    return {
        **row,
        "unused": variant.unused(str(row["file"]), facts),
        "pin": pin,
        "text": f"{row['file']}: {row['problem']}",
    }
