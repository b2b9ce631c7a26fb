"""Python files of installed distributions against RECORD: gone, emptied, or cut off in the middle.

An installation that was killed or ran out of disk leaves a package that is listed, whose import then fails anywhere.
Sizes say little about sources, since people mend them in place: a file of another size counts only where Python would
not take it.
"""

from __future__ import annotations

import re
import sys

from sgldoctor.lazy import lazy
from sgldoctor.probe import rooted
from sgldoctor.probe.target import Target
from sgldoctor.typed import NamedTuple

WHOLE = lazy(r"sglang|sgl(?:ang)?-kernel")
"""Distributions of which every file is asked for."""
NEAR = lazy(
    r"torch|torchvision|triton|transformers|tokenizers|huggingface-hub|numpy|fastapi|starlette|uvicorn|pydantic|pyzmq"
    r"|xgrammar|safetensors|flashinfer-python|openai|msgspec|outlines|compressed-tensors|requests|aiohttp|pillow|einops"
)
"""What SGLang imports when it starts: asked for are the files of the first two levels and the folders of the third. For
all that lies deeper, and for everybody else, there is no time."""
DEPTH = 3
LINE = lazy(r"^([^\",\n/]+/[^\",\n]+\.py),[^,\n]*,([1-9]\d*)\r?$", re.MULTILINE)
"""A Python file inside a package, that is not empty."""
OPTIONAL = lazy(r"_?test(?:s|ing)?(?:_.*)?(?:\.py)?|conftest\.py|benchmarks?|examples?|docs?")
"""What images leave out to be smaller."""
DATA = {"flashinfer-python": ("flashinfer/data",)}
"""Folders of other files without which a package works no more: the sources that FlashInfer compiles."""
MOST = 1 << 20
MOST_COMPILED = 20


class Lost(NamedTuple):
    """A file, or a whole folder, that is not as it was installed."""

    path: str
    problem: str


def lost(target: Target, name: str, location: str, data: bytes) -> list[Lost]:
    """What is wrong with the Python files that the RECORD ``data`` of a distribution lists."""
    whole = WHOLE.fullmatch(name) is not None
    if not whole and NEAR.fullmatch(name) is None:
        return []
    listed = (folder for folder in DATA.get(name, ()) if f"\n{folder}/".encode() in data)
    absent = (folder for folder in listed if not rooted.is_folder(target.root, f"{location}/{folder}"))
    found = [Lost(f"{location}/{folder}", "missing") for folder in absent]
    doubtful: list[str] = []
    for folder, entries in _expected(data, DEPTH if not whole else 99).items():
        if "/test" in folder:
            continue
        there = set(rooted.names(target.root, f"{location}/{folder}"))
        for entry, size in entries.items():
            path = f"{location}/{folder}/{entry}"
            if not {entry, entry + "c"} & there:
                if OPTIONAL.fullmatch(entry) is None:
                    found.append(Lost(path, "missing"))
            elif size and entry in there:
                real = rooted.size(target.root, path)
                if real == 0:
                    found.append(Lost(path, "empty"))
                elif real is not None and real != size:
                    doubtful.append(path)
    found += [Lost(path, problem) for path in doubtful[:MOST_COMPILED] if (problem := _refused(target, path))]
    return [one for one in found if not _unread(one.path)]


def _expected(data: bytes, depth: int) -> dict[str, dict[str, int]]:
    """Entries by folder, down to ``depth`` parts of a path: files with their size, folders with 0."""
    folders: dict[str, dict[str, int]] = {}
    for file, size in LINE.findall(data.decode("utf-8", "replace")):
        folder, _, entry = file.rpartition("/")
        level = file.count("/") + 1
        if level <= depth:
            if level > 2 or entry != "__init__.py":  # the first one is asked for in every distribution
                folders.setdefault(folder, {})[entry] = int(size)
        else:
            first, second, third = file.split("/", 3)[:3]
            folders.setdefault(f"{first}/{second}", {}).setdefault(third, 0)
    return folders


def _refused(target: Target, path: str) -> str:
    """Why Python would not take a source; ``""`` where it would, or where this Python is too old to judge."""
    minor = tuple(int(part) for part in re.findall(r"\d+", target.version)[:2])
    if not minor or minor > sys.version_info[:2]:
        return ""
    source = rooted.read(target.root, path, MOST)
    if source is None or len(source) == MOST:
        return ""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError) as error:
        return f"no Python: {error.msg if isinstance(error, SyntaxError) else error}"
    except (RecursionError, MemoryError, OverflowError):
        return ""
    return ""


def _unread(path: str) -> bool:
    return path in rooted.UNREAD or path.rpartition("/")[0] in rooted.UNREAD
