"""The kernel package beside what SGLang asks for, and for which torch it was built. Pure."""

from __future__ import annotations

import re

from sgldoctor.derive import needs
from sgldoctor.derive.needs import KERNELS, Need, Table
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge import releases
from sgldoctor.versions import compare, satisfies


def kernel_of(facts: Facts, known: Table, have: dict[str, Row], *, whole: bool) -> Row | None:
    """The row of ``kernel``; None where nothing can be said: none is asked for, or the list of packages is cut."""
    need = next((known.pins[name] for name in KERNELS if name in known.pins and known.pins[name].by == "sglang"), None)
    there = [name for name in KERNELS if name in have]
    if need is None and not there:
        return None
    if not there and not whole:
        return None
    name = need.name if need is not None and (need.name in there or not there) else there[0]
    version = str(have[name]["version"]) if there else ""
    wanted = need.exact if need is not None else ""
    sglang = needs.sglang_version(facts)
    if not there:
        status = "absent"
    elif len(there) > 1:
        status = "double"
    elif need is None:
        status = ""
    elif name != need.name:
        status = "renamed"
    elif satisfies(version, need.specifier):
        status = "right"
    else:
        status = direction(version, need.specifier)
    torch = needs.torch_version(facts)
    built = _built_for(name, version, have) if there else ""
    importable = facts.value("kernel.folder", "importable")
    if importable is None and there and facts.known("kernel.folder") is False and facts.source("packages") == "probe":
        importable = False
    return {
        "name": name,
        "version": version,
        "wanted_name": need.name if need is not None else "",
        "wanted": wanted,
        "minimum": releases.minimum(sglang, need.name) if need is not None else "",
        "status": status,
        "importable": importable if there else None,
        "folder": facts.known("kernel.folder"),
        "pin": need.pin if need is not None else "",
        "torch_built": built,
        "torch_installed": torch,
        "torch_fits": _minor(built) == _minor(torch) if built and torch else None,
        "text": _kernel_text(there, have, need),
    }


def _kernel_text(there: list[str], have: dict[str, Row], need: Need | None) -> str:
    found = " and ".join(f"{name} {have[name]['version']}" for name in there) or "no kernel package"
    verb = "are" if len(there) > 1 else "is"
    wanted = f", {need.by} {need.by_version} requires {need.pin}" if need is not None else ""
    return f"{found} {verb} installed{wanted}"


def _built_for(name: str, version: str, have: dict[str, Row]) -> str:
    for line in have[name].get("requires") or ():
        match = re.match(r"torch\s*\(?==\s*([\w.!]+)", line)
        if match:
            return match[1]
    return releases.kernel_torch(name, version)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def direction(version: str, specifier: str) -> str:
    """Whether a version that a specifier forbids is too old or too new for it, else ``other``."""
    bounds = re.findall(r"(==|~=|>=|<=|<|>)\s*([\w.!+]+)", specifier)
    try:
        for operator, bound in bounds:
            order = compare(version, bound.removesuffix(".*"))
            if order < 0 and operator in {"==", "~=", ">=", ">"}:
                return "older"
            if order > 0 and operator in {"==", "~=", "<=", "<"}:
                return "newer"
    except ValueError:
        return "other"
    return "newer" if "<" in {operator for operator, _ in bounds} else "other"
