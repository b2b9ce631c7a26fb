"""What is installed against what SGLang, torch and the kernel ask for. Pure: facts in, facts out."""

from __future__ import annotations

import re

from sgldoctor.derive import damage, lanes, needs, variant
from sgldoctor.derive.kernel import direction, kernel_of
from sgldoctor.derive.needs import KERNELS, Need, Table, installed, look_up, pin
from sgldoctor.derive.requirement import read as read_line
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge import libraries as known_libraries
from sgldoctor.knowledge import releases
from sgldoctor.lazy import lazy
from sgldoctor.versions import satisfies

__all__ = ["derive", "pin"]

COMPLETE = 0.8
"""A pasted list that holds this share of what SGLang needs is a whole ``pip list``: what it lacks is missing."""


NO_LIBRARY = lazy(r"nvidia-(?:ml-py|cutlass-dsl|cudnn-frontend|mathdx)")
"""What NVIDIA publishes for Python or for compilers, and torch does not link to."""
REFUSES = {"transformers": "", "pydantic": "pydantic-core"}
"""Who compares versions when it is imported and raises, and of what (``""``: of all that it requires)."""
MODULES = {"pillow": "PIL", "pyzmq": "zmq", "pyyaml": "yaml", "opencv-python-headless": "cv2", "nvidia-ml-py": "pynvml"}
"""Import names that do not follow from the distribution's name."""


def derive(facts: Facts) -> Facts:
    """``sglang``, ``kernel``, ``flashinfer``, the ``packages.*`` that judge, and damage with the pins that cure it."""
    result = Facts()
    if not facts.known("packages") and not needs.sglang_version(facts):
        return result
    known = needs.table(facts)
    have = installed(facts)
    if not facts.known("sglang") and "sglang" in have:
        result.put("sglang", _sglang(have["sglang"]), "derived")
    elif not facts.known("sglang") and facts.known("sglang.source"):
        result.put("sglang", _source(facts.one("sglang.source")), "derived")
    _say_if_newer(facts, result)
    whole = _whole(facts, known, have)
    kernel = kernel_of(facts, known, have, whole=whole)
    if kernel is not None:
        result.put("kernel", kernel, "derived")
    if facts.known("kernel.variants") and facts.known("gpus"):
        result.put("kernel.unloadable", variant.unloadable(facts, kernel or {}), "derived")
    result.put("flashinfer", _flashinfer(facts, known, have), "derived")
    if whole:
        broken = {str(row["name"]) for row in facts.rows("packages.leftovers") if "/~" not in str(row["path"])}
        result.put("packages.missing", _missing(known, have, broken), "derived")
    if have:
        # NCCL and cuDNN have rules of their own, with more to say.
        undefined = [row for row in facts.rows("symbols.undefined") if row.get("kind") in ("other", "nvshmem")]
        lacking = {str(row["provider"]): str(row["symbol"]) for row in undefined}
        unpinned = [{**row, "lacks": lacking.get(row["name"], "")} for row in _unpinned(known, have)]
        result.put("packages.unpinned", unpinned, "derived")
        result.put("packages.mixed_cuda", lanes.mixed(known, have, facts), "derived")
        result.put("packages.other_cuda", lanes.other_cuda(have), "derived")
    if whole and have:
        _transitive(facts, known, have, result)
    damage.derive(facts, known, result)
    return result


def _sglang(row: Row) -> Row:
    return {
        "version": row["version"],
        "location": row.get("location") or "",
        "editable": bool(row.get("editable")),
        "known": releases.known(str(row["version"])),
        "inferred": "",
    }


def _source(row: Row) -> Row:
    """SGLang that runs from bare sources, or whose metadata cannot be read."""
    version = str(row["version"])
    return {
        "version": version,
        "location": row["path"],
        "editable": True,
        "known": releases.known(version),
        "inferred": "from its version file: no metadata" if version else "no metadata and no version file",
    }


def _say_if_newer(facts: Facts, result: Facts) -> None:
    """Say what a release is judged by that came out after all that are known."""
    installed_here = str(result.value("sglang", "version") or "")
    version = installed_here or str(facts.value("sglang", "version") or "")
    if not releases.newer(version) or (not installed_here and facts.known("launch.argument")):
        return  # for a launch line alone, its derivation says so
    how = (
        f"packages are judged by its own METADATA, options and variables by {releases.newest()}"
        if installed_here and facts.source("packages") != "log"
        else f"messages, options and variables are judged by {releases.newest()}"
    )
    result.put_unknown(
        "knowledge",
        f"SGLang {version} is newer than all releases known here (up to {releases.newest()}): {how}; a newer "
        "sgldoctor may know it",
    )


