"""Proving a plan: ``uv pip compile`` over its requirements, which resolves against the index and installs nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sgldoctor.derive.plan import Plan
from sgldoctor.errors import InputError
from sgldoctor.fix.tools import find_uv
from sgldoctor.typed import NamedTuple

LIMIT = 300.0
"""Seconds that a resolution may take; a cold cache takes tens of seconds."""
SHOWN = ("sglang", "torch", "sgl-kernel", "sglang-kernel", "flashinfer-python", "transformers", "triton")


class Resolved(NamedTuple):
    """Whether the plan resolves, in words, with the versions that matter (or uv's own reason) as ``lines``."""

    ok: bool
    note: str
    packages: int
    lines: tuple[str, ...]


def _same(found: str, version: str) -> bool:
    from sgldoctor.versions import satisfies

    return satisfies(found, f"=={version}")


def resolve(plan: Plan, environ: Mapping[str, str]) -> Resolved:
    """Resolve the plan's requirements for its Python; raises InputError where there is no uv."""
    import os
    import tempfile

    from sgldoctor.probe.run import run

    uv = find_uv(environ)
    if not uv:
        raise InputError("--resolve needs uv, and it is neither on PATH nor beside sgldoctor: pip install uv")
    wish = plan.wish
    with tempfile.TemporaryDirectory(prefix="sgldoctor-") as folder:
        path = os.path.join(folder, "requirements.in")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("\n".join(plan.requirements) + "\n")
        machine = "aarch64" if wish.machine in ("aarch64", "arm64") else "x86_64"
        argv = [
            uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", wish.python,
            "--python-platform", f"{machine}-manylinux_2_34", "--only-binary", "sglang", path,
        ]  # fmt: skip
        done = run(argv, seconds=LIMIT, environ=dict(environ))
    if done.status is None:
        return Resolved(False, done.because, 0, ())
    if done.status:
        lines = tuple(line.rstrip() for line in done.stderr.splitlines() if line.strip())
        return Resolved(False, f"uv cannot resolve it for Python {wish.python}", 0, lines[:20])
    found = dict(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([\w.!+]+)", done.stdout, re.MULTILINE))
    off = [
        f"{name}=={found[name]} instead of {version}"
        for name, _, version in (pin.partition("==") for pin in plan.pins)
        if name in found and not _same(found[name], version)
    ]
    shown = tuple(f"{name}=={found[name]}" for name in SHOWN if name in found)
    if off:
        return Resolved(False, f"resolved for Python {wish.python}, but off the pins", len(found), tuple(off))
    held = sum(pin.partition("==")[0] in found for pin in plan.pins)
    note = f"{len(found)} packages for Python {wish.python}; all {held} pins that apply hold"
    return Resolved(True, note, len(found), shown)
