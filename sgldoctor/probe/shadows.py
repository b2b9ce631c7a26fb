"""Copies of the wheels' libraries that the loader meets first, because a variable says so.

torch finds its wheels by DT_RPATH, which comes before LD_LIBRARY_PATH; but libraries that open others by themselves
(cuDNN its parts) have none or only RUNPATH, and then a folder of LD_LIBRARY_PATH with another release mixes the two.
"""

from __future__ import annotations

import os
import re

from sgldoctor.facts import Row
from sgldoctor.probe import rooted
from sgldoctor.probe.extensions import Torch
from sgldoctor.probe.loader import Node, Process
from sgldoctor.probe.target import Target


def shadows(process: Process, target: Target, torch: Torch, loaded: dict[str, Node]) -> list[Row]:
    """Rows of ``libraries.shadowed``: one for each folder and family of libraries, and one for a stub of the driver.

    Only copies count that the loader takes in place of the wheel's, and that are another release of it (another size):
    a CUDA toolkit on LD_LIBRARY_PATH, as most images have it, holds twenty copies that nothing ever opens.
    """
    rows: dict[tuple[str, str], Row] = {}
    wheels = _wheel_libraries(target, torch)
    for folder in process.library_path:
        for name in rooted.names(target.root, folder):
            expected = wheels.get(name)
            copy = f"{folder}/{name}"
            if expected is None or _same(target, copy, expected) or not _taken(process, loaded, name, copy, expected):
                continue
            _put(rows, name, copy, expected, "LD_LIBRARY_PATH", folder)
    for path in re.split(r"[:\s]+", target.environ.get("LD_PRELOAD", "")):
        name = os.path.basename(path)
        expected = wheels.get(name)
        if expected is not None and rooted.is_file(target.root, path) and not _same(target, path, expected):
            _put(rows, name, path, expected, "LD_PRELOAD", os.path.dirname(path))
    driver = loaded.get("libcuda.so.1")
    if driver is not None and "stubs" in driver.path.split("/"):
        real = next((path for path in process.cache.get("libcuda.so.1", ()) if "/stubs/" not in path), "")
        _put(rows, "libcuda.so.1", driver.path, real, driver.via, os.path.dirname(driver.path))
    return list(rows.values())


def _wheel_libraries(target: Target, torch: Torch) -> dict[str, str]:
    """Versioned libraries of torch's NVIDIA wheels, by name."""
    found: dict[str, str] = {}
    for site in (torch.site, *target.sites):
        for folder in rooted.names(target.root, f"{site}/nvidia"):
            for name in rooted.names(target.root, f"{site}/nvidia/{folder}/lib"):
                if ".so" in name:
                    found.setdefault(name, f"{site}/nvidia/{folder}/lib/{name}")
    return found


def _same(target: Target, first: str, second: str) -> bool:
    """Whether two files are one, or as large as each other: copies of one release do no harm."""
    if rooted.size(target.root, first) == rooted.size(target.root, second):
        return True
    return rooted.resolve(target.root, first) == rooted.resolve(target.root, second)


def _taken(process: Process, loaded: dict[str, Node], name: str, copy: str, expected: str) -> bool:
    """Whether the loader takes the copy instead of the wheel's.

    For a library that is loaded it is known; for a part that its main library opens by itself (``libcudnn_ops``), the
    search is done as that library would do it.
    """
    node = loaded.get(name)
    if node is not None:
        return node.path == copy
    stem = name.partition(".so")[0]
    while re.search(r"[_-]", stem):
        stem = re.split(r"[_-](?=[^_-]*$)", stem)[0]
        main = next((node for other, node in loaded.items() if other.startswith(stem + ".so")), None)
        if main is not None:
            if os.path.dirname(main.path) != os.path.dirname(expected):
                return False
            found = process.search(name, main)
            return found is not None and found[0] == copy
    return False


def _put(rows: dict[tuple[str, str], Row], name: str, copy: str, expected: str, via: str, folder: str) -> None:
    family = re.split(r"[_-]", name.partition(".so")[0], maxsplit=1)[0]
    text = f"{name} is taken from {folder} ({via}), not from the wheel" if expected else f"{copy} is a stub"
    row = rows.setdefault(
        (folder, family),
        {
            "library": name,
            "found": copy,
            "expected": expected,
            "via": via,
            "folder": folder,
            "count": 0,
            "text": text,
        },
    )
    row["count"] += 1
