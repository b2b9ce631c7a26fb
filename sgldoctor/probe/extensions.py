"""Which files of an environment are loaded, in which order, when SGLang starts: torch's own order, then the kernels."""

from __future__ import annotations

import re

from sgldoctor.probe import rooted
from sgldoctor.probe.loader import Node, Process
from sgldoctor.probe.target import Target
from sgldoctor.typed import NamedTuple

MOST = 40
"""Of a wheel with hundreds of equally built objects (flashinfer-jit-cache), this many are looked at."""

MODULE = r".+\.(?:abi3|cpython-\d+[\w-]*)\.so|.+\.so"

EXTENSIONS: tuple[tuple[str, str, int], ...] = (
    # folder or file in site-packages, files in it, how deep. Not here, on purpose: torchcodec has one build for each
    # FFmpeg and tries them in turn, torchaudio loads its library by path first, mooncake has one ep_* for each torch,
    # NIXL's plugins are optional: all of these never load completely in a sound environment.
    (r"sgl_kernel", MODULE, 2),
    (r"flashinfer", MODULE, 1),
    (r"flashinfer_jit_cache", MODULE, 4),
    (r"deep_ep|deep_ep.*\.so", MODULE, 2),
    (r"deep_gemm|deep_gemm.*\.so", MODULE, 2),
    (r"flash_mla|flash_attn(?:_\w+)?|flash_(?:mla|attn)\w*\..*so", MODULE, 2),
    (r"mooncake", r"engine\..*so", 1),
    (r"nixl(?:_cu\d+)?", r"_bindings\..*so", 2),
    (r"torchvision", MODULE, 1),
    (r"vllm", MODULE, 2),
)


BEGINNINGS = ("sgl_kernel", "flashinfer", "deep_", "flash_", "mooncake", "nixl", "torchvision", "vllm")
"""How all of these begin: site-packages has hundreds of entries, and few of them do."""


class Preload(NamedTuple):
    """A library that torch loads by itself: its folder in ``nvidia``, its pattern, whether it stops at its absence."""

    folder: str
    pattern: str
    required: bool


class Torch(NamedTuple):
    """torch after the imagined import: its site, what is visible to all that follows, and whether all of it loaded."""

    site: str
    shared: list[Node]
    own: list[Node]
    loads: bool


def site_of_torch(target: Target) -> str:
    """The site folder from which torch is imported, ``""`` if there is no torch with libraries."""
    return next((site for site in target.sites if rooted.is_folder(target.root, f"{site}/torch/lib")), "")


def extensions(target: Target) -> list[str]:
    """Native modules that stand on torch or on NVIDIA's libraries, sorted within each package."""
    found: list[str] = []
    seen: set[str] = set()
    for site in target.sites:
        entries = [entry for entry in rooted.names(target.root, site) if entry.startswith(BEGINNINGS)]
        for name, files, depth in EXTENSIONS:
            for entry in entries:
                if entry in seen or not re.fullmatch(name, entry):
                    continue
                path = f"{site}/{entry}"
                if not rooted.is_folder(target.root, path):
                    if entry.endswith(".so"):
                        found.append(path)
                    continue
                seen.add(entry)
                found.extend(_objects(target.root, path, re.compile(files), depth)[:MOST])
    return found


def _objects(root: str, folder: str, files: re.Pattern[str], depth: int) -> list[str]:
    found, folders = [], []
    for name in rooted.names(root, folder):
        if files.fullmatch(name):
            found.append(f"{folder}/{name}")
        elif depth > 1 and "." not in name:
            folders.append(f"{folder}/{name}")
    for inner in folders:
        found.extend(_objects(root, inner, files, depth - 1))
    return found


