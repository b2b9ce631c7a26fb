"""What changes between two releases of SGLang: packages, CUDA, Python, glibc, defaults of flags. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from sgldoctor.derive.plan import lane, pinned
from sgldoctor.derive.wish import Wish
from sgldoctor.knowledge import drivers, flags, releases
from sgldoctor.knowledge.releases import Release
from sgldoctor.typed import NamedTuple


class Change(NamedTuple):
    """One thing before and after, ``""`` where it is not there; ``kind``: package, default, cuda, driver, python..."""

    kind: str
    name: str
    before: str
    after: str
    note: str = ""


def packages(old: Release, new: Release, wish: Wish) -> list[Change]:
    """Exact versions that the two pin, torch's own included, where they differ; the most important first."""
    before, after = (
        dict(pin.split("==", 1) for pin in pinned(one, wish._replace(sglang=one.version))) for one in (old, new)
    )
    out = [
        Change("package", name, before.get(name, ""), after.get(name, ""), _note(name, after))
        for name in sorted(before.keys() | after.keys(), key=lambda name: (_weight(name), name))
        if before.get(name) != after.get(name)
    ]
    was, will = releases.kernel_pin(old.version), releases.kernel_pin(new.version)
    if was and will and was[0] != will[0]:
        # Both write the module sgl_kernel, and no installer knows that they exclude each other.
        out = [one for one in out if one.name not in (was[0], will[0])]
        note = f"uninstall {was[0]} first: both write sgl_kernel"
        out.insert(0, Change("package", "kernel", "==".join(was), "==".join(will), note))
    return out


_HEAVY = ("torch", "sgl-kernel", "sglang-kernel", "flashinfer-python", "flashinfer-cubin", "transformers", "triton")


def _weight(name: str) -> int:
    return _HEAVY.index(name) if name in _HEAVY else len(_HEAVY) + (not name.startswith("nvidia-"))


def _note(name: str, after: dict[str, str]) -> str:
    if name == "flashinfer-cubin" and name not in after:
        return "uninstall it: one of another version may keep flashinfer from being imported"
    twin = re.fullmatch(r"nvidia-(cudnn|nccl|cusparselt|nvshmem)-cu(\d+)", name)
    if twin and name not in after:
        other = next((one for one in after if re.fullmatch(rf"nvidia-{twin[1]}-cu\d+", one)), "")
        return f"uninstall it before {other} is installed: both write the same files" if other else ""
    return ""


OLDER_GLIBC = "with an older one, installers silently keep an older SGLang"


def platform(old: Release, new: Release) -> list[Change]:
    """CUDA, the least driver, Python and glibc, where they differ."""
    cuda = lane(old), lane(new)
    least = drivers.minimum(cuda[0]) if cuda[0] else "", drivers.minimum(cuda[1]) if cuda[1] else ""
    out = [
        Change("cuda", "CUDA", *cuda),
        Change("driver", "least NVIDIA driver", *least),
        Change("python", "Python", old.requires_python, new.requires_python),
        Change("glibc", "glibc", _glibc(old), _glibc(new), OLDER_GLIBC if _glibc(new) else ""),
    ]
    return [change for change in out if change.before != change.after]


def _glibc(found: Release) -> str:
    match = re.match(r"manylinux_(\d+)_(\d+)", found.wheel)
    return f">={match[1]}.{match[2]}" if match else ""


def defaults(old: str, new: str, given: Collection[str]) -> list[Change]:
    """Declared defaults that differ between two releases, of flags that both have and the line does not give."""
    before = {flag.flag: flag for flag in flags.table(old).values()}
    after = {flag.flag: flag for flag in flags.table(new).values()}
    return [
        Change("default", name, _shown(before[name].default), _shown(after[name].default))
        for name in sorted(before.keys() & after.keys())
        # A switch that declares nothing is off, as one that declares False.
        if before[name].default != after[name].default
        and not (before[name].default is None and after[name].default is False)
        and name not in given
        and not after[name].deprecated
    ]


def _shown(value: object) -> str:
    return "decided at start" if value is None else str(value)


def memory(old: str, new: str, gpu_mib: float, tp: int) -> list[Change]:
    """Defaults that depend on the size of the GPU, where they differ."""
    from sgldoctor.derive.reserve import Wants, fraction, of
    from sgldoctor.derive.reserve import defaults as sized

    before, after = of(old), of(new)
    if before is None or after is None or not gpu_mib:
        return []
    names = ("--chunked-prefill-size", "largest batch in CUDA graphs", "--mem-fraction-static")
    rows = [(*sized(row, gpu_mib, tp), fraction(row, gpu_mib, Wants(tp=tp))) for row in (before, after)]
    note = f"on a GPU of {gpu_mib / 1024:.0f} GiB, tp {tp}"
    return [
        Change("default", name, f"{was:g}", f"{will:g}", note)
        for name, was, will in zip(names, *rows, strict=True)
        if was != will
    ]
