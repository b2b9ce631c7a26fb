"""What is known of each SGLang release: its pins, its kernel, its own version checks.

Everything is read from ``data/sglang-releases.json`` (METADATA and source of the published wheels) and
``data/docker-pins.json`` (what SGLang's own images install on top), when first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from sgldoctor.lazy import lazy
from sgldoctor.typed import Any, NamedTuple
from sgldoctor.versions import compare, valid

SEPARATORS = lazy(r"[-_.]+")
EXTRA = lazy(r"""extra\s*==\s*["']([^"']+)["']""")
ASKED_BY_EXTRA = lazy(r"""\s*(?:and\s+)?extra\s*==\s*["'][^"']+["']""")


class Check(NamedTuple):
    """A version test in SGLang's source: it ``raises`` below ``minimum``, or only ``tests`` (another code path)."""

    package: str
    minimum: str
    effect: str
    where: str


class Release(NamedTuple):
    """One release: ``pins`` are requirement strings of the plain install, ``extras`` those of each extra."""

    version: str
    built: str
    requires_python: str
    wheel: str
    kernel: str
    pins: tuple[str, ...]
    extras: dict[str, tuple[str, ...]]
    checks: tuple[Check, ...]


@lru_cache(maxsize=8)
def load(name: str) -> dict[str, Any]:
    """One JSON file of the data folder, read once."""
    from sgldoctor.knowledge.files import read_json

    data: dict[str, Any] = read_json(name)
    return data


@lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    """The name as PEP 503 compares it."""
    return SEPARATORS.sub("-", name).lower()


def within(version: str, since: str = "", until: str = "") -> bool:
    """Whether ``since <= version <= until``; an empty bound is open; False where ``version`` is no version."""
    try:
        return (not since or compare(version, since) >= 0) and (not until or compare(version, until) <= 0)
    except ValueError:
        return False


@lru_cache(maxsize=1)
def versions() -> tuple[str, ...]:
    """All known releases, oldest first."""
    return tuple(load("sglang-releases.json")["releases"])


def newest() -> str:
    """The newest release that is known."""
    return versions()[-1]


def known(version: str) -> bool:
    """Whether this very release is known, local label apart."""
    return bool(version) and version.partition("+")[0] in load("sglang-releases.json")["releases"]


def newer(version: str) -> bool:
    """Whether a version came out after all releases that are known."""
    return valid(version) and not known(version) and compare(version, newest()) > 0


@lru_cache(maxsize=64)
def release(version: str) -> Release | None:
    """What is known of a release; None where it is not known."""
    version = version.partition("+")[0]
    data = load("sglang-releases.json")["releases"].get(version)
    if data is None:
        return None
    return Release(
        version,
        data["built"],
        data["requires_python"],
        str(data["wheel"]),
        data["kernel"],
        tuple(_requirement(name, text) for name, text in data["pins"].items()),
        {extra: tuple(lines) for extra, lines in data["extras"].items()},
        tuple(
            Check(normalise(check["package"]), check["minimum"], check["effect"], check["where"])
            for check in data["version_checks"]
        ),
    )


def server(found: Release) -> str:
    """The requirement that installs a release as a server: before 0.5.3 that was an extra."""
    extra = (
        "" if any(line.startswith("torch==") for line in found.pins) else "[all]" if "all" in found.extras else "[srt]"
    )
    return f"sglang{extra}=={found.version}"


def of_metadata(version: str, requires_python: str, requires: Sequence[str]) -> Release:
    """A release as its own METADATA tells it, for one that is not known: no build day, tag or version checks."""
    pins: list[str] = []
    extras: dict[str, list[str]] = {}
    for line in requires:
        text, _, marker = line.partition(";")
        text = text.strip()
        extra = EXTRA.search(marker)
        left = ASKED_BY_EXTRA.sub("", marker).strip()
        match = re.match(r"([\w.-]+)(.*)", text, re.DOTALL)
        if match:
            text = normalise(match[1]) + re.sub(r"[\s()]", "", match[2])
        (extras.setdefault(extra[1], []) if extra else pins).append(text + (f"; {left}" if left else ""))
    kernel = next((text for text in pins if re.match(r"(?:sglang|sgl)-kernel==", text)), "")
    return Release(
        version, "", requires_python, "", kernel, tuple(pins), {name: tuple(rows) for name, rows in extras.items()}, ()
    )


def _requirement(name: str, text: str) -> str:
    """A requirement from the data's ``==0.7.2 [cu13] ; marker``."""
    head, _, marker = text.partition(";")
    match = re.fullmatch(r"\s*(.*?)\s*(\[[^\]]*\])?\s*", head)
    specifier, extras = (match[1], match[2] or "") if match else (head.strip(), "")
    return f"{name}{extras}{specifier}" + (f"; {marker.strip()}" if marker else "")


def minimum(version: str, package: str) -> str:
    """The lowest version of ``package`` with which this release starts, ``""`` where it does not test that."""
    found = release(version)
    for check in found.checks if found else ():
        if check.package == normalise(package) and check.effect == "raises":
            return check.minimum
    return ""


def kernel_pin(version: str) -> tuple[str, str] | None:
    """Name and version of the kernel wheel that a release pins."""
    found = release(version)
    name, _, pinned = found.kernel.partition("==") if found else ("", "", "")
    return (name, pinned) if pinned else None


def kernel_torch(name: str, version: str) -> str:
    """The torch for which a kernel wheel was built; ``""`` where that is not known.

    From its own requirement, else from the README in its METADATA, else from the SGLang release that pins both.
    """
    pinned = f"{normalise(name)}=={version.partition('+')[0]}"
    data = load("sglang-releases.json")["kernels"].get(pinned)
    for line in [*(data["requires_dist"] if data else ()), f"torch{data['readme_torch'] or ''}" if data else ""]:
        match = re.match(r"torch\s*\(?==\s*([\w.!]+)", line)
        if match:
            return match[1]
    for candidate in versions():
        found = release(candidate)
        if found is not None and found.kernel == pinned:
            return _pinned(found, "torch")
    return ""


def torch_pin(version: str) -> str:
    """The torch that a release pins; ``""`` where that is not known."""
    found = release(version)
    return _pinned(found, "torch") if found is not None else ""


@lru_cache(maxsize=1)
def torch_pins() -> frozenset[str]:
    """Every torch that some release pins."""
    return frozenset(torch_pin(version) for version in versions())


def _pinned(found: Release, name: str) -> str:
    for line in [*found.pins, *found.extras.get("srt", ())]:
        match = re.fullmatch(rf"{name}(?:\[[^\]]*\])?==([\w.!+]+)(?:;.*)?", line)
        if match:
            return match[1]
    return ""


def companion(name: str, version: str) -> tuple[str, ...] | None:
    """Requirement strings of torch, flashinfer-python or an sgl-deep-* at a version; None where not known."""
    data = load("sglang-releases.json")["companions"].get(f"{normalise(name)}=={version.partition('+')[0]}")
    return None if data is None else tuple(data["requires_dist"])


def image_pins(name: str) -> tuple[tuple[str, str], ...]:
    """``(era, version)`` pairs of a distribution that SGLang's own images install over what torch asks for."""
    found = []
    for shot in load("docker-pins.json")["snapshots"]:
        # Notes stand beside some versions: "13.1.1 (CUDA 13)"; others are only notes: "unpinned, --no-deps".
        found += [(shot["era"], version) for version in re.findall(r"\b\d+(?:\.\w+)+", shot["pins"].get(name, ""))]
    return tuple(found)
