"""Which folder a module comes from where that is not its distribution: PYTHONPATH comes first; bare sources."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from sgldoctor.facts import Facts, Row
from sgldoctor.lazy import lazy
from sgldoctor.probe import rooted
from sgldoctor.probe.target import Target

VERSION = lazy(r"^__version__\b[^\n=]*=[^\n]*?['\"](\d[\w.!+-]{0,60})['\"]", re.MULTILINE)
FIRST = ("torch", "sgl_kernel", "flashinfer", "transformers", "numpy", "triton", "tokenizers", "zmq", "fastapi",
         "uvicorn", "pydantic", "huggingface_hub", "safetensors", "xgrammar", "outlines", "deep_ep", "deep_gemm",
         "torchvision", "torchaudio", "nvidia", "vllm", "mooncake", "nixl", "PIL", "requests", "aiohttp")  # fmt: skip
"""Modules that SGLang imports; a folder of one of these names that comes first breaks it."""
STANDARD = tuple(
    """
    argparse array ast asyncio base64 bdb binascii bisect bz2 cProfile calendar cmath cmd code codeop collections
    colorsys concurrent configparser contextlib contextvars copy copyreg csv ctypes dataclasses datetime decimal
    difflib dis email enum fcntl filecmp fileinput fnmatch fractions functools getopt getpass gettext glob grp gzip
    hashlib heapq hmac html http inspect ipaddress json keyword linecache locale logging lzma math mimetypes mmap
    modulefinder multiprocessing netrc numbers opcode operator pathlib pdb pickle pickletools pkgutil platform
    pprint profile pstats pydoc pyexpat queue quopri random re reprlib resource secrets select selectors shlex
    shutil signal socket socketserver ssl statistics string stringprep struct subprocess sysconfig tarfile tempfile
    termios textwrap threading timeit token tokenize traceback types typing unicodedata unittest urllib uuid
    warnings weakref xml zipfile zlib zoneinfo
    """.split()
)
"""What of the standard library is imported on the way to a running server (SGLang 0.5.8, Python 3.11), without what
Python has inside or has imported before it looks at any folder."""


def modules(target: Target, found: list[Row]) -> Facts:
    """The facts ``modules.shadowed`` and ``sglang.source``.

    Args:
        target: the environment.
        found: rows of its distributions: one whose own folder comes first on PYTHONPATH shadows nothing.
    """
    facts = Facts()
    homes = {str(row["location"]) for row in found}
    rows: list[Row] = []
    for folder in search_path(target):
        if folder in homes or folder in target.sites:
            continue
        entries = set(rooted.names(target.root, folder))
        rows += [
            _row(module, folder, module not in entries)
            for module in FIRST
            if f"{module}.py" in entries or (module in entries and _is_package(target, f"{folder}/{module}"))
        ]
        rows += [_row(*one) for one in _standard(target, folder)]
    for site in dict.fromkeys((*search_path(target), *target.sites)):
        if rooted.is_file(target.root, f"{site}/sglang/__init__.py"):
            texts = (
                rooted.text(target.root, f"{site}/sglang/{name}", 65536) or "" for name in ("_version.py", "version.py")
            )
            match = next((match for text in texts if (match := VERSION.search(text))), None)
            version = match[1] if match else ""
            facts.put("sglang.source", {"path": f"{site}/sglang", "version": version}, "probe")
            if site not in homes and site not in target.sites and _another_release(version, found):
                rows.append(_row("sglang", site, False))
            break
    facts.put("modules.shadowed", rows, "probe")
    facts.put("modules.shadowed_here", _here(target, homes, facts), "probe")
    return facts


def _taken(target: Target, folder: str, modules: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    """Of these modules those that Python would take from a folder: ``(module, folder, whether it is a file)``.

    Each is asked for by itself: the folder may be a home or ``/tmp`` with a hundred thousand entries.
    """
    for module in modules:
        if rooted.is_file(target.root, f"{folder}/{module}.py"):
            yield module, folder, True
        elif _is_package(target, f"{folder}/{module}"):
            yield module, folder, False


def _standard(target: Target, folder: str) -> Iterator[tuple[str, str, bool]]:
    """Modules of the standard library for which Python would take something in this folder instead."""
    if all(rooted.is_file(target.root, f"{folder}/{name}.py") for name in ("os", "site", "codecs")):
        return iter(())  # a standard library itself
    return _taken(target, folder, STANDARD)


def _here(target: Target, homes: set[str], facts: Facts) -> list[Row]:
    """What ``python -m sglang.launch_server`` would take from the folder it is started in, which then comes first."""
    folder = target.cwd
    known = {*homes, *target.sites, *search_path(target)}
    if not folder or folder in known or target.environ.get("PYTHONSAFEPATH"):
        return []
    found = [*_standard(target, folder), *_taken(target, folder, (*FIRST, "sglang"))]
    source = str(facts.value("sglang.source", "path") or "")
    if source and rooted.resolve(target.root, source) == rooted.resolve(target.root, f"{folder}/sglang"):
        found = [one for one in found if one[0] != "sglang"]
    return [{**_row(*one), "text": f"'import {one[0]}' takes what lies in {folder}, where this runs"} for one in found]


def search_path(target: Target) -> list[str]:
    """The absolute folders of PYTHONPATH, in order."""
    return [
        os.path.normpath(folder)
        for folder in target.environ.get("PYTHONPATH", "").split(":")
        if folder.startswith("/") and rooted.is_folder(target.root, folder)
    ]


def _another_release(version: str, found: list[Row]) -> bool:
    """Whether bare sources of SGLang hide an installed release; an editable one may change under its name."""
    installed = next((row for row in found if row["name"] == "sglang" and not row.get("editable")), None)
    return bool(version) and installed is not None and _public(str(installed["version"])) != _public(version)


def _public(version: str) -> str:
    return version.partition("+")[0]


def _is_package(target: Target, folder: str) -> bool:
    """Whether a folder is a package: one without ``__init__.py`` is passed over while anything later has the name."""
    return rooted.is_file(target.root, f"{folder}/__init__.py")


def _row(module: str, folder: str, file: bool) -> Row:
    path = f"{folder}/{module}.py" if file else f"{folder}/{module}"
    return {"name": module, "found": path, "folder": folder, "text": f"'import {module}' takes {path}, by PYTHONPATH"}