def import_torch(process: Process, target: Target, cuda: str) -> Torch:
    """``import torch``: its global dependencies, its preloads, ``torch._C``; troubles stay noted in ``process``.

    Which libraries are preloaded, when, and whether the first absent one ends it, is read from the installed
    ``torch/__init__.py``: the list grew in torch 2.10. ``cuda`` is the CUDA release that torch was built with, ``""``
    for none.
    """
    site = site_of_torch(target)
    library = f"{site}/torch/lib/libtorch_global_deps.so"
    first, then = _preloads(rooted.text(target.root, f"{site}/torch/__init__.py", 1 << 19) or "")
    shared: list[Node] = []
    if rooted.is_file(target.root, library):
        scope = process.load(library)
        if process.missing:
            # torch then loads its wheels by hand, one by one, and tries again.
            failed = process.missing
            process.forget()
            process.loaded = {name: node for name, node in process.loaded.items() if node not in scope}
            for entry in first:
                path = _candidate(target, entry, cuda)
                shared += process.load(path) if path else []
            if shared:
                process.forget()
                scope = process.load(library)
            else:
                process.missing = failed
        shared += scope
        if any(name.startswith("libcudart.so") for name in process.loaded):
            held = (process.missing, process.corrupt, process.versions)
            process.forget()
            while then:
                entry = then.pop(0)
                path = _candidate(target, entry, cuda)
                before = dict(process.loaded)
                process.forget()
                scope = process.load(path) if path else []
                if process.missing or process.corrupt or process.versions or (entry.required and not path):
                    # dlopen undoes what it has begun. torch leaves out the rest, and goes on whatever happens to these.
                    process.loaded = before
                    break
                shared += scope
            process.missing, process.corrupt, process.versions = held
    own: list[Node] = []
    for name in rooted.names(target.root, f"{site}/torch"):
        if re.fullmatch(r"_C\.[\w.-]*so", name):
            own += process.load(f"{site}/torch/{name}")
    if then and (process.missing or process.corrupt or process.versions):
        # torch does not load at all. What it left out, and would load once repaired, is no fault of an extension.
        held = (process.missing, process.corrupt, process.versions)
        for path in filter(None, (_candidate(target, entry, cuda) for entry in then)):
            process.load(path)
        process.missing, process.corrupt, process.versions = held
    return Torch(site, shared, own, not (process.missing or process.corrupt or process.versions))


def _preloads(source: str) -> tuple[list[Preload], list[Preload]]:
    """The libraries that torch loads when its own loading fails, and when it succeeds."""
    begin, end = source.find("def _preload_cuda"), source.find("class SymInt")
    source = source[max(begin, 0) : end if end > 0 else len(source)]
    named = r'"(\w{1,40})"\s*[:,]\s*"(lib[\w-]{1,40}\.so\.\*\[0-9\])"(,\s*required=False)?'
    everything = _found(re.compile(named), source)
    block = source[source.find("libcudart.so") :] if "libcudart.so" in source else ""
    block = source[source.find('"libcudart.so" not in') :] if '"libcudart.so" not in' in source else block
    block = block[: block.find("except")]
    after = _found(re.compile(r"_preload_cuda_\w+\(\s*" + named), block)
    whole = None if after else re.search(r"_preload_cuda_\w+\((required=False)?", block)
    if whole is not None:
        after = [entry._replace(required=entry.required and not whole[1]) for entry in everything]
    return everything, after


def _found(pattern: re.Pattern[str], source: str) -> list[Preload]:
    return [Preload(folder, library, not optional) for folder, library, optional in pattern.findall(source)]


def _candidate(target: Target, entry: Preload, cuda: str) -> str:
    """The first file that torch finds: in ``nvidia/FOLDER/lib``, whatever its CUDA, else in ``nvidia/cuNN/lib``."""
    name = re.compile(re.escape(entry.pattern).replace(r"\*", ".*").replace(r"\[0\-9\]", "[0-9]"))
    major = cuda.partition(".")[0]
    places = [f"nvidia/{entry.folder}/lib", *([f"nvidia/cu{major}/lib"] if major else []), f"{entry.folder}/lib"]
    for site in target.sites:
        for place in places:
            for file in rooted.names(target.root, f"{site}/{place}"):
                if name.fullmatch(file):
                    return f"{site}/{place}/{file}"
    return ""