def _whole(facts: Facts, known: Table, have: dict[str, Row]) -> bool:
    """Whether the list of packages is complete, so that an absent one is missing rather than not mentioned."""
    if not have or "sglang" not in known.needs:
        return bool(have) and facts.source("packages") != "log"
    if any("location" in row for row in have.values()):
        return True
    wanted = {need.name for need in known.needs["sglang"]}
    return len(wanted & have.keys()) >= COMPLETE * len(wanted)


def _flashinfer(facts: Facts, known: Table, have: dict[str, Row]) -> list[Row]:
    """FlashInfer's Python part beside its wheels of prebuilt code, which must be of the same version."""
    if "flashinfer-python" not in have:
        return []
    version = str(have["flashinfer-python"]["version"])
    raises = facts.value("flashinfer.check", "raises")
    if raises is None:
        raises = not releases.within(version, since=known_libraries.flashinfer_warns_since())
    need = known.pins.get("flashinfer-python")
    rows = []
    for other in ("flashinfer-cubin", "flashinfer-jit-cache"):
        if other not in have:
            continue
        second = str(have[other]["version"])
        pinned = known.pins.get(other)
        same = version.partition("+")[0] == second.partition("+")[0]
        if need is not None and not satisfies(version, need.specifier):
            cure = need.pin
        else:
            cure = look_up(other, known, facts) or ""
        rows.append(
            {
                "python": version,
                "other": other,
                "version": second,
                "status": "right" if same else "differs",
                "wanted": need.exact if need is not None else "",
                "other_wanted": pinned.exact if pinned is not None else "",
                "raises": raises,
                "pin": "" if same else cure,
                "text": f"flashinfer-python {version}, {other} {second}",
            }
        )
    return rows


def _missing(known: Table, have: dict[str, Row], broken: set[str]) -> list[Row]:
    """What is required and not there; what is there with ``broken`` metadata is another fault."""
    rows: dict[str, Row] = {}
    for owner, wants in known.needs.items():
        if owner == "torch" and (known.torch_off or "torch" not in have):
            # What another torch would bring comes with that torch.
            continue
        for need in wants:
            if need.name in have or need.name in rows or need.name in broken:
                continue
            if need.name in KERNELS and any(name in have for name in KERNELS):
                continue
            rows[need.name] = _absent(need, known.pins[need.name].pin)
    return list(rows.values())


def _transitive(facts: Facts, known: Table, have: dict[str, Row], result: Facts) -> None:
    """Add what ordinary packages lack of each other and nobody above has named."""
    from sgldoctor.derive.transitive import behind, lacks

    broken = {str(row["name"]) for row in facts.rows("packages.leftovers")}
    told = {str(row["name"]) for row in (*result.rows("packages.missing"), *result.rows("packages.unpinned"))}
    missing, unpinned = [], []
    refused: set[tuple[str, str]] = set()
    found = lacks(facts, known, have)
    # One package that asks for a later major may be overcautious (opencv for numpy 2); several that do will not work.
    late = [lack[0] for lack in found if lack[0] in have and behind(str(have[lack[0]]["version"]), lack[1])]
    for lack in found:
        name, specifier, by, version = lack
        # Whoever compares versions when it is imported ends the server; that SGLang pins the same is the lesser news.
        ends = name in have and REFUSES.get(by) in ("", name) and (name, by) not in refused
        refused.add((name, by))
        if (name in told and not ends) or name in broken or by in told:
            # What a package that is itself off its pin asks for is no fault of the others.
            continue
        told.add(name)
        need = Need(name, specifier.replace(" ", ""), (), by, version)
        if name in have:
            held = known.pins.get(name)
            row = _row(held if held is not None and held.exact else need, str(have[name]["version"]), have)
            unpinned.append(
                {
                    **row,
                    "wanted": need.specifier,
                    "wanted_by": by,
                    "wanted_by_version": version,
                    "behind": late.count(name) > 1,
                    "refuses": ends,
                    "text": _lacking(need, have),
                }
            )
        else:
            missing.append(_absent(need, known.pins.get(name, need).pin))
    result.put("packages.missing", missing, "derived")
    result.put("packages.unpinned", unpinned, "derived")


def _lacking(need: Need, have: dict[str, Row]) -> str:
    return (
        f"{need.name} {have[need.name]['version']} is installed, {need.by} {need.by_version} requires {need.specifier}"
    )


def _absent(need: Need, pin: str) -> Row:
    return {
        "name": need.name,
        "module": MODULES.get(need.name, need.name.replace("-", "_")),
        "wanted": need.specifier,
        "wanted_by": need.by,
        "wanted_by_version": need.by_version,
        "group": _group(need.name),
        "pin": pin,
        "text": f"{need.by} {need.by_version} requires {pin}, which is not installed",
    }


