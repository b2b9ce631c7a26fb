"""What the dynamic loader would do when SGLang starts in the target, computed from the files alone.

Facts: the raw ``loader.missing`` and ``loader.corrupt`` (``derive`` adds who should provide what),
``libraries.shadowed``, ``libraries.versions`` and ``symbols.undefined``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping

from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge.libraries import family, of_driver
from sgldoctor.probe import record, rooted, symbols
from sgldoctor.probe.demangle import demangle
from sgldoctor.probe.elf import BadElf
from sgldoctor.probe.extensions import Torch, extensions, import_torch, site_of_torch
from sgldoctor.probe.jit import built, stale
from sgldoctor.probe.loader import UNREADABLE, Node, Process
from sgldoctor.probe.owners import Owners
from sgldoctor.probe.shadows import shadows
from sgldoctor.probe.target import Target

KERNEL = "sgl_kernel/"
NVIDIA = frozenset({"nccl", "nvshmem", "cudnn", "driver", "other"})
ALL = NVIDIA | {"torch", "system"}


class Findings:
    """Rows by what they are about, the first report of each kept and the later ones counted.

    Attributes:
        spoiled: a library of torch is not the one that was installed; what others lack in it is told by that.
    """

    def __init__(self) -> None:
        self.missing: dict[str, Row] = {}
        self.corrupt: dict[str, Row] = {}
        self.versions: dict[str, Row] = {}
        self.undefined: dict[tuple[str, str, str], Row] = {}
        self.spoiled = False


def libraries(target: Target, facts: Facts) -> Facts:
    """Simulate ``import torch`` and then each native extension by itself.

    Args:
        target: the environment; LD_LIBRARY_PATH and LD_PRELOAD are taken from its variables.
        facts: what ``packages`` found: ``torch``, ``python``, ``record.damaged``.
    """
    start = time.perf_counter()
    result = Facts()
    machine = str(facts.value("python", "machine") or "")
    if machine not in {"x86_64", "aarch64"}:
        result.put_unknown("libraries", f"no rules of the loader for {machine or 'this system'}")
        return result
    if not site_of_torch(target):
        result.put_unknown(
            "libraries", "no torch with its libraries is in site-packages, so nothing can be loaded on it"
        )
        return result
    if record.libc_of(target) == "musllinux":
        text = f"the loader of this system is {record.musl(target)}"
        result.put("libraries.musl", {"loader": record.musl(target), "text": text}, "probe")
        result.put_unknown("libraries", "this system has musl and no glibc, which all of these libraries are built on")
        return result
    if (rooted.read(target.root, f"{site_of_torch(target)}/torch/__init__.py", 1) or b"\0") == b"\0":
        result.put_unknown("libraries", "torch/__init__.py, which says what torch loads, is gone or holds nothing")
        return result
    process = Process(target.root, machine, target.environ.get("LD_LIBRARY_PATH", ""))
    owners = Owners(target)
    found = Findings()
    found.spoiled = any(row["name"] == "torch" and row["library"] for row in facts.rows("record.damaged"))
    process.start(rooted.real(target.root, target.python) if target.python else "")
    preloaded: list[Node] = []
    for path in re.split(r"[:\s]+", target.environ.get("LD_PRELOAD", "")):
        if path.startswith("/"):
            preloaded += process.load(path, "LD_PRELOAD")
    process.forget()
    torch = import_torch(process, target, str(facts.value("torch", "cuda") or ""))
    _take(process, target, owners, found, "torch")
    base = dict(process.loaded)
    # What torch opens when it is first used meets its own needs by its RPATH; nothing else can count on it.
    for name in rooted.names(target.root, f"{torch.site}/torch/lib"):
        if name.endswith(".so"):
            process.load(f"{torch.site}/torch/lib/{name}")
    _take(process, target, owners, found, "torch, later")
    _torch_symbols(process, torch, owners, found)
    opened = dict(process.loaded)
    if not torch.loads:
        base = opened  # a torch that is repaired loads more than this one does: no fault of the extensions
    middle = time.perf_counter()
    for path in extensions(target):
        process.loaded = dict(base)
        _extension(process, target, owners, found, path, [*preloaded, *torch.shared])
    result.put("jit.built", built(target), "probe")
    result.put("jit.stale", stale(process, target, base, [*preloaded, *torch.shared]), "probe")
    _damaged(process, target, facts, owners, found)
    missing = [_sited(target, owners, base, row) for row in found.missing.values() if not _unread(target, found, row)]
    if not target.live and not any(process.has(folder, "libc.so.6") for folder in process.defaults):
        # A folder with an environment and no system around it: what the system would bring cannot be judged.
        missing = [row for row in missing if _of_wheels(row)]
        result.put_unknown("libraries of the system", f"no C library under {target.root}: it holds no whole system")
    result.put("loader.missing", missing, "probe")
    result.put("loader.corrupt", list(found.corrupt.values()), "probe")
    result.put("libraries.versions", list(found.versions.values()), "probe")
    result.put("symbols.undefined", list(found.undefined.values()), "probe")
    result.put("libraries.shadowed", shadows(process, target, torch, opened), "probe")
    result.seconds["libraries"] = round(middle - start, 4)
    result.seconds["extensions"] = round(time.perf_counter() - middle, 4)
    return result


def _take(process: Process, target: Target, owners: Owners, found: Findings, at: str) -> None:
    """Note and drop the troubles of one load."""
    for library, needed_by in process.missing:
        essential = at == "torch" or KERNEL in needed_by
        row = found.missing.get(library)
        if row is None:
            row = found.missing[library] = {
                "library": library,
                "needed_by": short(target, needed_by),
                "owner": owners.of(needed_by),
                "at": at,
                "essential": essential,
                "count": 0,
            }
        elif essential and not row["essential"]:
            row.update(needed_by=short(target, needed_by), owner=owners.of(needed_by), at=at, essential=True)
        row["count"] += 1
    for path, (problem, needed_by) in process.corrupt.items():
        _corrupt(target, owners, found, path, problem, needed_by)
    for version, there, needed_by in process.versions:
        before = found.versions.get(there.path)
        if before is not None and _release(before["version"]) >= _release(version):
            continue
        found.versions[there.path] = {
            "version": version,
            "library": short(target, there.path),
            "needed_by": short(target, needed_by),
            "owner": owners.of(needed_by),
            "via": there.via,
            "text": f"{os.path.basename(needed_by)} wants {version}, which {short(target, there.path)} has not",
        }
    process.forget()


def _release(version: str) -> tuple[str, list[int]]:
    """``GLIBCXX_3.4.20`` is above ``GLIBCXX_3.4.9``: of one library the newest version that it lacks tells all."""
    name, _, numbers = version.partition("_")
    return name, [int(part) for part in numbers.split(".") if part.isdecimal()]


def _corrupt(
    target: Target, owners: Owners, found: Findings, path: str, problem: str, needed_by: str, owner: str = ""
) -> None:
    found.corrupt.setdefault(
        path,
        {
            "file": short(target, path),
            "library": os.path.basename(path),
            "problem": problem,
            "owner": owner or owners.of(path),
            "needed_by": short(target, needed_by) if needed_by else "",
            "text": f"{os.path.basename(path)}: {problem}",
        },
    )


def short(target: Target, path: str) -> str:
    """The path inside site-packages, or whole where it lies elsewhere."""
    for site in target.sites:
        if path.startswith(site + "/"):
            return path[len(site) + 1 :]
    return path


def _torch_symbols(process: Process, torch: Torch, owners: Owners, found: Findings) -> None:
    """The libraries of torch against the wheels of NVIDIA: one of another release loads, and then lacks a function."""
    nodes = {node.elf: node for node in process.loaded.values()}
    folders = (f"{torch.site}/torch/lib/", f"{torch.site}/nvidia/")  # cuSPARSE, too, stands on nvJitLink
    for node in nodes.values():
        if node.path.startswith(folders) and any(
            name.startswith(("libcu", "libnccl", "libnv")) for name in node.elf.needed
        ):
            _note(found, owners, node, symbols.undefined(node.elf, nodes.values(), NVIDIA, process.exporters), process)
            for other in nodes:
                other.release()


def _extension(
    process: Process, target: Target, owners: Owners, found: Findings, path: str, shared: list[Node]
) -> None:
    scope = process.load(path)
    absent = {library for library, _ in process.missing}
    first = [where for library in absent if not of_driver(library) and (where := owners.elsewhere(library))]
    if first:
        process.forget()
        for other in first:
            process.load(other)
        scope = process.load(path)
        absent = {library for library, _ in process.missing}
    _take(process, target, owners, found, short(target, path))
    if not scope or any(library.startswith(("libtorch", "libc10")) for library in absent):
        return
    _note(found, owners, scope[0], symbols.undefined(scope[0].elf, [*scope, *shared], ALL, process.exporters), process)


def _note(found: Findings, owners: Owners, node: Node, lacking: list[symbols.Undefined], process: Process) -> None:
    path = node.path
    for group in lacking:
        provider = _exporter(group.library, node.elf.needed, process)
        if provider is None:
            continue
        # An extension that nobody's RECORD lists was built or copied here: its own name is all there is.
        owner = owners.of(path) or os.path.basename(path).partition(".")[0]
        source = owners.of(provider.path)
        if source == "torch" and found.spoiled:
            continue
        key = (owner, group.kind, source)
        first = group.names[0].decode("ascii", "replace")
        row = found.undefined.get(key)
        if row is None:
            said = demangle(first)
            where, other = _other_form(group.names[0], group.kind, provider, process)
            has = f" ({said})" if said else ""
            if other:
                has = f": wants {said}, {where} has {other[other.find('(') :]}"
            found.undefined[key] = {
                "symbol": first,
                "demangled": said,
                "other": other,
                "needed_by": short(owners.target, path),
                "owner": owner,
                "provider": source or os.path.basename(provider.path),
                "library": os.path.basename(provider.path),
                "count": len(group.names),
                "kind": group.kind,
                "text": f"{os.path.basename(path)}: undefined symbol: {first}{has}",
            }
        else:
            row["count"] = max(row["count"], len(group.names))


def _other_form(name: bytes, kind: str, provider: Node, process: Process) -> tuple[str, str]:
    """The library that exports the same function with other arguments, and that form; empty where none does."""
    nodes = {provider.elf: provider}
    if kind == "torch":
        nodes.update(
            {node.elf: node for node in process.loaded.values() if node.name.startswith(("libc10", "libtorch"))}
        )
    for elf, node in nodes.items():
        form = symbols.other_form(name, elf)
        if form:
            return os.path.basename(node.path), form
    return "", ""


def _exporter(stem: str, needed: tuple[str, ...], process: Process) -> Node | None:
    """The loaded library that should export a symbol; None where it is missing itself, which is reported as such."""
    asked = [name for name in needed if name.startswith(stem + ".so")]
    for name in asked:
        return process.loaded.get(name)
    return next((node for name, node in process.loaded.items() if name.startswith(stem + ".so")), None)


def _damaged(process: Process, target: Target, facts: Facts, owners: Owners, found: Findings) -> None:
    """Files whose size is not that of RECORD and that nothing names (cuDNN opens its parts by itself)."""
    for row in facts.rows("record.damaged"):
        for file in row["files"] if row["library"] else ():
            if ".so" not in file:
                continue
            path = next(
                (f"{site}/{file}" for site in target.sites if rooted.is_file(target.root, f"{site}/{file}")), ""
            )
            elf = process.elf(path) if path else None
            if isinstance(elf, BadElf):
                _corrupt(target, owners, found, path, str(elf), "", row["name"])


def _sited(target: Target, owners: Owners, base: Mapping[str, Node], row: Row) -> Row:
    """A missing library with where the wheels hold it, other releases of it, and who once installed it.

    torch loads one file for each name that it looks for, the first: a wheel that is left over from another CUDA hides
    the right one in that way. ``base`` is what ``import torch`` has loaded.
    """
    library = row["library"]
    stem = library.partition(".so")[0]
    places: list[str] = []
    siblings: set[str] = set()
    for folder in wheel_folders(target):
        for name in rooted.names(target.root, folder):
            if name == library:
                places.append(f"{folder}/{name}")
            elif name.startswith(stem + ".so.") and re.fullmatch(r"\d+", name[len(stem) + 4 :]):
                siblings.add(name)
    instead = [node.path for name, node in base.items() if name.startswith(stem + ".so.") and places]
    return {
        **row,
        "place": short(target, places[0]) if places else "",
        "instead": short(target, instead[0]) if instead else "",
        "instead_owner": owners.of(instead[0]) if instead else "",
        "siblings": sorted(siblings),
        "recorded_by": owners.recording(library),
        "text": f"{library}: cannot open shared object file (needed by {row['needed_by']})",
    }


def _unread(target: Target, found: Findings, row: Row) -> bool:
    """Whether a library may be there all the same: it, or a folder that may hold it, could not be read."""
    library = row["library"]
    if any(one["library"] == library and one["problem"].startswith(UNREADABLE) for one in found.corrupt.values()):
        return True
    within = tuple(f"{site}/{part}" for site in target.sites for part in ("torch/lib", "nvidia"))
    return any(
        path.endswith(f"/{library}") or (path.startswith(within) and ".so" not in os.path.basename(path))
        for path in rooted.UNREAD
    )


def _of_wheels(row: Row) -> bool:
    """Whether a missing library is one that wheels or the driver bring."""
    library = row["library"]
    return bool(family(library) or of_driver(library) or row["place"] or row["recorded_by"])


def wheel_folders(target: Target) -> list[str]:
    """The library folders of torch and of NVIDIA's wheels."""
    folders = []
    for site in target.sites:
        folders.append(f"{site}/torch/lib")
        folders += [f"{site}/nvidia/{name}/lib" for name in rooted.names(target.root, f"{site}/nvidia")]
    return [folder for folder in folders if rooted.is_folder(target.root, folder)]
