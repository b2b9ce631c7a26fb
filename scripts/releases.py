"""Makes ``sgldoctor/knowledge/data/sglang-releases.json``: what each release of SGLang requires, pins and checks.

    python scripts/releases.py WHEELS [--offline]          a folder with sglang-*.whl of every release to be known

For every release: the Python that its wheel asks for, its tag and build day, every Requires-Dist line (plain and by
extra) and the version checks (``assert_pkg_version``, ``check_pkg_version_at_least``) in its sources. Besides, what the
METADATA of the kernel wheels and of the pinned ``COMPANIONS`` says, from the package index; a published wheel never
changes, so what is known of one is taken over. With ``--offline`` those that are not known yet are left out and named.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from wheels import DATA, Wheel, metadata_of, opened, published, write_json

# The requirements whose version matters to a diagnosis (canonical names).
WATCHED = re.compile(
    r"^(torch.*|triton|sgl-.*|sglang-.*|flashinfer.*|flash-attn.*|flash-linear.*|transformers|tokenizers|xgrammar|"
    r"grpcio.*|timm|outlines|llguidance|nvidia-.*|nvshmem.*|cuda-python|cuda-.*|mooncake.*|nixl.*|quack.*|"
    r"apache-tvm-ffi|tilelang|numpy|numba|openai.*|compressed-tensors|decord.*|av|kernels|humming.*|"
    r"smg-.*|cutlass.*|helion|vllm|uvloop|pyzmq|pydantic|setuptools|hf-.*|huggingface.*|modelscope|py-spy)$"
)
# Pinned packages whose own requirements are recorded: they decide which NVIDIA libraries pip installs.
COMPANIONS = ("torch", "flashinfer-python", "sgl-deep-ep", "sgl-deep-gemm", "sgl-flash-mla")
TOOLKIT = re.compile(r"cuda-toolkit\[([^\]]*)\]==([\w.]+)")
OUT = "sglang-releases.json"
VERSION_CHECKS = {"assert_pkg_version": "raises", "check_pkg_version_at_least": "tests"}


def requirements(wheel: Wheel) -> tuple[dict[str, str], dict[str, list[str]]]:
    """(watched pins without an extra, {extra: all its requirement strings})."""
    base: dict[str, str] = {}
    extras: dict[str, list[str]] = {e: [] for e in wheel.metadata.get_all("Provides-Extra") or []}
    for line in wheel.metadata.get_all("Requires-Dist") or []:
        req = Requirement(line)
        extra = re.search(r'extra == ["\']([^"\']+)["\']', str(req.marker or ""))
        name = canonicalize_name(req.name)
        text = name + (f"[{','.join(sorted(req.extras))}]" if req.extras else "") + str(req.specifier)
        marker = re.sub(r'\s*(and\s+)?extra == ["\'][^"\']+["\']', "", str(req.marker or "")).strip()
        if extra:
            extras.setdefault(extra[1], []).append(text + (f" ; {marker}" if marker else ""))
        elif WATCHED.match(name):
            pin = str(req.specifier) + (f" [{','.join(sorted(req.extras))}]" if req.extras else "")
            if marker:
                pin += f" ; {marker}"
            base[name] = f"{base[name]} | {pin}" if name in base else pin
    return dict(sorted(base.items())), extras


def literal(node: ast.expr) -> str | None:
    """A text that stands there as it is."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        return None
    return value if isinstance(value, str) else None


def version_checks(wheel: Wheel) -> list[dict[str, Any]]:
    """Every package version check with literal arguments in the release's source."""
    found = []
    for name in wheel.modules("sglang/srt/"):
        if not any(check in (text := wheel.text(name)) for check in VERSION_CHECKS):
            continue
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        for func in ast.walk(tree):
            if not isinstance(func, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
                continue
            for call in calls_directly_in(func):
                called = getattr(call.func, "id", getattr(call.func, "attr", ""))
                args = [literal(a) for a in call.args]
                if called in VERSION_CHECKS and len(args) >= 2 and args[0] and args[1]:
                    found.append(
                        {
                            "package": args[0],
                            "minimum": args[1],
                            "effect": VERSION_CHECKS[called],
                            "where": f"{name}:{getattr(func, 'name', '<module>')}",
                            "message": args[2] if len(args) > 2 else None,
                        }
                    )
    return found


def calls_directly_in(func: ast.AST) -> Iterator[ast.Call]:
    """Calls in a function body, leaving out nested functions (they are visited on their own)."""
    stack = list(ast.iter_child_nodes(func))
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Call):
            yield node
        stack.extend(ast.iter_child_nodes(node))