def _group(name: str) -> str:
    if name in KERNELS:
        return "kernel"
    if name.startswith("flashinfer"):
        return "flashinfer"
    if re.fullmatch(r"torch|torchvision|torchaudio|torchcodec|triton|pytorch-triton.*", name):
        return "torch"
    if re.fullmatch(r"(?:nvidia|cuda|nvshmem4py)-.*", name) and not NO_LIBRARY.match(name):
        return "nvidia"
    return "python"


def _unpinned(known: Table, have: dict[str, Row]) -> list[Row]:
    """Installed versions that the strongest requirement forbids; and owners that do not fit what is rightly there."""
    broken: dict[str, list[Need]] = {}
    for wants in known.needs.values():
        for need in wants:
            row = have.get(need.name)
            if row is None or not need.specifier or satisfies(str(row["version"]), need.specifier):
                continue
            spare = known.torch_spare.get(need.name)
            if need.by == "torch" and spare is not None and satisfies(str(row["version"]), spare.specifier):
                continue
            broken.setdefault(need.name, []).append(need)
    rows: dict[str, Row] = {}
    misfits: dict[str, Need] = {}
    for name, wants in broken.items():
        strongest = known.pins[name]
        if strongest in wants:
            rows[name] = _row(strongest, str(have[name]["version"]), have)
            continue
        for need in wants:
            # The package is as its strongest owner wants it: then the weaker owner is the one that does not fit,
            # unless somebody stronger pins that very release of it.
            pinned = known.pins.get(need.by)
            if need.by in have and (pinned is None or not pinned.exact):
                misfits.setdefault(need.by, need)
    for name, need in misfits.items():
        if name not in rows:
            rows[name] = _misfit(need, str(have[name]["version"]), str(have[need.name]["version"]))
    return list(rows.values())


def _row(need: Need, version: str, have: dict[str, Row]) -> Row:
    tolerated, reason = _tolerated(need, version)
    return {
        "name": need.name,
        "installed": version,
        "wanted": need.specifier,
        "wanted_by": need.by,
        "wanted_by_version": need.by_version,
        "direction": direction(version, need.specifier),
        "group": _group(need.name),
        "pin": need.pin,
        "mover": _mover(need, version, have),
        "behind": False,
        "refuses": REFUSES.get(need.by) in ("", need.name),
        "tolerated": tolerated,
        "reason": reason,
        "text": f"{need.name} {version} is installed, {need.by} {need.by_version} requires {need.specifier}",
    }


def _misfit(need: Need, version: str, other: str) -> Row:
    return {
        "name": need.by,
        "installed": version,
        "wanted": f"a release for {need.name} {other}",
        "wanted_by": need.name,
        "wanted_by_version": other,
        "direction": "other",
        "group": _group(need.by),
        "pin": need.by,
        "mover": "",
        "behind": False,
        "refuses": False,
        "tolerated": False,
        "reason": "",
        "text": f"{need.by} {version} requires {need.pin}, {need.name} {other} is installed",
    }


def _mover(need: Need, version: str, have: dict[str, Row]) -> str:
    """The installed distribution that accepts the version that is there and would not accept the one that is wanted."""
    wanted = re.findall(r"(?:==|~=|[<>]=)\s*([\w.!+]+)", need.specifier)
    named = re.compile("[-_.]+".join(map(re.escape, need.name.split("-"))) + r"\s*(?:\[|\(|[=<>!~])", re.IGNORECASE)
    for other, row in have.items():
        for line in row.get("requires") or ():
            requirement = read_line(line) if named.match(line) and other != need.by else None
            if requirement is None or "extra" in requirement.marker:
                continue
            specifier = requirement.specifier
            if satisfies(version, specifier) and wanted and not any(satisfies(one, specifier) for one in wanted):
                return other
    return ""


def _tolerated(need: Need, version: str) -> tuple[bool, str]:
    """Whether an NVIDIA wheel newer than its pin is what SGLang's own images install, and which images.

    Images of the releases around torch 2.9.1 put a newer cuDNN and NCCL over torch's pins on purpose. What they install
    is tolerated, and so is any other release of the same major version beyond the pin.
    """
    if _group(need.name) != "nvidia" or direction(version, need.specifier) != "newer":
        return False, ""
    pinned = re.findall(r"[\d.]+\d", need.specifier)
    eras = [
        f"{image} in the image of {era}"
        for era, image in releases.image_pins(need.name)
        if direction(image, need.specifier) == "newer"
        and (image == version or (pinned and version.partition(".")[0] == pinned[0].partition(".")[0]))
    ]
    reason = f"SGLang's own images install {need.name} over the pin of {need.by}: {', '.join(eras)}"
    return bool(eras), reason if eras else ""