def kernel_pin(pins: dict[str, str], extras: dict[str, list[str]]) -> tuple[str, str] | None:
    """The pinned kernel wheel as (package, version), wherever the release states it."""
    for source in (
        pins,
        *({r.split("==")[0]: "==" + r.split("==")[1] for r in rs if "==" in r} for rs in extras.values()),
    ):
        for package in ("sglang-kernel", "sgl-kernel"):
            pin = re.match(r"==([\w.]+)", source.get(package, ""))
            if pin:
                return package, pin[1]
    return None


def kernels(known: dict[str, Any], *, offline: bool) -> dict[str, Any]:
    """What the METADATA of each published kernel wheel says of the torch that it was built for."""
    if offline:
        return known
    out = {}
    for package, since in (("sgl-kernel", "0.1.4"), ("sglang-kernel", "0.4.0")):
        for version in published(package):
            if version < Version(since) or version.is_prerelease:
                continue
            key = f"{package}=={version}"
            item = None if key in known else metadata_of(package, str(version))
            if item:
                meta = item["metadata"]
                torch = re.search(r"Requires torch\s*(==|>=)\s*([\d.]+)", meta.get("description", ""))
                out[key] = {
                    "file": item["file"],
                    "requires_python": meta.get("requires_python"),
                    "requires_dist": meta.get("requires_dist", []),
                    "readme_torch": "".join(torch.groups()) if torch else None,
                }
            elif key in known:
                out[key] = known[key]
    return out


def companions(releases: dict[str, Any], known: dict[str, Any], *, offline: bool) -> dict[str, Any]:
    """The requirements of the COMPANIONS at every version that a release pins, and of the toolkits that torch pins."""
    pinned = set()
    for release in releases.values():
        lines = [f"{name}{pin}" for name, pin in release["pins"].items()]
        for line in [*lines, *(one for extra in release["extras"].values() for one in extra)]:
            match = re.match(r"([\w-]+)==([\w.]+)", line)
            if match and match[1] in COMPANIONS:
                pinned.add(match[0])
    out = {}
    toolkits: dict[str, set[str]] = {}
    for key in sorted(pinned):
        entry = _companion(key, known, offline=offline)
        if entry:
            out[key] = entry
            for match in filter(None, map(TOOLKIT.match, entry["requires_dist"])):
                toolkits.setdefault(f"cuda-toolkit=={match[2]}", set()).update(match[1].split(","))
    for key, extras in toolkits.items():
        entry = _companion(key, known, offline=offline, extras=extras)
        if entry:
            out[key] = entry
    return dict(sorted(out.items()))


def _companion(
    key: str, known: dict[str, Any], *, offline: bool, extras: AbstractSet[str] = frozenset()
) -> dict[str, Any] | None:
    """What a distribution requires: without extras, or of these extras alone (a toolkit has a hundred lines)."""
    if key in known:
        return known[key]
    item = None if offline else metadata_of(*key.split("=="))
    if not item:
        print(f"{key}: its METADATA is not known" + (" and not asked for" if offline else ""), file=sys.stderr)
        return None
    lines = item["metadata"].get("requires_dist", [])
    named = {line: re.search(r"extra == ['\"]([^'\"]*)", line) for line in lines}
    return {
        "file": item["file"],
        "requires_dist": [line for line, extra in named.items() if (extra[1] in extras if extra else not extras)],
    }


def main() -> None:
    """Read every release and write the file."""
    offline = "--offline" in sys.argv
    known = json.loads((DATA / OUT).read_text(encoding="utf-8")) if (DATA / OUT).exists() else {}
    releases = {}
    for wheel in opened(Path(sys.argv[1])):
        pins, extras = requirements(wheel)
        kernel = kernel_pin(pins, extras)
        releases[wheel.version] = {
            "built": wheel.built,
            "requires_python": wheel.metadata["Requires-Python"],
            "wheel": "pure" if wheel.tag == "py3-none-any" else wheel.tag.split("-", 2)[2],
            "kernel": f"{kernel[0]}=={kernel[1]}" if kernel else None,
            "pins": pins,
            "extras": extras,
            "version_checks": version_checks(wheel),
        }
    write_json(
        OUT,
        {
            "source": "METADATA and Python source of each wheel of `sglang` on PyPI; kernel wheels by METADATA only",
            "releases": releases,
            "kernels": kernels(known.get("kernels", {}), offline=offline),
            "companions": companions(releases, known.get("companions", {}), offline=offline),
        },
    )


if __name__ == "__main__":
    main()
